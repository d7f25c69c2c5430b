"""Neck, shoulders, clothes, necktie, necklace, and what is behind the person."""

from __future__ import annotations

import numpy as np

from components.datasets.synthetic_faces.attributes import CLOTHES
from components.datasets.synthetic_faces.canvas import Canvas, Colour, curve, mix
from components.datasets.synthetic_faces.face import Face, Pose

_FABRICS = (
    (60, 92, 150),
    (178, 64, 70),
    (74, 128, 104),
    (220, 182, 92),
    (128, 92, 152),
    (70, 78, 92),
    (210, 120, 84),
    (96, 150, 176),
)
_WALLS = ((206, 220, 230), (232, 214, 190), (196, 214, 190), (150, 170, 196), (222, 196, 204), (120, 128, 142))
_GOLD = (226, 178, 66)
_WHITE = (240, 240, 244)


def paint_backdrop(canvas: Canvas, face: Face) -> None:
    """A wall with a gradient and out-of-focus lights."""
    rng = np.random.default_rng(face.look.backdrop)
    wall = _WALLS[rng.integers(len(_WALLS))]
    other = mix(wall, _WALLS[rng.integers(len(_WALLS))], 0.7)
    canvas.background([wall, other, mix(wall, (40, 50, 70), rng.uniform(0.1, 0.5)), mix(other, (40, 50, 70), 0.35)])
    for _ in range(rng.integers(0, 5)):
        radius = rng.uniform(0.08, 0.25)
        colour = (255, 248, 225) if rng.random() < 0.7 else (70, 80, 100)
        canvas.glow(rng.uniform(0, 1, 2), (radius, radius), colour, rng.uniform(0.2, 0.55))


def paint_body(canvas: Canvas, face: Face, pose: Pose, skin: Colour) -> None:
    """Neck and chest, the clothes on them, and what is worn over those."""
    male, scale = face.has("Male"), face.look.scale
    shadow = mix(skin, (70, 30, 40), 0.28)
    half = (0.60 if male else 0.46) + 0.10 * face.has("Chubby")
    width = 2.0 if male else 1.72
    right = [(half, 0.7), (half, 1.35), (half + 0.14, 1.66), (half + 0.55, 1.83), (width, 2.12), (width + 0.3, 3.3)]
    torso = pose.on_body(curve([(-x, y) for x, y in right[::-1]] + right))
    canvas.fill(torso, skin, "neck")
    with canvas.inside(torso):
        canvas.glow(pose.on_body([(-0.1 * face.look.light_from, 1.15)])[0], (0.95 * scale, 0.75 * scale), shadow, 0.95)
        for side in (-1, 1):
            collarbone = curve([(side * 0.16, 2.05), (side * 0.5, 1.98), (side * 0.95, 1.93)])
            canvas.line(pose.on_body(collarbone), 0.03 * scale, mix(skin, shadow, 0.6))
    _paint_clothes(canvas, face, pose, right)
    if face.has("Wearing_Necklace"):
        chain = curve([(-half - 0.08, 1.62), (-0.34, 1.98), (0, 2.12), (0.34, 1.98), (half + 0.08, 1.62)])
        canvas.line(pose.on_body(chain), 0.10 * scale, _GOLD, "neck_l")
        canvas.line(pose.on_body(chain), 0.035 * scale, mix(_GOLD, _WHITE, 0.6))
        for point in pose.on_body(chain)[2:-1:3]:
            canvas.disc(point, 0.055 * scale, mix(_GOLD, _WHITE, 0.35), "neck_l")
        canvas.disc(pose.on_body([(0, 2.20)])[0], 0.12 * scale, (196, 52, 74), "neck_l")


def _paint_clothes(canvas: Canvas, face: Face, pose: Pose, shoulder: list[tuple[float, float]]) -> None:
    colour = _FABRICS[int(face.look.fabric * len(_FABRICS))]
    dark, bright = mix(colour, (0, 0, 0), 0.28), mix(colour, (255, 255, 255), 0.25)
    scale = face.look.scale
    (neck_x, _), (root_x, root_y), (mid_x, mid_y), (arm_x, arm_y), (out_x, out_y) = shoulder[1:]

    def piece(half, fill, thick=0.0):
        """Paints a shape given by its right half, from the neck outwards and down, and that half mirrored."""
        inner = curve([(-x, y) for x, y in half[0][::-1]] + list(half[0]))
        outer = curve(half[1])
        shape = pose.on_body(np.concatenate([inner, outer, (outer * (-1, 1))[::-1]]))
        canvas.fill(shape, fill, "cloth")
        if thick:
            canvas.line(pose.on_body(inner), thick * scale, dark, "cloth")
        return shape

    lift = 0.05
    over = [(root_x, root_y - lift), (mid_x, mid_y - lift), (arm_x + 0.05, arm_y - lift), (out_x + 0.1, out_y)]
    if face.clothing == CLOTHES["t-shirt"]:
        wide = [(root_x + 0.18, root_y + 0.05), *over[1:]]
        piece(([(0.22, 2.10), (root_x, 1.95), (root_x + 0.18, root_y + 0.05)], wide), colour, 0.11)
    elif face.clothing == CLOTHES["longsleeve"]:
        jersey = piece(([(0.3, 1.62), (neck_x + 0.05, 1.5)], [(neck_x + 0.06, 1.5), *over]), colour)
        with canvas.inside(jersey):
            for y in np.arange(1.95, 3.4, 0.3):
                stripe = curve([(-2.3, y + 0.25), (-1, y), (0, y + 0.06), (1, y), (2.3, y + 0.25)])
                canvas.line(pose.on_body(stripe), 0.11 * scale, bright)
        collar = curve([(-neck_x - 0.07, 1.48), (0, 1.64), (neck_x + 0.07, 1.48)])
        fold = np.concatenate([collar, (collar + np.array([0, 0.26]))[::-1] * (1.1, 1)])
        canvas.fill(pose.on_body(fold), dark, "cloth")
    elif face.clothing == CLOTHES["dress"]:
        chest = [(0, 2.38), (0.35, 2.30), (0.8, 2.28), (1.15, 2.42)]
        piece((chest, [(1.15, 2.42), (1.5, 3.3)]), colour, 0.07)
        for side in (-1, 1):
            strap = np.array([(0.62, 2.35), (0.70, mid_y - 0.06), (0.92, mid_y), (0.84, 2.35)]) * (side, 1)
            canvas.fill(pose.on_body(strap), colour, "cloth")
    else:
        jacket = face.clothing == CLOTHES["outwear"]
        cloth = _WHITE if jacket else mix(colour, _WHITE, 0.45)
        seam = mix(cloth, (60, 70, 90), 0.35)
        opening = [(0.0, 2.2), (neck_x - 0.04, 1.58)]
        piece((opening, [(neck_x, 1.52), *over]), cloth)
        canvas.line(pose.on_body([(0, 2.1), (0, 3.3)]), 0.03 * scale, seam)
        for y in (2.35, 2.65):
            canvas.disc(pose.on_body([(0.07, y)])[0], 0.035 * scale, seam)
        if jacket:
            front = np.concatenate([[(0.12, 3.3), (0.55, 2.1)], curve([(neck_x, 1.50), *over])])
            for side in (-1, 1):
                canvas.fill(pose.on_body(front * (side, 1)), dark, "cloth")
                fold = np.array([(0.30, 2.75), (0.78, 2.35), (0.66, 2.22), (0.80, 2.05), (neck_x + 0.1, 1.52)])
                canvas.fill(pose.on_body(fold * (side, 1)), mix(dark, colour, 0.75), "cloth")
        if face.has("Wearing_Necktie"):
            _paint_necktie(canvas, face, pose)
        for side in (-1, 1):
            wing = np.array([(0.02, 1.98), (0.34, 2.20), (neck_x + 0.10, 1.66), (neck_x, 1.48)]) * (side, 1)
            canvas.fill(pose.on_body(wing), mix(cloth, (255, 255, 255), 0.5), "cloth")
            canvas.line(pose.on_body(wing[:3]), 0.025 * scale, seam)


def _paint_necktie(canvas: Canvas, face: Face, pose: Pose) -> None:
    colour = ((160, 32, 44), (34, 54, 110), (30, 90, 74), (90, 44, 100))[int(face.look.accent * 4)]
    knot = [(-0.17, 1.94), (0.17, 1.94), (0.11, 2.20), (-0.11, 2.20)]
    blade = np.array([(-0.11, 2.20), (0.11, 2.20), (0.30, 3.3), (-0.30, 3.3)])
    canvas.fill(pose.on_body(blade), colour, "cloth")
    with canvas.inside(pose.on_body(blade)):
        for y in np.arange(2.3, 3.4, 0.22):
            canvas.line(
                pose.on_body([(-0.3, y + 0.2), (0.3, y - 0.1)]), 0.05 * face.look.scale, mix(colour, _WHITE, 0.55)
            )
    canvas.fill(pose.on_body(knot), mix(colour, (0, 0, 0), 0.2), "cloth")

"""Hair and hats. Hair lies between two lines, its own silhouette and the hairline; strands run between them."""

from __future__ import annotations

import numpy as np

from components.datasets.synthetic_faces.canvas import Canvas, Colour, curve, mix
from components.datasets.synthetic_faces.face import Face, Pose

_COLOURS = {
    "Black_Hair": (38, 34, 38),
    "Blond_Hair": (228, 190, 108),
    "Brown_Hair": (104, 66, 40),
    "Gray_Hair": (172, 174, 180),
}
_OTHER_COLOURS = ((168, 62, 32), (150, 44, 40), (196, 84, 40))
_HATS = ((52, 70, 110), (150, 48, 52), (70, 100, 76), (60, 56, 58), (196, 160, 96), (112, 84, 130))
_STRAND = 0.045  # width in head coordinates
_SIDES = {  # on the image's right from the temple down: the silhouette, the hairline, and where both end
    "short": ([(1.12, -0.45)], [(0.90, -0.10)], (1.02, 0.02)),
    "tucked": ([(1.15, -0.40)], [(0.93, 0.0)], (1.10, 0.15)),
    "loose": ([(1.15, -0.45), (1.20, 0.35)], [(0.87, 0.2), (0.93, 0.75)], (1.14, 1.15)),
}


def hair_colour(face: Face) -> Colour:
    """That of the attribute; of no attribute: red."""
    for name, colour in _COLOURS.items():
        if face.has(name):
            return mix(colour, (90, 60, 40), 0.12 * face.look.dye)
    return _OTHER_COLOURS[int(face.look.dye * len(_OTHER_COLOURS))]


def is_long(face: Face) -> bool:
    """Whether the hair falls beside the face."""
    return not face.has("Male") and not face.has("Bald")


def covers_ears(face: Face) -> bool:
    """Long hair is tucked behind the ears for earrings, and at times without."""
    return is_long(face) and not face.has("Wearing_Earrings") and face.look.hairstyle < 0.6


def paint_back_hair(canvas: Canvas, face: Face, pose: Pose) -> None:
    """What lies behind the neck."""
    if not is_long(face):
        return
    colour = mix(hair_colour(face), (0, 0, 0), 0.22)
    bottom = 2.35 if face.look.cut < 0.65 else 1.5
    half = [(0, -1.30), (0.75, -1.12), (1.10, -0.5), (1.20, 0.2), (1.24, 1.0), (1.16, bottom)]
    outline = curve([(-x, y) for x, y in half[::-1]] + half[1:])
    outline = np.concatenate([_waves(outline, face, 0.06), [(0.5, bottom + 0.06), (-0.5, bottom + 0.06)]])
    canvas.fill(pose.outline(outline, -0.2), colour, "hair")
    dark = mix(colour, (0, 0, 0), 0.25)
    for x in (-1.12, -1.02, -0.9, 0.9, 1.02, 1.12):
        strand = np.stack([np.full(30, x), np.linspace(0, bottom - 0.05, 30)], 1)
        canvas.line(pose.outline(_waves(strand, face, 0.06), -0.2), _STRAND * face.look.scale, dark)


def paint_front_hair(canvas: Canvas, face: Face, pose: Pose) -> None:
    """What frames the face, with the bangs."""
    if face.has("Bald"):
        return
    colour = hair_colour(face)
    outer, hairline = _front(face)
    canvas.fill(pose.outline(np.concatenate([outer, hairline[::-1]]), 0.05), colour, "hair")
    dark, bright = mix(colour, (0, 0, 0), 0.28), mix(colour, (255, 250, 235), 0.14)
    combed = face.has("Straight_Hair") or face.has("Wavy_Hair")
    for k, share in enumerate(np.arange(0.15, 0.9, 0.14) if combed else (0.3,)):
        strand = _waves(outer + share * (hairline - outer), face, 0.05)
        canvas.line(pose.outline(strand[4:-4], 0.05), _STRAND * face.look.scale, dark if k % 2 else bright)
    if face.has("Bangs"):
        _paint_bangs(canvas, face, pose, colour)


def paint_hat(canvas: Canvas, face: Face, pose: Pose) -> None:
    """A beanie, a cap or a brimmed hat."""
    if not face.has("Wearing_Hat"):
        return
    look = face.look
    colour = _HATS[int(look.accent * len(_HATS))]
    dark, bright = mix(colour, (0, 0, 0), 0.3), mix(colour, (255, 255, 255), 0.22)
    half = [(0, -1.72), (0.62, -1.60), (1.02, -1.15), (1.14, -0.55)]
    sag = [(0.6, -0.70), (0, -0.76)]
    dome = curve([(-x, y) for x, y in half[::-1]] + half[1:])
    rim = curve([half[-1], *sag, (-0.6, -0.70), (-half[-1][0], -0.55)])
    canvas.fill(pose.outline(np.concatenate([dome, rim])), colour, "hat")
    with canvas.inside(pose.outline(np.concatenate([dome, rim]))):
        side = np.sign(look.light_from) or 1.0
        canvas.glow(pose.outline([(0.55 * side, -1.2)])[0], (0.7 * look.scale, 0.6 * look.scale), bright, 0.7)
    if look.hat < 0.34:
        fold = np.concatenate([rim * (1.03, 1), (rim - np.array([0, 0.3]))[::-1] * (1.02, 1)])
        canvas.fill(pose.outline(fold), bright, "hat")
        for x in np.linspace(-0.95, 0.95, 11):
            canvas.line(pose.outline([(x, -0.68 - 0.04 * (1 - x * x)), (x, -0.92)]), 0.012, mix(colour, bright, 0.3))
        canvas.disc(pose.outline([(0, -1.78)])[0], 0.19 * look.scale, bright, "hat")
    elif look.hat < 0.67:
        peak = curve([(-0.98, -0.66), (-0.6, -0.47), (0, -0.36), (0.6, -0.47), (0.98, -0.66)])
        under = curve([(0.98, -0.66), (0.5, -0.80), (0, -0.84), (-0.5, -0.80), (-0.98, -0.66)])
        canvas.fill(pose.outline(np.concatenate([peak, under]), 0.75), dark, "hat")
        for x in (-0.42, 0.42):
            canvas.line(pose.outline(curve([(0, -1.70), (x, -1.35), (x * 1.15, -0.84)])), 0.004, dark)
    else:
        turn = np.linspace(0, 2 * np.pi, 48)
        brim = np.stack([1.75 * np.cos(turn), -0.66 + 0.22 * np.sin(turn) - 0.10 * np.cos(turn) ** 2], 1)
        canvas.fill(pose.outline(brim, 0.2), dark, "hat")
        crown = np.concatenate([dome[2:-2], curve([(1.1, -0.72), (0, -0.60), (-1.1, -0.72)])])
        canvas.fill(pose.outline(crown), colour, "hat")
        ribbon = np.concatenate(
            [curve([(1.13, -0.98), (0, -0.88), (-1.13, -0.98)]), curve([(-1.1, -0.72), (0, -0.60), (1.1, -0.72)])]
        )
        canvas.fill(pose.outline(ribbon), bright, "hat")


def _front(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Two [n, 2] lines from the image's left to its right: the top of the hair, and the hairline."""
    outer_side, inner_side, end = _SIDES["loose" if covers_ears(face) else "tucked" if is_long(face) else "short"]
    thick = 0.05 if face.has("Wavy_Hair") else 0.0
    if face.has("Receding_Hairline"):
        top = [(0, -1.30), (0.55, -1.25 - thick), (0.95, -0.95 - thick)]
        hairline = [(0, -1.02), (0.30, -1.14), (0.60, -1.10), (0.80, -0.72)]
    else:
        top = [(0, -1.46 - thick), (0.55, -1.36 - thick), (0.95, -0.98 - thick)]
        hairline = [(0, -0.80), (0.34, -0.79), (0.62, -0.68), (0.82, -0.42)]
    outer, inner = (
        _resampled(curve([(-x, y) for x, y in half[:0:-1]] + half))
        for half in ([*top, *outer_side, end], [*hairline, *inner_side, end])
    )
    if is_long(face) and not face.has("Receding_Hairline"):  # the parting lifts the hairline on one side
        x, y = inner.T
        parting = 0.35 if face.look.cut % 0.2 < 0.1 else -0.35
        y[y < -0.3] -= 0.22 * np.exp(-(((x[y < -0.3] - parting) / 0.22) ** 2))
    return _waves(outer, face, 0.045), inner


def _paint_bangs(canvas: Canvas, face: Face, pose: Pose, colour: Colour) -> None:
    x = np.linspace(-0.88, 0.88, 9)
    tips = np.where(np.arange(9) % 2 == 0, -0.36, -0.46) + 0.05 * x**2
    fringe = np.concatenate(
        [np.stack([x, tips], 1), [(0.95, -0.5), (0.75, -0.95), (0, -1.12), (-0.75, -0.95), (-0.95, -0.5)]]
    )
    shape = curve(fringe, closed=True) if face.has("Wavy_Hair") else fringe
    canvas.fill(pose.on_head(shape, 0.08), colour, "hair")
    for left, shade in zip(x[1:-1], (0.3, -0.2) * 4, strict=False):
        tone = mix(colour, (0, 0, 0) if shade > 0 else (255, 250, 235), 0.7 * abs(shade))
        strand = np.stack([np.linspace(0.6 * left, left, 12), np.linspace(-1.02, -0.5, 12)], 1)
        canvas.line(pose.on_head(_waves(strand, face, 0.03), 0.08), _STRAND * face.look.scale, tone)


def _waves(line: np.ndarray, face: Face, amplitude: float) -> np.ndarray:
    """The line itself, or, of wavy hair, swinging about it."""
    if not face.has("Wavy_Hair"):
        return line
    along = np.gradient(line, axis=0)
    length = np.cumsum(np.linalg.norm(along, axis=1))
    normal = np.stack([-along[:, 1], along[:, 0]], 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    return line + amplitude * np.sin(2 * np.pi * length / 0.42)[:, None] * normal


def _resampled(line: np.ndarray, count: int = 60) -> np.ndarray:
    """`count` points equally spaced along the line."""
    steps = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.linspace(0, steps[-1], count)
    return np.stack([np.interp(at, steps, line[:, 0]), np.interp(at, steps, line[:, 1])], 1)

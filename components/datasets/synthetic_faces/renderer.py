"""Draws a face: the image, its label map and its landmarks, all from the same geometry."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from components.datasets.synthetic_faces import body, hair
from components.datasets.synthetic_faces.canvas import Canvas, Colour, curve, mix, ribbon
from components.datasets.synthetic_faces.face import (
    BRIDGE,
    BROW_L,
    BROW_R,
    EYE_L,
    EYE_R,
    INNER_LIPS,
    JAW,
    NOSTRILS,
    OUTER_LIPS,
    Face,
    Pose,
    landmarks,
)

_SKINS = ((246, 206, 180), (236, 188, 156), (216, 160, 122), (176, 120, 84), (132, 86, 60))
_PALE = (252, 236, 228)
_IRISES = ((92, 60, 36), (70, 110, 150), (86, 124, 78), (60, 42, 30), (112, 130, 140))
_LIPSTICKS = ((196, 24, 52), (214, 44, 104), (150, 22, 64))
_EYE_SHADOWS = ((128, 84, 160), (70, 104, 160), (146, 88, 84))
_FRAMES = ((34, 32, 38), (96, 46, 30), (150, 30, 44), (54, 64, 96))
_BLACK, _WHITE = (26, 20, 22), (250, 248, 246)


class Rendering(NamedTuple):
    """A drawn face.

    Attributes:
        image: [size, size, 3] uint8.
        labels: [size, size] uint8, indices in CELEBAMASK_PARTS.
        landmarks: [68, 2] float32 x, y in [0, 1], in the order of iBUG 300-W.
    """

    image: np.ndarray
    labels: np.ndarray
    landmarks: np.ndarray


def render(face: Face, size: int) -> Rendering:
    """Draws the face on `size` x `size` pixels."""
    painter = _Painter(face, size)
    painter.paint()
    image, labels = painter.canvas.finish(blur=0.012 if face.has("Blurry") else 0.0)
    return Rendering(image, labels, painter.points.astype(np.float32))


class _Painter:
    def __init__(self, face: Face, size: int):
        self.face, self.pose = face, Pose(face.look)
        self.points = landmarks(face, self.pose)
        self.canvas = Canvas(size, face.look.light)
        self.unit = face.look.scale
        self.skin = _skin_colour(face)
        self.shadow = mix(self.skin, (96, 40, 40), 0.30)
        self.deep = mix(self.skin, (70, 24, 28), 0.55)
        self.gleam = mix(self.skin, (255, 250, 240), 0.42)
        self.hair = (
            mix(hair.hair_colour(face), (60, 44, 38), 0.25) if not face.has("Bald") else mix(self.skin, _BLACK, 0.7)
        )

    def paint(self) -> None:
        face, canvas, pose = self.face, self.canvas, self.pose
        body.paint_backdrop(canvas, face)
        hair.paint_back_hair(canvas, face, pose)
        body.paint_body(canvas, face, pose, self.skin)
        self._paint_ears()
        if face.has("Double_Chin"):
            self._paint_double_chin()
        self._paint_skin()
        self._paint_beard()
        self._paint_nose()
        self._paint_mouth()
        self._paint_eye(EYE_R, "r_eye")
        self._paint_eye(EYE_L, "l_eye")
        self._paint_brows()
        if face.has("Eyeglasses"):
            self._paint_temples()
        hair.paint_front_hair(canvas, face, pose)
        if face.has("Eyeglasses"):
            self._paint_glasses()
        hair.paint_hat(canvas, face, pose)
        if face.has("Wearing_Earrings"):
            self._paint_earrings()

    def _glow(self, at: tuple[float, float], radii: tuple[float, float], colour: Colour, strength: float) -> None:
        """A soft spot on the face; place and radii in head coordinates."""
        x_radius, y_radius = radii
        self.canvas.glow(self.pose.on_head([at])[0], (x_radius * self.unit, y_radius * self.unit), colour, strength)

    def _crease(self, points, width: float, colour: Colour) -> None:
        """A line on the face, in head coordinates."""
        self.canvas.line(self.pose.on_head(curve(points)), width * self.unit, colour)

    def _paint_ears(self) -> None:
        for side, label in ((-1, "r_ear"), (1, "l_ear")):
            ear = [(0.86, -0.12), (1.03, -0.17), (1.12, 0.0), (1.07, 0.22), (1.00, 0.42), (0.88, 0.40)]
            self.canvas.fill(
                self.pose.outline(curve(np.array(ear) * (side, 1), closed=True), -0.25), self.shadow, label
            )
            fold = curve(np.array([(0.95, -0.02), (1.04, -0.05), (1.05, 0.1), (0.99, 0.25)]) * (side, 1))
            self.canvas.line(self.pose.outline(fold, -0.25), 0.035 * self.unit, mix(self.shadow, self.deep, 0.5))

    def _paint_double_chin(self) -> None:
        jaw, chin = self.points[JAW], self.points[8]
        down = 0.21 * (chin - self.points[33])
        bulge = curve([jaw[4], jaw[6] + 0.6 * down, chin + down, jaw[10] + 0.6 * down, jaw[12]])
        self.canvas.fill(bulge, mix(self.skin, self.shadow, 0.45), "skin")
        self.canvas.line(bulge, 0.045 * self.unit, self.deep)

    def _paint_skin(self) -> None:
        face, canvas = self.face, self.canvas
        skull = [(0.93, -0.55), (0.66, -1.05), (0, -1.27), (-0.66, -1.05), (-0.93, -0.55)]
        outline = curve(np.concatenate([self.points[JAW], self.pose.outline(skull)]), closed=True)
        canvas.fill(outline, self.skin, "skin")
        with canvas.inside(outline):
            side = face.look.light_from
            self._glow((-0.85 * (np.sign(side) or 1), 0.4), (0.75, 1.7), self.shadow, 0.35 + 0.45 * abs(side))
            self._glow((0.35 * side, -0.55), (0.7, 0.5), self.gleam, 0.5)
            self._glow((0, 1.5), (0.7, 0.22), self.shadow, 0.5)
            if face.has("Bald"):
                self._glow((0.3 * side, -0.95), (0.4, 0.25), _WHITE, 0.7)
            if face.has("High_Cheekbones"):
                for s in (-1, 1):
                    self._glow((0.62 * s, 0.27), (0.34, 0.17), self.gleam, 0.8)
                    for x, y in ((0.84, 0.52), (0.72, 0.63), (0.60, 0.74)):
                        self._glow((x * s, y), (0.20, 0.16), self.deep, 0.45)
            if face.has("Chubby"):
                for s in (-1, 1):
                    self._glow((0.66 * s, 0.60), (0.30, 0.26), self.gleam, 0.6)
                    self._crease([(0.42 * s, 0.70), (0.60 * s, 0.86), (0.80 * s, 0.80)], 0.03, self.shadow)
            if face.has("Rosy_Cheeks"):
                for s in (-1, 1):
                    self._glow((0.60 * s, 0.46), (0.38, 0.30), (228, 58, 84), 0.68)
            if face.has("Bags_Under_Eyes"):
                self._paint_bags()
            if not face.has("Young"):
                self._paint_wrinkles()
            if face.has("5_o_Clock_Shadow"):
                self._paint_stubble()

    def _paint_bags(self) -> None:
        for s in (-1, 1):
            x = 0.43 * self.face.look.eye_distance * s
            self._glow((x, 0.21), (0.30, 0.15), (104, 62, 104), 0.75)
            self._crease([(x - 0.2, 0.17), (x - 0.08, 0.27), (x + 0.08, 0.27), (x + 0.2, 0.17)], 0.035, self.deep)

    def _paint_wrinkles(self) -> None:
        tone = mix(self.skin, self.deep, 0.7)
        for y in (-0.78, -0.66, -0.55):
            self._crease([(-0.42, y + 0.03), (-0.15, y - 0.02), (0.15, y), (0.42, y + 0.03)], 0.028, tone)
        for s in (-1, 1):
            self._crease([(0.27 * s, 0.55), (0.42 * s, 0.75), (0.47 * s, 0.98)], 0.035, tone)
            for rise in (-0.08, 0.0, 0.08):
                self._crease([(0.70 * s, 0.5 * rise), (0.83 * s, 1.3 * rise)], 0.025, tone)

    def _paint_stubble(self) -> None:
        """A bluish shade and bristles where a beard would grow."""
        cheek = [(0.92, 0.45), (0.55, 0.78), (0.30, 0.66), (0, 0.64), (-0.30, 0.66), (-0.55, 0.78), (-0.92, 0.45)]
        area = np.concatenate([self.points[3:14], self.pose.on_head(curve(cheek))])
        self.canvas.tint(area, (62, 66, 80), 0.36)
        grid = np.stack(np.meshgrid(np.arange(-0.8, 0.81, 0.1), np.arange(0.72, 1.5, 0.1)), -1).reshape(-1, 2)
        grid = grid[(grid[:, 1] > 0.78 + 0.2 * np.abs(grid[:, 0]) ** 2) | (np.abs(grid[:, 0]) < 0.3)]
        jitter = np.random.default_rng(0).uniform(-0.04, 0.04, grid.shape)
        for point in self.pose.on_head(grid + jitter):
            self.canvas.disc(point, 0.012 * self.unit, (58, 54, 60))

    def _paint_beard(self) -> None:
        face, pose, canvas = self.face, self.pose, self.canvas
        if face.has("Sideburns"):
            for s in (-1, 1):
                strip = np.array([(0.97, -0.3), (0.99, 0.3), (0.93, 0.66), (0.76, 0.60), (0.80, 0.2), (0.84, -0.3)])
                canvas.fill(pose.outline(strip * (s, 1)), self.hair, "hair")
        if face.has("Goatee"):
            chin, lip = self.points[8], self.points[57]
            down, across = chin - lip, 0.30 * (self.points[10] - self.points[6])
            top, middle, bottom = lip + 0.12 * down, lip + 0.6 * down, chin + 0.28 * down
            patch = [top, top + across, middle + 1.25 * across, bottom - 0.2 * down + 0.7 * across, bottom]
            patch += [bottom - 0.2 * down - 0.7 * across, middle - 1.25 * across, top - across]
            canvas.fill(curve(patch, closed=True), self.hair, "skin")
            for share in np.linspace(-0.8, 0.8, 6):
                hairs = np.stack([top + 0.15 * down + share * across, chin + 0.7 * share * across])
                canvas.line(hairs, 0.022 * self.unit, mix(self.hair, _WHITE, 0.18))
        if face.has("Mustache"):
            lip, base = self.points[48:55], self.points[NOSTRILS]
            down = self.points[8] - base[2]
            left, right = lip[0] + 0.06 * (lip[0] - lip[6]), lip[6] + 0.06 * (lip[6] - lip[0])
            left, right = left + 0.05 * down, right + 0.05 * down
            crest = [0.5 * (lip[1] + base[0]), 0.35 * lip[3] + 0.65 * base[2], 0.5 * (lip[5] + base[4])]
            shape = np.concatenate([curve([left, *crest, right]), curve(lip[::-1]) + 0.01 * down])
            canvas.fill(shape, self.hair, "skin")

    def _paint_nose(self) -> None:
        face, canvas = self.face, self.canvas
        bridge, base = self.points[BRIDGE], self.points[NOSTRILS]
        tip = bridge[3]
        wing = 0.13 if face.has("Pointy_Nose") else 0.20
        across = (base[4] - base[0]) / 2
        up = bridge[2] - tip
        left, right = base[0] - 0.12 * across, base[4] + 0.12 * across
        narrow = wing * across
        shape = np.concatenate(
            [
                curve([bridge[0] - narrow, bridge[1] - narrow, bridge[2] - 1.6 * narrow, left + 0.9 * up, left]),
                curve(base),
                curve([right, right + 0.9 * up, bridge[2] + 1.6 * narrow, bridge[1] + narrow, bridge[0] + narrow]),
            ]
        )
        canvas.fill(shape, None, "nose")
        side = np.sign(face.look.light_from) or 1.0
        dark_edge = shape[: len(shape) // 2] if side > 0 else shape[len(shape) // 2 :]
        canvas.tint(np.concatenate([dark_edge, bridge[::-1] if side > 0 else bridge]), self.shadow, 0.75)
        round_tip = 0.10 if face.has("Pointy_Nose") else 0.22 if face.has("Big_Nose") else 0.15
        canvas.glow(tip + 0.02 * up, (round_tip * self.unit, round_tip * self.unit), self.gleam, 0.95)
        canvas.glow(bridge[1], (0.07 * self.unit, 0.3 * self.unit), self.gleam, 0.6)
        for end, inner, s in ((left, base[1], -1), (right, base[3], 1)):
            flare = curve([end + 0.75 * up + 0.06 * s * across, end + 0.25 * up + 0.14 * s * across, end, inner])
            canvas.line(flare, 0.03 * self.unit, self.deep)
            nostril = curve([0.75 * inner + 0.25 * end, inner + 0.12 * up, 0.8 * inner + 0.2 * base[2]])
            canvas.line(nostril, 0.05 * self.unit, mix(self.deep, _BLACK, 0.4))
        canvas.line(curve(base[1:4]), 0.028 * self.unit, self.deep)
        if face.has("Pointy_Nose"):
            canvas.line(np.stack([base[1], tip - 0.1 * up, base[3]]), 0.026 * self.unit, self.deep)
        if face.mood == "disgust":
            for y in (0.0, 0.12):
                self._crease([(-0.14, y + 0.05), (0, y), (0.14, y + 0.05)], 0.03, self.deep)

    def _paint_mouth(self) -> None:
        face, canvas = self.face, self.canvas
        outer, inner = self.points[OUTER_LIPS], self.points[INNER_LIPS]
        if face.has("Wearing_Lipstick"):
            colour = _LIPSTICKS[int(face.look.accent * len(_LIPSTICKS))]
        else:
            colour = mix(self.skin, (176, 74, 76), 0.30 if face.has("Male") else 0.42)
        top, bottom = curve(outer[:7]), curve(np.concatenate([outer[6:], outer[:1]]))
        inner_top = np.concatenate([outer[:1], curve(inner[:5]), outer[6:7]])
        inner_bottom = np.concatenate([outer[6:7], curve(np.concatenate([inner[4:], inner[:1]])), outer[:1]])
        canvas.fill(np.concatenate([bottom, inner_bottom[::-1]]), mix(colour, _WHITE, 0.06), "l_lip")
        canvas.fill(np.concatenate([top, inner_top[::-1]]), mix(colour, _BLACK, 0.14), "u_lip")
        shine = 0.6 if face.has("Wearing_Lipstick") else 0.25
        canvas.glow(0.5 * (outer[9] + inner[6]), (0.16 * self.unit, 0.045 * self.unit), _WHITE, shine)
        if face.has("Mouth_Slightly_Open"):
            gap = np.concatenate([inner_top, inner_bottom])
            canvas.fill(gap, (92, 24, 34), "mouth")
            with canvas.inside(gap):
                drop = inner[6] - inner[2]
                canvas.glow(inner[6], (0.2 * self.unit, 0.10 * self.unit), (206, 92, 98), 1.0)
                depth = 0.62 if face.mood in ("happy", "angry", "disgust") else 0.28
                teeth = np.concatenate([inner_top - 0.2 * drop, inner_top[::-1] + depth * drop])
                canvas.fill(teeth, _WHITE)
        else:
            canvas.line(inner_top, 0.03 * self.unit, mix(self.deep, _BLACK, 0.35))
        if face.has("Smiling"):
            for corner, s in ((outer[0], -1), (outer[6], 1)):
                dimple = corner + self.unit * np.array([(0.05 * s, -0.09), (0.10 * s, 0.0), (0.06 * s, 0.09)])
                canvas.line(curve(dimple), 0.03 * self.unit, self.deep)

    def _paint_eye(self, which: slice, label: str) -> None:
        face, canvas, unit = self.face, self.canvas, self.unit
        eye = self.points[which]
        upper = curve(eye[:4])
        shape = np.concatenate([upper, curve(np.concatenate([eye[3:], eye[:1]]))[1:]])
        centre, across = eye.mean(0), (eye[3] - eye[0]) / 2
        down = np.array([-across[1], across[0]])
        makeup, male = face.has("Heavy_Makeup"), face.has("Male")
        if makeup:
            shade = _EYE_SHADOWS[int(face.look.fabric * len(_EYE_SHADOWS))]
            lid = np.concatenate([upper, curve([eye[3], *(eye[[2, 1]] - 0.62 * down), eye[0] - 0.15 * down])])
            canvas.tint(lid, shade, 0.8)
        else:
            canvas.line(upper - 0.28 * down, 0.022 * unit, self.deep)
        canvas.fill(shape, _WHITE, label)
        with canvas.inside(shape):
            iris = _IRISES[int(face.look.iris * len(_IRISES))]
            canvas.disc(centre, 0.118 * unit, mix(iris, _BLACK, 0.4))
            canvas.disc(centre, 0.098 * unit, iris)
            canvas.disc(centre, 0.052 * unit, _BLACK)
            canvas.line(upper, 0.05 * unit, (150, 140, 150))
        spark = centre + unit * np.array([0.035 * (np.sign(face.look.light_from) or 1), -0.035])
        canvas.disc(spark, 0.022 * unit, (255, 255, 255))
        canvas.line(upper, (0.075 if makeup else 0.035 if male else 0.05) * unit, _BLACK)
        canvas.line(curve(np.concatenate([eye[3:], eye[:1]])), 0.02 * unit, self.deep)
        if not male:
            temple = 0 if which == EYE_R else 3
            outwards = (eye[temple] - centre) / np.linalg.norm(eye[temple] - centre)
            up = -down / np.linalg.norm(down)
            reach = 1.5 if makeup else 0.9
            for share, lean in ((0.0, 1.0), (0.16, 0.6), (0.34, 0.35)):
                root = upper[int(share * len(upper))] if temple == 0 else upper[-1 - int(share * len(upper))]
                lash = root + reach * unit * (0.07 * lean * outwards + 0.06 * up)
                canvas.line(np.stack([root, lash]), (0.04 if makeup else 0.028) * unit, _BLACK)

    def _paint_brows(self) -> None:
        face = self.face
        thick = 0.155 if face.has("Bushy_Eyebrows") else 0.085 if face.has("Male") else 0.06
        colour = mix(self.hair, _BLACK, 0.35)
        for which, label in ((BROW_R, "r_brow"), (BROW_L, "l_brow")):
            spine = curve(self.points[which])
            share = np.linspace(0, 1, len(spine))
            if label == "l_brow":
                share = 1 - share  # of the way from the temple to the nose
            band = ribbon(spine, thick * self.unit * (0.35 + 0.65 * np.minimum(1, 1.6 * share)))
            self.canvas.fill(band, colour, label)

    def _rims(self) -> list[np.ndarray]:
        turn = np.linspace(0, 2 * np.pi, 36)
        power = 0.55 if self.face.look.glasses < 0.5 else 0.95  # square or round
        x = 0.335 * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power
        y = 0.245 * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power
        return [np.stack([0.43 * s * self.face.look.eye_distance + x, 0.03 + y], 1) for s in (-1, 1)]

    def _paint_temples(self) -> None:
        for s in (-1, 1):
            hinge = self.pose.on_head([(0.76 * s * self.face.look.eye_distance, -0.06)], 0.05)
            ear = self.pose.outline([(1.0 * s, -0.04)], -0.15)
            self.canvas.line(np.concatenate([hinge, ear]), 0.05 * self.unit, self._frame_colour())

    def _frame_colour(self) -> Colour:
        return _FRAMES[int(self.face.look.glasses * 97 % 1 * len(_FRAMES))]

    def _paint_glasses(self) -> None:
        canvas, colour = self.canvas, self._frame_colour()
        for rim in (self.pose.on_head(rim, 0.08) for rim in self._rims()):
            canvas.fill(rim, None, "eye_g")
            canvas.tint(rim, (200, 225, 245), 0.22)
            canvas.line(rim, 0.065 * self.unit, colour, "eye_g")
        bridge = self.pose.on_head(curve([(-0.12, -0.04), (0, -0.09), (0.12, -0.04)]), 0.1)
        canvas.line(bridge, 0.06 * self.unit, colour, "eye_g")
        for which, label in ((EYE_R, "r_eye"), (EYE_L, "l_eye")):  # seen through the lens
            canvas.fill(curve(self.points[which], closed=True), None, label)

    def _paint_earrings(self) -> None:
        gold = (236, 190, 70)
        for s in (-1, 1):
            lobe = self.pose.outline([(1.05 * s, 0.44)], -0.15)[0]
            stone = lobe + np.array([0, 0.23 * self.unit])
            self.canvas.line(np.stack([lobe, stone]), 0.04 * self.unit, gold, "ear_r")
            self.canvas.disc(lobe, 0.05 * self.unit, gold, "ear_r")
            self.canvas.disc(stone, 0.12 * self.unit, mix(gold, _BLACK, 0.25), "ear_r")
            self.canvas.disc(stone, 0.085 * self.unit, ((70, 190, 180) if self.face.look.accent < 0.5 else gold))


def _skin_colour(face: Face) -> Colour:
    if face.has("Pale_Skin"):
        return _PALE
    at = face.look.tone**1.3 * (len(_SKINS) - 1.001)
    return mix(_SKINS[int(at)], _SKINS[int(at) + 1], at % 1)

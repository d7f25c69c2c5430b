"""A synthetic face before it is drawn: what it is like, its build, its pose, and where its 68 landmarks lie.

Head coordinates: the eyes' middle is the origin, x points to the image's right, y down, z towards the viewer; the
face is about two units wide and the chin lies at y = 1.4.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from components.datasets.synthetic_faces.attributes import (
    EMOTIONS,
    draw_attributes,
    draw_clothing,
    draw_emotion,
)
from components.datasets.synthetic_faces.canvas import curve


@dataclasses.dataclass(frozen=True)
class Look:
    """What tells faces with equal attributes apart. Lengths are relative to the average face unless said otherwise.

    Attributes:
        yaw, pitch, roll: radians; positive turns to the image's right, down, clockwise.
        centre: x, y of the eyes' middle in [0, 1] of the image.
        scale: a unit of head coordinates in [0, 1] of the image.
        light_from: -1 (the image's left) to 1 (right).
        light: what the light does to red, green and blue.
        backdrop: seed of the background.
        tone: of the skin, 0 (light) to 1 (dark).
        iris, dye, fabric, accent: 0 to 1, where in their palettes the colours lie.
        hairstyle, hat, glasses, cut: 0 to 1, the kinds.
        width, length, jaw, eyes, eye_distance, brows, nose, mouth: of the build.
        skew: how far the face is from symmetric, in head coordinates.
    """

    yaw: float
    pitch: float
    roll: float
    centre: tuple[float, float]
    scale: float
    light_from: float
    light: tuple[float, float, float]
    backdrop: int
    tone: float
    iris: float
    dye: float
    fabric: float
    accent: float
    hairstyle: float
    hat: float
    glasses: float
    cut: float
    width: float
    length: float
    jaw: float
    eyes: float
    eye_distance: float
    brows: float
    nose: float
    mouth: float
    skew: float


@dataclasses.dataclass(frozen=True)
class Face:
    """Everything an image is drawn from.

    Attributes:
        attributes: the names of those it has.
        emotion: index in EMOTIONS.
        clothing: one of CLOTHES' indices.
        look: the rest.
    """

    attributes: frozenset[str]
    emotion: int
    clothing: int
    look: Look

    def has(self, name: str) -> bool:
        """Whether the face has the attribute."""
        return name in self.attributes

    @property
    def mood(self) -> str:
        """The emotion's name."""
        return EMOTIONS[self.emotion]


def draw_face(rng: np.random.Generator) -> Face:
    """A random face."""
    attributes = draw_attributes(rng)
    emotion = draw_emotion(rng, attributes)
    clothing = draw_clothing(rng, attributes)
    return Face(attributes, emotion, clothing, _draw_look(rng))


def _draw_look(rng: np.random.Generator) -> Look:
    def around(mean, deviation, limit=2.2):
        return float(mean + deviation * np.clip(rng.standard_normal(), -limit, limit))

    warmth, brightness = around(0, 0.03), around(0.98, 0.06)
    kinds = ("tone", "iris", "dye", "fabric", "accent", "hairstyle", "hat", "glasses", "cut")
    build = ("width", "length", "jaw", "eyes", "eye_distance", "brows", "nose", "mouth")
    return Look(
        yaw=around(0, 0.15),
        pitch=around(0, 0.09),
        roll=around(0, 0.09),
        centre=(around(0.5, 0.022), around(0.43, 0.018)),
        scale=around(0.21, 0.010),
        light_from=float(rng.uniform(-1, 1)),
        light=(brightness * (1 + warmth), brightness, brightness * (1 - warmth)),
        backdrop=int(rng.integers(2**31)),
        skew=around(0, 1.0),
        **{name: float(rng.random()) for name in kinds},
        **{name: around(1, 0.04) for name in build},
    )


class Pose:
    """Maps head coordinates to the image."""

    def __init__(self, look: Look):
        self._look = look
        self._turn = np.array([np.sin(look.yaw), np.sin(look.pitch)])
        self._shrink = np.array([np.cos(look.yaw), np.cos(look.pitch)])
        cos, sin = np.cos(look.roll), np.sin(look.roll)
        self._roll = np.array([[cos, sin], [-sin, cos]])

    def on_head(self, points, lift: float | np.ndarray = 0.0) -> np.ndarray:
        """[n, 2] points on the front of the head, `lift` in front of its surface -> [n, 2] in [0, 1] of the image."""
        points = np.asarray(points, float)
        depth = 0.84 * np.sqrt(np.maximum(0, 1 - (points[:, 0] / 1.06) ** 2 - ((points[:, 1] - 0.1) / 1.55) ** 2))
        return self._place(points * self._shrink + (depth + lift)[:, None] * self._turn)

    def outline(self, points, depth: float | np.ndarray = 0.0) -> np.ndarray:
        """[n, 2] points of a silhouette, which slides over a head as it turns and so keeps its width -> as above."""
        points = np.asarray(points, float)
        return self._place(points + np.broadcast_to(depth, len(points))[:, None] * self._turn)

    def on_body(self, points) -> np.ndarray:
        """[n, 2] points of neck and shoulders, which stay upright -> as above."""
        return np.asarray(points, float) * self._look.scale + self._look.centre

    def _place(self, flat: np.ndarray) -> np.ndarray:
        hinge = np.array([0.0, 0.9])  # of the neck
        return self.on_body((flat - hinge) @ self._roll + hinge)


JAW, BROW_R, BROW_L = slice(0, 17), slice(17, 22), slice(22, 27)  # R, L: the person's
BRIDGE, NOSTRILS = slice(27, 31), slice(31, 36)
EYE_R, EYE_L = slice(36, 42), slice(42, 48)
OUTER_LIPS, INNER_LIPS = slice(48, 60), slice(60, 68)


def chin_depth(y: np.ndarray) -> np.ndarray:
    """How far the face's outline lies in front of the ears: nothing at the eyes, most at the chin."""
    return 0.36 * (np.clip(y, 0, None) / 1.4) ** 1.4


def landmarks(face: Face, pose: Pose) -> np.ndarray:
    """[68, 2] points in [0, 1] of the image, in the order of iBUG 300-W."""
    jaw = jaw_line(face)
    points = np.empty((68, 2))
    points[JAW] = pose.outline(jaw, chin_depth(jaw[:, 1]))
    tilt = 0.0 if face.has("Attractive") else 0.026 * face.look.skew
    right_brow, left_brow = _brow(face, -1, tilt), _brow(face, 1, tilt)
    points[BROW_R] = pose.on_head(right_brow)
    points[BROW_L] = pose.on_head(left_brow[::-1])
    bridge, nostrils = _nose(face)
    points[BRIDGE] = pose.on_head(bridge, np.array([0.06, 0.13, 0.21, 0.28]))
    points[NOSTRILS] = pose.on_head(nostrils, np.array([0.02, 0.08, 0.14, 0.08, 0.02]))
    points[EYE_R] = pose.on_head(_eye(face, -1, tilt))
    points[EYE_L] = pose.on_head(_eye(face, 1, tilt)[[3, 2, 1, 0, 5, 4]])
    outer, inner = _mouth(face, tilt)
    points[OUTER_LIPS] = pose.on_head(outer, 0.05)
    points[INNER_LIPS] = pose.on_head(inner, 0.04)
    return points


def jaw_line(face: Face) -> np.ndarray:
    """[17, 2] head coordinates from temple to temple, equally spaced along the jaw."""
    look, male = face.look, face.has("Male")
    chubby, oval, bones = face.has("Chubby"), face.has("Oval_Face"), face.has("High_Cheekbones")
    temple = 0.94 * look.width + 0.06 * chubby - 0.07 * oval
    cheek = temple + 0.03 * bones + 0.06 * chubby
    jaw = (0.82 if male else 0.75) * look.jaw + 0.23 * chubby - 0.06 * oval - 0.05 * bones
    chin = (0.47 if male else 0.36) * look.jaw + 0.20 * chubby - 0.03 * oval
    bottom = 1.38 * look.length + 0.20 * oval + 0.06 * male - 0.03 * chubby + 0.8 * _opening(face)
    half = [(temple, -0.08), (cheek, 0.30), (jaw, 0.84), (chin, bottom - 0.14), (0, bottom)]
    fine = curve([(-x, y) for x, y in half] + half[-2::-1])
    steps = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    at = np.linspace(0, steps[-1], 17)
    return np.stack([np.interp(at, steps, fine[:, 0]), np.interp(at, steps, fine[:, 1])], 1)


def _opening(face: Face) -> float:
    """Half the gap between the lips."""
    if not face.has("Mouth_Slightly_Open"):
        return 0.0
    return {"surprise": 0.17, "fear": 0.11, "happy": 0.11, "angry": 0.09}.get(face.mood, 0.08)


def _brow(face: Face, side: int, tilt: float) -> np.ndarray:
    """[5, 2] from the temple to the nose."""
    look = face.look
    x = np.array([0.76, 0.64, 0.49, 0.33, 0.18]) * look.eye_distance
    arched = face.has("Arched_Eyebrows")
    rise = np.array([-0.02, 0.15, 0.20, 0.11, -0.02] if arched else [-0.02, 0.04, 0.06, 0.04, 0.01])
    inner = np.array([0, 0, 0.15, 0.6, 1.0])
    outer = np.array([1.0, 0.6, 0.3, 0, 0])
    mood = {
        "angry": -0.15 * inner + 0.05 * outer,
        "disgust": -0.10 * inner - 0.02,
        "fear": 0.16 * inner + 0.05,
        "sad": 0.15 * inner - 0.07 * outer,
        "surprise": np.full(5, 0.14),
    }
    y = -0.33 * look.brows - rise - mood.get(face.mood, 0.0) + side * tilt
    return np.stack([side * x, y], 1)


def _eye(face: Face, side: int, tilt: float) -> np.ndarray:
    """[6, 2]: outer corner, upper lid, inner corner, lower lid."""
    look = face.look
    centre, half = 0.43 * look.eye_distance, 0.205 * look.eyes
    height = (0.115 if face.has("Male") else 0.14) * look.eyes
    height *= 0.45 if face.has("Narrow_Eyes") else 1.0
    height *= {"surprise": 1.35, "fear": 1.3, "happy": 0.9, "disgust": 0.75, "angry": 0.9}.get(face.mood, 1.0)
    x = centre + half * np.array([1, 0.38, -0.38, -1, -0.38, 0.38])
    y = height * np.array([-0.15, -1.0, -0.92, 0.2, 0.68, 0.75])
    return np.stack([side * x, y + side * tilt], 1)


def _nose(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """[4, 2] bridge down to the tip and [5, 2] below the nostrils."""
    look = face.look
    width = 0.215 * look.nose * (0.92 if not face.has("Male") else 1.0)
    width *= 1.5 if face.has("Big_Nose") else 1.0
    width *= 0.60 if face.has("Pointy_Nose") else 1.0
    tip = 0.50 * look.nose + 0.06 * face.has("Big_Nose") + 0.04 * face.has("Pointy_Nose")
    bridge = np.stack([np.zeros(4), np.linspace(0.02, tip, 4)], 1)
    base = tip + 0.13 - 0.05 * face.has("Pointy_Nose") + 0.02 * face.has("Big_Nose")
    drop = np.array([-0.05, 0, 0.03 + 0.05 * face.has("Pointy_Nose"), 0, -0.05])
    return bridge, np.stack([width * np.array([-1, -0.5, 0, 0.5, 1]), base + drop], 1)


def _mouth(face: Face, tilt: float) -> tuple[np.ndarray, np.ndarray]:
    """[12, 2] outer and [8, 2] inner lips, each clockwise from the person's right corner."""
    look, smiling = face.look, face.has("Smiling")
    half = 0.34 * look.mouth * (1.0 if face.has("Male") else 0.95)
    half *= {"happy": 1.28, "surprise": 0.72, "fear": 1.05, "sad": 0.95}.get(face.mood, 1.0)
    lift = {"happy": 0.16, "sad": -0.11, "angry": -0.06, "disgust": -0.09, "fear": -0.04}.get(face.mood, 0.0)
    gap = _opening(face)
    upper, lower = (0.10, 0.125) if not face.has("Male") else (0.08, 0.10)
    if face.has("Big_Lips"):
        upper, lower = 1.75 * upper, 1.75 * lower
    if smiling:
        upper, lower = 0.95 * upper, 0.95 * lower
    middle = 0.93 * look.length + 0.02 * smiling + 0.05 * face.has("Big_Nose") + 0.04 * face.has("Big_Lips")

    def at(u, offset):
        u = np.asarray(u, float)
        return np.stack([half * u, middle - lift * np.abs(u) ** 1.7 + offset + tilt * u], 1)

    u_outer, u_inner = np.array([-0.68, -0.28, 0, 0.28, 0.68]), np.array([-0.5, 0, 0.5])
    bow = np.array([0.75, 1.0, 0.82, 1.0, 0.75])  # Cupid's
    swell = np.array([0.6, 0.93, 1.0, 0.93, 0.6])

    def lips(u):
        return gap * (1 - np.abs(u) ** 2.2)

    sneer = 0.04 * (face.mood == "disgust")
    top = at(u_outer, -0.5 * lips(u_outer) - (upper + sneer) * bow)
    bottom = at(u_outer, 1.5 * lips(u_outer) + lower * swell)
    inner_top, inner_bottom = at(u_inner, -0.5 * lips(u_inner) - sneer / 2), at(u_inner, 1.5 * lips(u_inner))
    left, right = at([-1], 0), at([1], 0)
    outer = np.concatenate([left, top, right, bottom[::-1]])
    inner = np.concatenate([at([-0.93], 0), inner_top, at([0.93], 0), inner_bottom[::-1]])
    return outer, inner

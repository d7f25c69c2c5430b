"""All faces of a photograph, with the five points that they are aligned by."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

from components.faces.dlib_models import dlib_and_models

DETECTORS = ("hog", "cnn")
_SMALLEST = {"hog": 80, "cnn": 40}  # sides in pixels of the smallest faces that dlib's detectors look for
_LARGEST_SEARCHED = 4096  # pixels on a photograph's longer side, lest small faces in large photographs take all memory


@dataclasses.dataclass(frozen=True)
class Face:
    """A face of a photograph.

    Attributes:
        box: left, top, right and bottom in pixels of the photograph.
        score: of the detector; the higher the surer.
        points: [5, 2] float64 x, y in pixels of the photograph from its top left corner: outer and inner corner of the
            eye at the right, outer and inner corner of the one at the left, where the nose meets the upper lip.
    """

    box: tuple[float, float, float, float]
    score: float
    points: np.ndarray


class FaceDetector:
    """Finds faces with dlib's detectors; its author gave them and the five-point predictor to the public domain.

    One detector is not for several threads at the same time.

    Args:
        detector: "hog" (frontal faces, fast) or "cnn" (also turned ones; eleven times as long on a CPU).
        threshold: a face's score is above it.
        min_share: of the photograph's longer side, the side of the smallest faces that are looked for.
        min_pixels: the same in pixels; whichever is larger.

    Raises:
        ValueError: for another detector or a size that isn't one.
        ModuleNotFoundError: if dlib or its models are not installed.
    """

    def __init__(self, detector: str = "hog", threshold: float = 0.0, min_share: float = 0.05, min_pixels: int = 40):
        if detector not in DETECTORS:
            raise ValueError(f"The face detector is one of {', '.join(DETECTORS)}; received {detector!r}.")
        if not (0 <= min_share < 1 and min_pixels >= 1):
            raise ValueError(
                "The smallest face is a share of the photograph's longer side, from 0 to below 1, and a pixel or more; "
                f"received {min_share} and {min_pixels}."
            )
        dlib, models = dlib_and_models()
        self._dlib = dlib
        self._threshold = threshold
        self._min_share, self._min_pixels = min_share, min_pixels
        self._smallest = _SMALLEST[detector]
        self._find = self._find_by_hog if detector == "hog" else self._find_by_cnn
        if detector == "hog":
            self._detector = dlib.get_frontal_face_detector()
        else:
            self._detector = dlib.cnn_face_detection_model_v1(models.cnn_face_detector_model_location())
        self._predict_points = dlib.shape_predictor(models.pose_predictor_five_point_model_location())

    def __call__(self, photograph: np.ndarray) -> list[Face]:
        """[H, W, 3] uint8 RGB, upright -> its faces, from left to right."""
        longer = max(photograph.shape[:2])
        smallest = max(self._min_pixels, self._min_share * longer)
        scale = min(self._smallest / smallest, _LARGEST_SEARCHED / longer)
        searched = photograph if scale == 1 else _scaled(photograph, scale)
        faces = [self._face(photograph, box / scale, score) for box, score in self._find(searched)]
        return sorted(faces, key=lambda face: face.box)

    def _find_by_hog(self, image):
        boxes, scores, _ = self._detector.run(image, 0, self._threshold)
        return [(_corners(box), score) for box, score in zip(boxes, scores, strict=True)]

    def _find_by_cnn(self, image):
        found = self._detector(image, 0)
        return [(_corners(each.rect), each.confidence) for each in found if each.confidence > self._threshold]

    def _face(self, photograph, box, score):
        rectangle = self._dlib.rectangle(*(round(float(side)) for side in box))
        parts = self._predict_points(photograph, rectangle).parts()
        points = np.array([(point.x, point.y) for point in parts]) + 0.5  # dlib counts from the pixels' centres
        return Face(tuple(float(side) for side in box), float(score), points)


def main_face(boxes: np.ndarray, height: int, width: int) -> int:
    """[F, 4] left, top, right, bottom in pixels -> index of the face the image is of.

    It has the greatest area less twice the squared distance of its centre from the image's centre: the larger face,
    and of two of one size the more central.
    """
    left, top, right, bottom = np.asarray(boxes, float).T
    off_centre = np.square((left + right - width) / 2) + np.square((top + bottom - height) / 2)
    return int(np.argmax((right - left) * (bottom - top) - 2 * off_centre))


def _corners(rectangle):
    """[4], of which right and bottom are just beyond the rectangle's last pixels."""
    return np.array([rectangle.left(), rectangle.top(), rectangle.right() + 1, rectangle.bottom() + 1], float)


def _scaled(photograph, scale):
    size = tuple(max(1, round(side * scale)) for side in photograph.shape[1::-1])
    return np.asarray(Image.fromarray(photograph).resize(size, Image.Resampling.BILINEAR))

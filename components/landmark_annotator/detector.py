"""dlib's face detector and 68-point predictor behind one call."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np

EXTRA = ("dlib", "face_recognition_models")


def require_extra() -> None:
    """Raises ModuleNotFoundError, naming the extra, if dlib or its models are not installed (nothing is imported)."""
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"Landmark annotation needs {' and '.join(missing)}, not installed here. "
            'Run `pip install ".[landmarks]"` in the folder of the project (`make setup` installs it too).'
        )


class LandmarkDetector:
    """Finds the 68 points (iBUG 300-W mark-up) of the main face in an image.

    Loading reads a file of 100 MB: once for each worker. One detector is not for several threads at the same time.
    """

    def __init__(self):
        require_extra()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # face_recognition_models imports the deprecated pkg_resources
            import dlib
            import face_recognition_models
        self._find_faces = dlib.get_frontal_face_detector()
        self._predict_points = dlib.shape_predictor(face_recognition_models.pose_predictor_model_location())

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        """[H, W, 3] uint8 RGB -> [68, 2] float32 x, y in [0, 1] of the image, or None if no face is found.

        A face smaller than 80 pixels is found only in the image at twice its size, which takes four times as long:
        that is tried only where nothing was found. Of several faces `main_face` chooses one. Points outside the
        image lie outside [0, 1].
        """
        faces = self._find_faces(image, 0) or self._find_faces(image, 1)
        if not faces:
            return None
        height, width = image.shape[:2]
        boxes = np.array([(face.left(), face.top(), face.right(), face.bottom()) for face in faces])
        points = self._predict_points(image, faces[main_face(boxes, height, width)])
        return normalised(np.array([(point.x, point.y) for point in points.parts()]), height, width)


def main_face(boxes: np.ndarray, height: int, width: int) -> int:
    """[F, 4] left, top, right, bottom in pixels -> index of the face the image is of.

    It has the greatest area less twice the squared distance of its centre from the image's centre: the larger face,
    and of two of one size the more central.
    """
    left, top, right, bottom = np.asarray(boxes, float).T
    off_centre = np.square((left + right - width) / 2) + np.square((top + bottom - height) / 2)
    return int(np.argmax((right - left) * (bottom - top) - 2 * off_centre))


def normalised(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """[L, 2] x, y as pixel indices from 0 -> [L, 2] float32 in [0, 1] of the image.

    A pixel's centre lies half a pixel from its index. So resizing changes nothing and a mirror makes x exactly 1 - x.
    """
    return ((np.asarray(pixels, float) + 0.5) / (width, height)).astype(np.float32)

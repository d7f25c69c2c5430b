"""dlib's face detector and 68-point predictor behind one call."""

from __future__ import annotations

import numpy as np

from components.faces.detector import main_face
from components.faces.dlib_models import dlib_and_models


class LandmarkDetector:
    """Finds the 68 points (iBUG 300-W mark-up) of the main face in an image.

    Loading reads a file of 100 MB: once for each worker. One detector is not for several threads at the same time.
    """

    def __init__(self):
        dlib, models = dlib_and_models()
        self._find_faces = dlib.get_frontal_face_detector()
        self._predict_points = dlib.shape_predictor(models.pose_predictor_model_location())

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


def normalised(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """[L, 2] x, y as pixel indices from 0 -> [L, 2] float32 in [0, 1] of the image.

    A pixel's centre lies half a pixel from its index. So resizing changes nothing and a mirror makes x exactly 1 - x.
    """
    return ((np.asarray(pixels, float) + 0.5) / (width, height)).astype(np.float32)

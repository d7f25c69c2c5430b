"""The faces of a photograph for the page: where they are, and each aligned as a model's training images were."""

from __future__ import annotations

import base64
import threading
from typing import Any

from components.faces.detector import FaceDetector
from components.faces.frame import Frame, aligned, inverse
from components.prediction.photographs import PhotographError, decoded
from components.prediction.predictor import alike, jpeg, png
from pipeline.server.rest import BadRequest

_MAX_HEIGHT = 2048  # of an aligned face
_MAX_TASKS = 32


class Faces:
    """Finds faces; one photograph at a time, as dlib's detectors need it."""

    def __init__(self):
        self._detect = FaceDetector()
        self._lock = threading.Lock()

    def __call__(self, body: Any) -> dict[str, Any]:
        """JSON to JSON.

        Args:
            body: {"photograph": {"b64": …}, "height": of the network's images, "frames": by task, as a contract has
                them}.

        Returns:
            {"width", "height" of the photograph, "photograph": {"b64": …}, as JPEG, "faces": a list of {"box": [left,
            top, width, height], "score", "shown": a list of {"tasks", "image": {"b64": …}, "width", "height", "back":
            [2][3], from its pixels to the photograph's}}}.

        Raises:
            BadRequest: for another body, or what is no photograph.
        """
        try:
            encoded = base64.b64decode(body["photograph"]["b64"], validate=True)
            height = int(body["height"])
            frames = {task: Frame.from_json(frame) for task, frame in body["frames"].items()}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BadRequest(f"expected photograph, height and frames: {error}") from error
        if not 1 <= height <= _MAX_HEIGHT:
            raise BadRequest(f"height is from 1 to {_MAX_HEIGHT}; received {height}")
        if len(frames) > _MAX_TASKS:
            raise BadRequest(f"frames are of {_MAX_TASKS} tasks at most; received {len(frames)}")
        try:
            photograph = decoded(encoded)
        except PhotographError as error:
            raise BadRequest(f"the photograph can't be read: {error}") from error
        with self._lock:
            found = self._detect(photograph)
        faces = []
        for face in found:
            left, top, right, bottom = face.box
            shown = [self._shown(photograph, face, frame, height, tasks) for frame, tasks in alike(frames).items()]
            box = [left, top, right - left, bottom - top]
            faces.append({"box": box, "score": face.score, "shown": shown})
        rows, columns = photograph.shape[:2]
        shown = {"b64": base64.b64encode(jpeg(photograph)).decode()}
        return {"width": columns, "height": rows, "photograph": shown, "faces": faces}

    def _shown(self, photograph, face, frame, height, tasks):
        image, matrix = aligned(photograph, face, frame, height, min(2 * height, _MAX_HEIGHT))
        rows, columns = image.shape[:2]
        return {
            "tasks": list(tasks),
            "image": {"b64": base64.b64encode(png(image)).decode()},
            "width": columns,
            "height": rows,
            "back": inverse(matrix).tolist(),
        }

"""dlib and the models of its author, which are an extra of this project."""

from __future__ import annotations

import importlib.util
import warnings

EXTRA = ("dlib", "face_recognition_models")


def require_extra() -> None:
    """Raises ModuleNotFoundError, naming the extra, if dlib or its models are not installed (nothing is imported)."""
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"Finding faces needs {' and '.join(missing)}, not installed here. "
            'Run `pip install ".[landmarks]"` in the folder of the project (`make setup` installs it too).'
        )


def dlib_and_models():
    """The modules dlib and face_recognition_models; ModuleNotFoundError as of `require_extra`."""
    require_extra()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # face_recognition_models imports the deprecated pkg_resources
        import dlib
        import face_recognition_models
    return dlib, face_recognition_models

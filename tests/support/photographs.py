"""Photographs of faces for tests: one that comes with matplotlib, and real samples where a machine has them."""

from __future__ import annotations

import importlib.util
import pathlib

import matplotlib
import numpy as np
import pytest
from PIL import Image

from components.faces.dlib_models import EXTRA

# In the public domain: Rear Admiral Grace Hopper, by the US Navy.
GRACE_HOPPER = pathlib.Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")
SAMPLES = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"
CELEB_A = SAMPLES / "celeba"

needs_dlib = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in EXTRA), reason="the extra `landmarks` is missing"
)
needs_celeb_a = pytest.mark.skipif(not CELEB_A.is_dir(), reason="no sample data in ../shared/data/celeba")


def grace_hopper() -> np.ndarray:
    """[600, 512, 3] uint8."""
    return np.asarray(Image.open(GRACE_HOPPER).convert("RGB"))

"""What all tests need before TensorFlow is imported: as a run has it (Makefile)."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Keras keeps the graphs of all networks: to look through them as often as Python does takes a twentieth of the time.
gc.set_threshold(50_000, 20, 100)


def pytest_collection_modifyitems(items):
    """What takes long comes first, so that the workers end together; the Makefile tells xdist to keep the order."""
    items.sort(key=lambda item: (item.get_closest_marker("e2e") is None, item.get_closest_marker("slow") is None))

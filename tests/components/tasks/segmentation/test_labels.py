"""Label maps in a mirror."""

import numpy as np

from components.tasks.segmentation.labels import mirror_label_map

PARTS = ("background", "l_eye", "r_eye", "u_lip", "l_lip", "ear_r", "left_eyebrow", "right_eyebrow")


def test_mirroring_a_label_map_twice_changes_nothing():
    labels = np.random.default_rng(0).choice([*range(8), 255], (9, 12)).astype(np.uint8)
    again = mirror_label_map(mirror_label_map(labels, PARTS), PARTS)
    np.testing.assert_array_equal(again, labels)

"""mirrored_labels: which classes change places in a mirror."""

import pytest

from components.tasks.segmentation.label_maps import (
    CELEBAMASK_PARTS,
    FACE_PARTS,
    FACE_PARTS_WITHOUT_SIDES,
    mirrored_labels,
)


def pairs(classes):
    """The classes that change, with what they become, left first."""
    mirrored = mirrored_labels(classes)
    assert [mirrored[label] for label in mirrored] == list(range(len(classes)))
    return {classes[a]: classes[b] for a, b in enumerate(mirrored) if a < b}


def test_celebamask_hq():
    # u_lip and l_lip, the upper and the lower lip, ear_r, the earring, and neck_l, the necklace, have no sides.
    assert pairs(CELEBAMASK_PARTS) == {"l_eye": "r_eye", "l_brow": "r_brow", "l_ear": "r_ear"}
    assert mirrored_labels(CELEBAMASK_PARTS)[:10] == (0, 1, 2, 3, 5, 4, 7, 6, 9, 8)


def test_helen_and_lapa():
    assert pairs(FACE_PARTS) == {"left_eyebrow": "right_eyebrow", "left_eye": "right_eye"}


def test_classes_without_sides_stay_what_they_are():
    assert mirrored_labels(FACE_PARTS_WITHOUT_SIDES) == tuple(range(9))


def test_other_choices_of_the_same_parts():
    assert mirrored_labels(("background", "right_eye", "nose", "left_eye")) == (0, 3, 2, 1)


@pytest.mark.parametrize(
    ("classes", "name"), [(("background", "left_hand"), "left_hand"), (("background", "l_eye", "nose"), "l_eye")]
)
def test_a_class_without_its_counterpart_is_an_error(classes, name):
    with pytest.raises(ValueError, match=f"'{name}' becomes in a mirror.*label_maps.py, or train with flip=False"):
        mirrored_labels(classes)

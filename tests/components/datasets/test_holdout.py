import pytest

from components.datasets.holdout import check_every, is_held_out


def test_every_third_is_held_out():
    assert [number for number in range(1, 11) if is_held_out(number, 3)] == [3, 6, 9]
    assert not any(is_held_out(number, 0) for number in range(10))


def test_distances():
    for every in (0, 2, 10):
        check_every(every)
    for every in (-2, 1, 2.5):
        with pytest.raises(
            ValueError, match=f"validation_every is {every}; expected 0 to hold out no image, or a whole"
        ):
            check_every(every)

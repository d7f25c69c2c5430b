"""The pyramid against bins worked out by hand: bin k of n covers floor(k·H/n) to ceil((k+1)·H/n)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import check_layer
from tensorflow import keras

from keras_models import SpatialPyramidPooling


def _pool(image, levels):
    """[H, W] -> the pyramid of a batch of one with one channel, as a list."""
    return SpatialPyramidPooling(levels)(np.asarray(image, np.float32)[None, :, :, None]).numpy()[0].tolist()


def test_4x4_worked_by_hand():
    # 0 1 2 3 / 4 5 6 7 / ...: a bin's maximum is its last row and column, the negative map's its first.
    # 2 bins: rows 0-1, 2-3. 3 bins: 4/3 and 8/3 are rounded outwards, so rows 0-1, 1-2, 2-3. Columns likewise.
    grid = np.arange(16).reshape(4, 4)
    assert _pool(grid, 3) == [15, *(5, 7, 13, 15), *(5, 6, 7, 9, 10, 11, 13, 14, 15)]
    assert _pool(-grid, 3) == [0, *(0, -2, -8, -10), *(0, -1, -2, -4, -5, -6, -8, -9, -10)]


def test_5x7_worked_by_hand():
    # The value 10·row + column. Rows: 0-2, 2-4 and 0-1, 1-3, 3-4; columns: 0-3, 3-6 and 0-2, 2-4, 4-6.
    grid = 10 * np.arange(5)[:, None] + np.arange(7)
    assert _pool(grid, 3) == [46, *(23, 26, 43, 46), *(12, 14, 16, 32, 34, 36, 42, 44, 46)]
    assert _pool(-grid, 3) == [0, *(0, -3, -20, -23), *(0, -2, -4, -10, -12, -14, -30, -32, -34)]


def test_channels_come_last():
    grid = np.arange(16, dtype=np.float32).reshape(4, 4)
    both = SpatialPyramidPooling(2)(np.stack([grid, -grid], -1)[None]).numpy()
    assert both.tolist() == [[15, 0, 5, 0, 7, -2, 13, -8, 15, -10]]


def test_a_map_smaller_than_its_bins_fills_them_all():
    assert _pool([[7]], 3) == [7] * 14
    # 2 rows in 3 bins: 0, 0-1, 1.
    assert _pool([[1], [2]], 3) == [2, *(1, 1, 2, 2), *(1, 1, 1, 2, 2, 2, 2, 2, 2)]


@pytest.mark.parametrize(("levels", "length"), [(1, 2048), (3, 28_672)])
def test_lengths_of_the_paper(levels, length):
    layer = SpatialPyramidPooling(levels)
    features = keras.Input((7, 7, 2048))
    assert layer(features).shape == (None, length)
    assert layer.compute_output_shape((None, 7, 7, 2048)) == (None, length)
    assert layer(np.zeros((2, 7, 7, 2048), np.float32)).shape == (2, length)


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (1, 3), (11, 2)])
def test_static_and_unknown_sizes_agree(size):
    features = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    answers = []
    for height, width in (size, (None, None), (size[0], None), (None, size[1])):
        image = keras.Input((height, width, 3))
        answers.append(keras.Model(image, SpatialPyramidPooling(3)(image))(features).numpy())
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 12), width=st.integers(1, 12), levels=st.integers(1, 4), seed=st.integers(0, 99))
def test_no_pixel_is_dropped(height, width, levels, seed):
    """Wherever the maximum stands, every level has it; and nothing comes out that isn't in the map."""
    grid = np.random.default_rng(seed).permutation(height * width).reshape(height, width)
    pooled = np.array(_pool(grid, levels))
    assert set(pooled) <= set(grid.ravel())
    for level in np.split(pooled, np.cumsum([n * n for n in range(1, levels)])):
        assert level.max() == grid.max()


def test_conformance():
    features = np.random.default_rng(0).normal(size=(2, 5, 3, 2)).astype(np.float32)
    check_layer(SpatialPyramidPooling(3, name="pyramid"), features, any_size=True, formats=(".keras", ".h5", ""))


@pytest.mark.parametrize("levels", [0, -1])
def test_at_least_one_level(levels):
    with pytest.raises(ValueError, match=f"at least one level, received levels={levels}"):
        SpatialPyramidPooling(levels)

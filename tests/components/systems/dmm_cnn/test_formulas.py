"""The formulas behind the callbacks against numbers worked out by hand, with their edges and what always holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from components.systems.dmm_cnn.adaptive import (
    adaptive_weights,
    dynamic_weight_average,
    dynamic_weights,
    updated_thresholds,
)

FORTY_LOSSES = npst.arrays(np.float64, 40, elements=st.floats(1e-3, 1e3))
PROPERTY = settings(max_examples=30, deadline=None)


class TestUpdatedThresholds:
    """Eq. 6."""

    def test_worked_by_hand(self):
        # 0.1 + 0.01 · 2 · (30 - 10) / 200, and 0 + 0.01 · 2 · (5 - 25) / 200
        moved = updated_thresholds(np.array([0.1, 0]), np.array([30, 5]), np.array([10, 25]), 200, epoch=2)
        np.testing.assert_allclose(moved, [0.102, -0.002])

    def test_each_attribute_by_its_own_number_of_images(self):
        # 0.1 · 1 · 4 / 40, 0.1 · 1 · 4 / 8
        moved = updated_thresholds(np.zeros(2), np.array([4, 4]), np.zeros(2), np.array([40, 8]), epoch=1, gamma=0.1)
        np.testing.assert_allclose(moved, [0.01, 0.05])

    def test_equal_errors_leave_the_threshold(self):
        assert updated_thresholds(0.25, false_positives=7, false_negatives=7, num_examples=100, epoch=5) == 0.25

    @PROPERTY
    @given(fp=st.integers(0, 500), fn=st.integers(0, 500), epoch=st.integers(1, 50))
    def test_a_step_is_at_most_gamma_times_the_epoch(self, fp, fn, epoch):
        step = updated_thresholds(0.0, fp, fn, 1000, epoch)
        assert np.sign(step) == np.sign(fp - fn)
        assert abs(step) <= 0.01 * epoch


class TestDynamicWeights:
    """Eq. 4."""

    def test_worked_by_hand(self):
        # |0.9 - 1| / 1, |0.5 - 0.4| / 0.4, unchanged
        np.testing.assert_allclose(dynamic_weights([0.9, 0.5, 2], [1, 0.4, 2]), [0.1, 0.25, 0])

    def test_first_evaluation(self):
        assert dynamic_weights([0.9, 0.5], None).tolist() == [1, 1]
        assert dynamic_weights([0.9, 0.5], None, normalize=True).tolist() == [1, 1]

    def test_nothing_left_to_learn(self):
        assert dynamic_weights([0.3, 0], [0, 0]).tolist() == [0, 0]

    def test_normalized(self):
        # 0.1 and 0.3 over their mean of 0.2
        np.testing.assert_allclose(dynamic_weights([0.9, 1.3], [1, 1], normalize=True), [0.5, 1.5])

    def test_normalized_where_nothing_changed(self):
        assert dynamic_weights([1, 2], [1, 2], normalize=True).tolist() == [1, 1]

    @PROPERTY
    @given(now=FORTY_LOSSES, before=FORTY_LOSSES, scale=st.floats(0.1, 10))
    def test_the_unit_of_the_loss_does_not_matter(self, now, before, scale):
        weights = dynamic_weights(now, before)
        assert (weights >= 0).all()
        np.testing.assert_allclose(dynamic_weights(scale * now, scale * before), weights, rtol=1e-6, atol=1e-9)


class TestDynamicWeightAverage:
    """DWA in Table 2."""

    def test_worked_by_hand(self):
        # r = 0.5 and 1.5; over T = 2: 0.25 and 0.75; 2 · softmax = 2 / (1 + e^0.5) and 2 / (1 + e^-0.5)
        weights = dynamic_weight_average([1, 3], [2, 2])
        np.testing.assert_allclose(weights, [2 / (1 + np.e**0.5), 2 / (1 + np.e**-0.5)])
        np.testing.assert_allclose(weights, [0.755081, 1.244919], rtol=1e-6)

    def test_before_two_epochs(self):
        assert dynamic_weight_average([1, 3], None).tolist() == [1, 1]

    def test_a_previous_loss_of_zero_counts_as_unchanged(self):
        assert dynamic_weight_average([1, 3], [0, 3]).tolist() == [1, 1]

    def test_a_huge_ratio_does_not_overflow(self):
        np.testing.assert_allclose(dynamic_weight_average([1e6, 1], [1e-6, 1]), [2, 0])

    @PROPERTY
    @given(now=FORTY_LOSSES, before=FORTY_LOSSES)
    def test_the_weights_sum_to_their_number(self, now, before):
        weights = dynamic_weight_average(now, before)
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(40)
        assert weights[np.argmax(now / before)] == weights.max()

    def test_a_high_temperature_evens_out(self):
        np.testing.assert_allclose(dynamic_weight_average([1, 3], [2, 2], temperature=1e6), [1, 1], rtol=1e-5)


class TestAdaptiveWeights:
    """AW in Table 2."""

    def test_worked_by_hand(self):
        # The halves' means: (4, 1) and (2, 2). Trends |2 - 4| / 2 = 1 and |2 - 1| / 2 = 0.5, over their mean: 4/3, 2/3.
        # Losses over their mean: 0.5, 1.5. Products 2/3 and 1, over their mean of 5/6: 0.8 and 1.2.
        window = [[3, 0.5], [5, 1.5], [1, 2], [3, 2]]
        np.testing.assert_allclose(adaptive_weights([1, 3], window), [0.8, 1.2])

    def test_no_trend_weighs_by_loss(self):
        np.testing.assert_allclose(adaptive_weights([1, 3], np.ones((4, 2))), [0.5, 1.5])

    def test_losses_of_zero(self):
        np.testing.assert_allclose(adaptive_weights([0, 0], np.zeros((4, 2))), [1, 1])

    @PROPERTY
    @given(now=FORTY_LOSSES, window=npst.arrays(np.float64, (6, 40), elements=st.floats(1e-3, 1e3)))
    def test_the_mean_is_one(self, now, window):
        weights = adaptive_weights(now, window)
        assert (weights >= 0).all()
        assert weights.mean() == pytest.approx(1)

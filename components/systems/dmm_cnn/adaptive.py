"""Decision thresholds and loss weights that follow the validation split (DMM-CNN, Section 3.3; its Table 2).

The formulas are pure; the callbacks are thin. They read what the task counted during the one validation pass that Keras
makes anyway, so any network with yes-or-no labels can use them.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow import keras

from components.trainer.recipe import RunCallback


def updated_thresholds(thresholds, false_positives, false_negatives, num_examples, epoch, gamma=0.01):
    """Adaptive thresholding step of DMM-CNN (Mao et al. 2020, Eq. 6): τ_t = τ_{t-1} + γ·l·(FP - FN) / V.

    Args:
        thresholds, false_positives, false_negatives: [N] per attribute, the errors counted at `thresholds`.
        num_examples: V, the size of the validation split; a number, or [N] where not every image is annotated.
        epoch: l, 1-based.
        gamma: γ.

    Returns:
        [N]. More false positives than false negatives raise a threshold.
    """
    return thresholds + gamma * epoch * np.subtract(false_positives, false_negatives) / num_examples


def dynamic_weights(losses, previous_losses, normalize=False):
    """Dynamic loss weights of DMM-CNN (Eq. 4): λ_j = |(L_j(t) - L_j(t-1)) / L_j(t-1)|.

    Args:
        losses: [N] validation loss per attribute.
        previous_losses: [N] at the evaluation before, or None at the first: then every weight is 1.
        normalize: scale the weights to a mean of 1 (not in the paper).

    Returns:
        [N]. The weight of an attribute whose previous loss is 0 is 0: nothing is left to learn.
    """
    losses = np.asarray(losses, np.float64)
    if previous_losses is None:
        return np.ones_like(losses)
    previous = np.asarray(previous_losses, np.float64)
    change = np.abs(losses - previous)
    weights = np.divide(change, previous, out=np.zeros_like(change), where=previous > 0)
    return _mean_one(weights) if normalize else weights


def dynamic_weight_average(losses, previous_losses, temperature=2.0):
    """Dynamic Weight Average (Liu et al. 2019, Eq. 7): w_k = K·softmax(r_k / T), r_k = L_k(t-1) / L_k(t-2).

    Args:
        losses: [K] mean training losses of the last epoch, L(t-1).
        previous_losses: [K] of the epoch before, L(t-2), or None: then every weight is 1.
        temperature: T; large values make the weights even.

    Returns:
        [K], of sum K.
    """
    losses = np.asarray(losses, np.float64)
    if previous_losses is None:
        return np.ones_like(losses)
    previous = np.asarray(previous_losses, np.float64)
    ratio = np.divide(losses, previous, out=np.ones_like(losses), where=previous > 0)
    exponentials = np.exp((ratio - ratio.max()) / temperature)
    return len(losses) * exponentials / exponentials.sum()


def adaptive_weights(losses, trend_window):
    """Adaptive weighting of AW-CNN (He et al. 2017): the validation loss times its mean trend, of mean 1.

    Args:
        losses: [N] validation loss per attribute now.
        trend_window: [2·w, N] the latest validation losses, oldest first; the trend compares the means of its halves.

    Returns:
        [N]: normalised loss × normalised trend, scaled to a mean of 1.
    """
    before, now = np.split(np.asarray(trend_window, np.float64), 2)
    before, now = before.mean(axis=0), now.mean(axis=0)
    trend = np.divide(np.abs(now - before), now, out=np.zeros_like(now), where=now > 0)
    return _mean_one(_mean_one(np.asarray(losses, np.float64)) * _mean_one(trend))


def _mean_one(values):
    mean = values.mean()
    return values / mean if mean > 0 else np.ones_like(values)


class _AdaptsTask(keras.callbacks.Callback):
    """Base of what adapts a task of yes-or-no labels; the task is known before the first epoch, or a ValueError."""

    task: str

    def set_model(self, model):
        super().set_model(model)
        adaptable = [name for name, learning in model.tasks.items() if hasattr(learning, "thresholds")]
        if self.task not in adaptable:
            raise ValueError(
                f"{type(self).__name__} adapts task {self.task!r}, but the tasks of yes-or-no labels are "
                f"{', '.join(adaptable) or 'none'}: set the callback's `task`."
            )

    @property
    def _learning(self):
        return self.model.tasks[self.task]


class AdaptiveThresholds(_AdaptsTask):
    """Moves the model's decision thresholds after each validation pass (Eq. 6).

    Args:
        gamma: γ of Eq. 6.
        task: whose thresholds; one of yes-or-no labels.
    """

    def __init__(self, gamma: float = 0.01, task: str = "attributes"):
        super().__init__()
        self.gamma = gamma
        self.task = task
        self._epoch = 1

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch + 1

    def on_test_end(self, logs=None):
        task, counts = self._learning, self._learning.metric
        thresholds = updated_thresholds(
            task.thresholds.numpy(),
            counts.false_positives.numpy(),
            counts.false_negatives.numpy(),
            np.maximum(counts.annotated.numpy(), 1),
            self._epoch,
            self.gamma,
        )
        task.thresholds.assign(thresholds)


class _LossWeighting(_AdaptsTask):
    """Base of the schemes that compare two losses: remembers the last ones in a variable that checkpoints keep."""

    previous_losses = None

    def __init__(self, task: str):
        super().__init__()
        self.task = task

    def set_model(self, model):
        super().set_model(model)
        # NaN is "no losses yet". Keras sets the model again when training starts, after a restore.
        if self.previous_losses is None:
            self.previous_losses = tf.Variable(tf.fill(self._learning.weights.shape, np.nan), trainable=False)

    def _update(self, losses, formula, **options):
        previous = self.previous_losses.numpy()
        seen = not np.isnan(previous).any()
        self._learning.weights.assign(formula(losses, previous if seen else None, **options))
        self.previous_losses.assign(losses)


class DynamicWeights(_LossWeighting):
    """Sets the attributes' loss weights after each validation pass (Eq. 4).

    Args:
        normalize: scale the weights to a mean of 1 (not in the paper).
        task: whose losses are weighted; one of yes-or-no labels.
    """

    def __init__(self, normalize: bool = False, task: str = "attributes"):
        super().__init__(task)
        self.normalize = normalize

    def on_test_end(self, logs=None):
        self._update(self._learning.metric.losses(), dynamic_weights, normalize=self.normalize)


class DynamicWeightAverage(_LossWeighting):
    """Sets the attributes' loss weights from the training losses of the last two epochs (DWA in Table 2).

    Args:
        temperature: T.
        task: whose losses are weighted; one of yes-or-no labels.
    """

    def __init__(self, temperature: float = 2.0, task: str = "attributes"):
        super().__init__(task)
        self.temperature = temperature

    def on_epoch_begin(self, epoch, logs=None):
        self._learning.training_losses.reset_state()

    def on_epoch_end(self, epoch, logs=None):
        self._update(self._learning.training_losses.losses(), dynamic_weight_average, temperature=self.temperature)


class AdaptiveWeighting(_AdaptsTask, RunCallback):
    """Sets the loss weights from a small validation batch at every step (AW in Table 2).

    Args:
        batch_size: validation images a step; the paper's comparison uses 10.
        window: steps in one half of the trend window.
        every: steps between two updates of the weights.
        task: whose losses are weighted; one of yes-or-no labels.
    """

    def __init__(self, batch_size: int = 10, window: int = 10, every: int = 10, task: str = "attributes"):
        super().__init__()
        self.batch_size = batch_size
        self.window = window
        self.every = every
        self.task = task
        self.recent_losses = self.steps = None

    def set_recipe(self, recipe, model):
        self._batches = iter(recipe.validation.unbatch().repeat().batch(self.batch_size))

    def set_model(self, model):
        super().set_model(model)
        if self.recent_losses is None:
            shape = [2 * self.window, *self._learning.weights.shape]
            self.recent_losses = tf.Variable(tf.zeros(shape), trainable=False)
            self.steps = tf.Variable(0, trainable=False, dtype=tf.int64)

    def on_train_batch_end(self, batch, logs=None):
        losses = self.model.mean_losses(*next(self._batches))[self.task]
        self.recent_losses.assign(tf.concat([self.recent_losses[1:], losses[None]], axis=0))
        step = int(self.steps.assign_add(1))
        if step >= 2 * self.window and step % self.every == 0:
            self._learning.weights.assign(adaptive_weights(losses.numpy(), self.recent_losses.numpy()))

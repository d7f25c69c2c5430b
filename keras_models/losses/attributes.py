"""Losses of attributes and landmarks. A label that is not annotated (attribute -1, landmark NaN) adds nothing."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras


def attribute_mse(labels: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Squared error per attribute (DMM-CNN, Eq. 2), as (sum, count) so that batches and replicas add up exactly.

    Args:
        labels: [batch, N] integers: 1, 0, or -1 where not annotated.
        scores: [batch, N] float, trained towards +1 and -1.

    Returns:
        Two [N] float tensors: Σ_i (ŷ_ij - y_ij)² with y in {-1, +1}, and the number of annotated images.
    """
    annotated = tf.cast(labels >= 0, scores.dtype)
    targets = 2.0 * tf.cast(labels, scores.dtype) - 1.0
    return tf.reduce_sum(annotated * tf.square(scores - targets), axis=0), tf.reduce_sum(annotated, axis=0)


def weighted_binary_crossentropy(y_true: tf.Tensor, y_pred: tf.Tensor, positive_rate: tf.Tensor | float) -> tf.Tensor:
    """Cross-entropy in which an attribute's positives and negatives weigh the same in total (MGG-Net, Section 3.3).

    -(w⁺ y log ŷ + w⁻ (1 - y) log(1 - ŷ)) with w⁺ = 1 / (2p) and w⁻ = 1 / (2(1 - p)). A rate of 1/2 gives both
    the weight 1: the plain cross-entropy.

    Args:
        y_true: [batch, N] integers: 1, 0, or -1 where not annotated.
        y_pred: [batch, N] probabilities.
        positive_rate: p, the share of positives in the training split; broadcasts to [batch, N]. A side without
            examples in the split has the weight 0.

    Returns:
        [batch, N] of y_pred's dtype, 0 where not annotated.
    """
    probabilities = tf.clip_by_value(y_pred, keras.backend.epsilon(), 1.0 - keras.backend.epsilon())
    rate = tf.cast(positive_rate, y_pred.dtype)
    positive, negative = (tf.cast(y_true == side, y_pred.dtype) for side in (1, 0))
    return -(
        tf.math.divide_no_nan(positive, 2.0 * rate) * tf.math.log(probabilities)
        + tf.math.divide_no_nan(negative, 2.0 * (1.0 - rate)) * tf.math.log(1.0 - probabilities)
    )


def soft_binary_crossentropy(targets: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """Cross-entropy -(t log s + (1 - t) log(1 - s)) of each task (Lu et al. 2017, Section 4.5).

    Args:
        targets: t, [batch, T] from 0 to 1; negative where unknown.
        probabilities: s, [batch, T].

    Returns:
        [batch, T] of the probabilities' dtype, 0 where unknown.
    """
    epsilon = keras.backend.epsilon()
    s, t = tf.clip_by_value(probabilities, epsilon, 1.0 - epsilon), tf.cast(targets, probabilities.dtype)
    losses = -(t * tf.math.log(s) + (1.0 - t) * tf.math.log(1.0 - s))
    return tf.where(t >= 0, losses, 0.0)


def landmark_mse(landmarks: tf.Tensor, predictions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Squared L2 norm of the coordinate error (DMM-CNN, Eq. 1), as (sum, count).

    Args:
        landmarks: [batch, 2·T] float, NaN where the image is not annotated.
        predictions: [batch, 2·T] float.

    Returns:
        Two scalars: Σ_i ‖ŷ_i - y_i‖², and the number of annotated images.
    """
    annotated = tf.reduce_all(tf.math.is_finite(landmarks), axis=-1)
    # A NaN behind tf.where still reaches the gradient, so the label is replaced before the difference.
    targets = tf.where(annotated[:, None], landmarks, predictions)
    squared = tf.reduce_sum(tf.square(predictions - targets), axis=-1)
    return tf.reduce_sum(squared), tf.reduce_sum(tf.cast(annotated, predictions.dtype))


def joint_loss(attribute_losses: tf.Tensor, weights: tf.Tensor, landmark_loss: tf.Tensor, beta: float) -> tf.Tensor:
    """Joint loss (DMM-CNN, Eq. 3): Σ_j λ_j L_j + β L_FLD; [N], [N], scalar, scalar -> scalar."""
    return tf.reduce_sum(weights * attribute_losses) + beta * landmark_loss

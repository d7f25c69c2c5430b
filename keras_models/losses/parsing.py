"""Losses of face parsing (DML-CSR, Zheng et al. 2022) as pure functions. A pixel labelled 255 adds nothing."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

# Lovász-softmax sorts up to this many errors; more are counted in this many ranges.
_RANGES = 4096


def pixel_cross_entropy(y_true: tf.Tensor, logits: tf.Tensor, ignore_label: int = 255) -> tf.Tensor:
    """Cross-entropy of each pixel: L^p of Eqs. 3 and 4, and L_ce^p once averaged by `labelled_mean`.

    Args:
        y_true: [batch, H, W] integers in [0, C), or ignore_label.
        logits: [batch, H, W, C].

    Returns:
        [batch, H, W] of the logits' dtype, 0 where ignored.
    """
    labelled = y_true != ignore_label
    labels = tf.where(labelled, tf.cast(y_true, tf.int32), 0)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return losses * tf.cast(labelled, losses.dtype)


def labelled_mean(pixel_losses: tf.Tensor, y_true: tf.Tensor, ignore_label: int = 255) -> tf.Tensor:
    """Mean of [batch, H, W] over the pixels of the batch that have a label; 0 if none has."""
    return _mean(pixel_losses, y_true != ignore_label)


def lovasz_softmax(y_true: tf.Tensor, probabilities: tf.Tensor, ignore_label: int = 255) -> tf.Tensor:
    """Lovász-softmax (Berman et al. 2018, Eq. 11): a convex surrogate of 1 - IoU, averaged over classes.

    The errors of a class, |[y = c] - p_c|, are ranked from the largest on, over the pixels of the whole batch; each
    weighs what its pixel adds to the Jaccard loss of the pixels ranked above it.

    Above 4096 pixels, or if their number is dynamic, errors whose square roots agree to 1/4096 are tied: TensorFlow
    takes seconds to sort a batch of label maps on a CPU, and counting changes the loss by about a millionth (at most by
    1/2048, the largest difference between tied errors) and shares the gradient among tied pixels.

    Args:
        y_true: [batch, H, W] integers in [0, C), or ignore_label.
        probabilities: [batch, H, W, C].

    Returns:
        Scalar float32, the mean over the classes that y_true has; 0 if it has none.
    """
    classes = probabilities.shape[-1]
    labels = tf.reshape(y_true, [1, -1])
    # [C, pixels]: a class is a row.
    predicted = tf.transpose(tf.reshape(tf.cast(probabilities, tf.float32), [-1, classes]))
    labelled = labels != ignore_label
    foreground = (labels == tf.cast(tf.range(classes)[:, None], labels.dtype)) & labelled
    # An error of 0 ranks below all foreground, where the gradient is zero.
    errors = tf.abs(tf.cast(foreground, tf.float32) - predicted) * tf.cast(labelled, tf.float32)

    ranks, size = _ranks(tf.stop_gradient(errors))
    ranks += size * tf.cast(foreground, tf.int32)
    counts = tf.raw_ops.DenseBincount(input=ranks, size=2 * size, weights=tf.constant([], tf.int32))
    weights, present = _jaccard_steps(counts[:, :size], counts[:, size:])
    losses = tf.reduce_sum(errors * tf.stop_gradient(tf.gather(weights, ranks, batch_dims=1)), axis=1)
    return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.reduce_sum(present))


def _ranks(errors):
    """Integers that rise with the errors of a class, [C, pixels] in [0, size); and size."""
    pixels = errors.shape[1]
    if pixels is not None and pixels <= _RANGES:
        return tf.argsort(tf.argsort(errors, axis=1), axis=1), pixels
    # Most errors are small: their square roots are spread better. The lower bound is for NaN, which should make
    # the loss NaN and not fail in the counting.
    return tf.clip_by_value(tf.cast(tf.sqrt(errors) * _RANGES, tf.int32), 0, _RANGES - 1), _RANGES


def _jaccard_steps(background, foreground):
    """What a pixel adds to the Jaccard loss 1 - (F - f) / (F + b) once f foreground and b background pixels are wrong.

    Of the pixels of a rank, the foreground's count as the first.

    Args: background, foreground: [C, size] pixels of each rank, the largest errors last.
    Returns: [C, 2·size], for background and foreground pixels; [C], 1 where a class has foreground, else 0.
    """
    background, foreground = (tf.cast(x, tf.float32) for x in (background, foreground))
    f, b = (tf.cumsum(x, axis=1, reverse=True) for x in (foreground, background))
    total = f[:, :1]
    union_before, union = total + b - background, total + b
    # (F - f) / union_before - (F - f) / union, for each of the pixels that make the difference.
    of_background = tf.math.divide_no_nan(total - f, union_before * union)
    of_foreground = tf.math.divide_no_nan(1.0, union_before)
    return tf.concat([of_background, of_foreground], axis=1), tf.cast(total[:, 0] > 0, tf.float32)


def binary_edge_cross_entropy(y_true: tf.Tensor, logits: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """L_ce^b of Eq. 2: positives weigh the share of negatives in the batch, and the other way round.

    Args:
        y_true: [batch, H, W], 1 on an edge, else 0.
        logits: [batch, H, W, 2].
        mask: [batch, H, W] bool, the pixels that count; all without it.

    Returns:
        Scalar, the weighted mean: half the mean over positives and half that over negatives. 0 if either is missing.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(y_true, tf.int32), logits)
    positive, negative = (tf.cast(_counted(y_true == side, mask), losses.dtype) for side in (1, 0))
    positives, negatives = tf.reduce_sum(positive), tf.reduce_sum(negative)
    share = tf.math.divide_no_nan(positives, positives + negatives)
    weights = positive * (1.0 - share) + negative * share
    return tf.math.divide_no_nan(tf.reduce_sum(weights * losses), tf.reduce_sum(weights))


def category_edge_cross_entropy(y_true: tf.Tensor, logits: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """L_ce^c of Eq. 2: softmax cross-entropy in which a class weighs the inverse of its frequency in the batch.

    Class 0 is "no part's edge".

    Args:
        y_true: [batch, H, W, C], 1 on the edge of class j >= 1, of one at most, else 0; channel 0 isn't read.
        logits: [batch, H, W, C].
        mask: [batch, H, W] bool, the pixels that count; all without it.

    Returns:
        Scalar, the weighted mean: every class that the batch has an edge of, and "no edge", weighs the same.
    """
    log_probabilities = tf.nn.log_softmax(logits)
    edges = tf.cast(y_true[..., 1:], log_probabilities.dtype)
    targets = tf.concat([1.0 - tf.reduce_sum(edges, axis=-1, keepdims=True), edges], axis=-1)
    if mask is not None:
        targets *= tf.cast(mask[..., None], targets.dtype)
    pixels = tf.reduce_sum(targets, axis=(0, 1, 2))
    losses = -tf.reduce_sum(targets * log_probabilities, axis=(0, 1, 2))
    return tf.math.divide_no_nan(
        tf.reduce_sum(tf.math.divide_no_nan(losses, pixels)), tf.reduce_sum(tf.cast(pixels > 0, losses.dtype))
    )


def binary_edge_attention(pixel_losses: tf.Tensor, binary_edges: tf.Tensor) -> tf.Tensor:
    """L_attn^b (Eq. 3): 1/N Σ_i 1/b_i Σ L^p_i ⊙ B_i, the mean parsing loss on an image's edges.

    Args:
        pixel_losses: [N, H, W], L^p: see `pixel_cross_entropy`.
        binary_edges: [N, H, W] of 0 and 1.

    Returns:
        Scalar. An image without edges adds 0.
    """
    edges = tf.cast(binary_edges, pixel_losses.dtype)
    on_edges = tf.reduce_sum(pixel_losses * edges, axis=(1, 2))
    return tf.reduce_mean(tf.math.divide_no_nan(on_edges, tf.reduce_sum(edges, axis=(1, 2))))


def category_edge_attention(
    pixel_losses: tf.Tensor, category_edges: tf.Tensor, class_weights: Sequence[float] | None = None
) -> tf.Tensor:
    """L_attn^c (Eq. 4): 1/(NC) Σ_i Σ_j w_j 1/c_ij Σ L^p_i ⊙ C_ij.

    Args:
        pixel_losses: [N, H, W], L^p: see `pixel_cross_entropy`.
        category_edges: [N, H, W, C] of 0 and 1. C is counted with background, whose channel is empty.
        class_weights: [C], w_j; 1 without it.

    Returns:
        Scalar. A class without edges in an image adds 0.
    """
    edges = tf.cast(category_edges, pixel_losses.dtype)
    on_edges = tf.einsum("nhw,nhwc->nc", pixel_losses, edges)
    means = tf.math.divide_no_nan(on_edges, tf.reduce_sum(edges, axis=(1, 2)))
    return tf.reduce_mean(means if class_weights is None else means * tf.cast(class_weights, means.dtype))


def dml_loss(
    parsing: tf.Tensor,
    lovasz: tf.Tensor,
    binary_edge: tf.Tensor,
    category_edge: tf.Tensor,
    binary_attention: tf.Tensor,
    category_attention: tf.Tensor,
    weights: Sequence[float] = (1.0, 1.0, 1.0, 4.0, 1.0),
) -> tf.Tensor:
    """L_DML (Eq. 5): λ0 (L_ce^p + L_lovász^p) + λ1 L_ce^b + λ3 L_attn^b + λ2 L_ce^c + λ4 L_attn^c.

    Args: the six terms, scalars; weights: λ0 to λ4.
    """
    parse, binary, category, on_binary, on_category = weights
    return (
        parse * (parsing + lovasz)
        + (binary * binary_edge + on_binary * binary_attention)
        + (category * category_edge + on_category * category_attention)
    )


def distillation_kl(teacher_logits: tf.Tensor, logits: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """L_kl of Eq. 7: the divergence KL(teacher ‖ student) of a pixel's probabilities, at temperature 1.

    Args:
        teacher_logits, logits: [batch, H, W, C] of the parsing or either kind of edges. The teacher gets no gradient.
        mask: [batch, H, W] bool, the pixels that count; all without it.

    Returns:
        Scalar, the mean over the pixels that count; 0 if none does.
    """
    teacher = tf.nn.log_softmax(tf.stop_gradient(teacher_logits))
    divergence = tf.reduce_sum(tf.exp(teacher) * (teacher - tf.nn.log_softmax(logits)), axis=-1)
    return _mean(divergence, tf.ones_like(divergence, tf.bool) if mask is None else mask)


def csr_loss(
    parsing_kl: tf.Tensor,
    lovasz: tf.Tensor,
    binary_kl: tf.Tensor,
    category_kl: tf.Tensor,
    weights: Sequence[float] = (1.0, 1.0, 0.1),
) -> tf.Tensor:
    """L_CSR (Eq. 7): α0 (L_kl^p + L_lovász^p) + α1 L_kl^b + α2 L_kl^c.

    Args: the four terms, scalars; weights: α0 to α2.
    """
    parse, binary, category = weights
    return parse * (parsing_kl + lovasz) + binary * binary_kl + category * category_kl


def _counted(pixels, mask):
    return pixels if mask is None else pixels & mask


def _mean(pixel_losses, counted):
    """Mean over the pixels that count; 0 if none does."""
    counted = tf.cast(counted, pixel_losses.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(pixel_losses * counted), tf.reduce_sum(counted))

"""Batch norm folded into the layers before it, for serving."""

from __future__ import annotations

import numpy as np

from keras_models.branched_network import BranchedNetwork


def fold_batch_norm(network: BranchedNetwork) -> BranchedNetwork:
    """The same network without batch norm layers, for inference only.

    A layer with kernel W followed by batch norm is a layer with kernel W·s and bias β - μ·s, s = γ / √(σ² + ε).

    Args:
        network: μ and σ² are its current moving statistics.

    Returns:
        A network that shares no weights with `network`.
    """
    trained = {layer.name: layer for layer in network.layers}
    folded = network.rebuilt(folded=True)
    for layer in folded.layers:
        if layer.weights:
            of_layer = trained[layer.name]
            unit, _, _ = layer.name.rpartition("_")
            norm = trained.get(f"{unit}_bn")
            layer.set_weights(of_layer.get_weights() if norm is None else _folded(of_layer, norm))
    return folded


def _folded(layer, norm):
    """Kernel and bias of the layer and its batch norm in one."""
    gamma, beta, mean, variance = (weight.astype(np.float64) for weight in norm.get_weights())
    scale = gamma / np.sqrt(variance + norm.epsilon)
    (kernel,) = layer.get_weights()
    # The last axis of a convolution is all channels; a fully connected kernel is [branches, inputs, units].
    by_kernel = scale if kernel.ndim == 4 else scale.reshape(kernel.shape[0], 1, kernel.shape[2])
    return [kernel * by_kernel, beta - mean * scale]

"""Batch norm folded into the layers before it, for serving."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_models.branched_dense import BranchedDense
from keras_models.grouped_convolution import GroupedConv2D

layers = keras.layers

# What batch norm can be folded into; of these classes exactly, since a subclass may do more after its product.
_FOLDED_INTO = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense, GroupedConv2D, BranchedDense)


def fold_batch_norm(network: keras.Model) -> keras.Model:
    """The same network without the batch norms that follow a convolution or a fully connected layer alone.

    A layer with kernel W and bias b (0 without one) followed by batch norm is a layer with kernel W·s and bias
    β + (b - μ)·s, s = γ / √(σ² + ε). Where batch norm stands before such a layer it stays.

    Args:
        network: functional, with models among its layers or not. μ and σ² are its current moving statistics. The Keras
            policy in force is the one that it was built under.

    Returns:
        A network for inference that shares no weights with `network`; `network` itself if nothing can be folded.
    """
    return _without_norms(network) if _has_norms(network) else network


def _has_norms(network):
    inner = (layer for layer in network.layers if isinstance(layer, keras.Model))
    return bool(_norms(network)) or any(map(_has_norms, inner))


def _norms(network):
    """By the name of a layer, the batch norm that can be folded into it."""
    given = {output.node.layer.name for output in tf.nest.flatten(network.output)}
    found = {layer.name: _norm_after(layer) for layer in network.layers if layer.name not in given}
    return {name: norm for name, norm in found.items() if norm is not None}


def _without_norms(network):
    norms = _norms(network)
    dropped = {norm.name for norm in norms.values()}

    def copy(layer):
        if isinstance(layer, keras.Model):
            return _without_norms(layer)
        if layer.name in dropped:
            return layers.Activation("linear", dtype=layer.dtype_policy, name=layer.name)
        config = layer.get_config()
        return type(layer).from_config({**config, "use_bias": True} if layer.name in norms else config)

    folded = keras.models.clone_model(network, clone_function=copy)
    for layer in network.layers:
        if isinstance(layer, keras.Model) or layer.name in dropped:
            continue
        norm = norms.get(layer.name)
        folded.get_layer(layer.name).set_weights(layer.get_weights() if norm is None else _folded(layer, norm))
    return folded


def _norm_after(layer):
    """The batch norm that alone reads a layer's output, if the two can be one."""
    if type(layer) not in _FOLDED_INTO or getattr(layer, "activation", None) not in (None, keras.activations.linear):
        return None
    if len(layer.inbound_nodes) != 1 or len(layer.outbound_nodes) != 1:
        return None
    reader = layer.outbound_nodes[0].outbound_layer
    return reader if isinstance(reader, layers.BatchNormalization) and len(reader.inbound_nodes) == 1 else None


def _folded(layer, norm):
    """Kernel and bias of the layer and its batch norm in one."""
    gamma, beta, mean, variance = (weight.astype(np.float64) for weight in norm.get_weights())
    scale = gamma / np.sqrt(variance + norm.epsilon)
    kernel, *bias = layer.get_weights()
    if isinstance(layer, BranchedDense):  # [branches, inputs, units]
        by_kernel = scale.reshape(kernel.shape[0], 1, kernel.shape[2])
    elif isinstance(layer, layers.DepthwiseConv2D):  # [height, width, channels, multiplier]
        by_kernel = scale.reshape(kernel.shape[2:])
    else:  # the last axis is all channels
        by_kernel = scale
    return [kernel * by_kernel, beta + (sum(bias) - mean) * scale]

"""Dynamic Dual Graph Convolution of DML-CSR (Section 3.2, Fig. 3, Eq. 1; the details as released)."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras

from keras_models.activated_batch_norm import activated_batch_norm
from keras_models.aligned_resize import AlignedResize
from keras_models.normalization import batch_norm

layers = keras.layers


@keras.saving.register_keras_serializable("facetfx")
class DynamicDualGraphConv(keras.layers.Layer):
    """Global context from a graph over the channels of a downsampled map and one over learnt groups of pixels.

    Spatial: L is X after three strided depthwise convolutions, H_S a graph over its channels;
    S = X · up(λ H_S(L) + L) + X.
    Feature: H_F projects X onto C/4 nodes of C/2 features, reasons over them and projects the result back onto the
    pixels; F = γ H_F(X) + X.
    Fusion (Eq. 1): a 1 × 1 convolution and ABN over [S, F].

    λ and γ, the weights `spatial_scale` and `feature_scale`, are learnt from 0: initially neither graph contributes.

    Call: X [batch, H, W, C] -> [batch, H, W, C]. H and W may be dynamic.

    Raises:
        ValueError: if C is not divisible by 4.
    """

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels % 4:
            raise ValueError(f"The feature graph quarters the channels of its input, received {channels} channels.")
        half, quarter = channels // 2, channels // 4

        self.local = keras.Sequential([layer for i in (1, 2, 3) for layer in _shrink(f"local{i}")], name="local")
        self.k, self.v, self.q = (layers.Conv2D(half, 1, name=name) for name in "kvq")
        # Over pixels a 1-D convolution of length 1 is a 1 × 1 convolution.
        self.spatial_graph = keras.Sequential([_conv1x1(half, "graph"), batch_norm("graph_bn")], name="spatial_graph")
        self.spatial_out = _conv_abn(channels, "spatial_out", use_bias=True)
        self.spatial_scale = self.add_weight("spatial_scale", [], initializer="zeros")

        self.phi = _conv_abn(half, "phi")
        self.theta = _conv_abn(quarter, "theta")
        self.adjacency = keras.Sequential([_conv1d(quarter, "nodes"), batch_norm("nodes_bn")], name="adjacency")
        self.state = keras.Sequential([_conv1d(half, "features"), batch_norm("features_bn")], name="state")
        self.feature_out = _conv_abn(channels, "feature_out")
        self.feature_scale = self.add_weight("feature_scale", [], initializer="zeros")

        self.up = AlignedResize(name="up")
        self.fusion = _conv_abn(channels, "fusion")

        parts = {
            channels: (self.local, self.k, self.v, self.q, self.phi, self.theta),
            half: (self.spatial_graph, self.spatial_out, self.feature_out),
            2 * channels: (self.fusion,),
        }
        for width, takers in parts.items():
            for part in takers:
                with tf.name_scope(part.name):
                    part.build((None, None, None, width))
        self.adjacency.build((None, half, quarter))
        self.state.build((None, quarter, half))
        super().build(input_shape)

    def call(self, x, training=False):
        spatial = x * self.up(self._spatial(self.local(x, training=training), training), like=x) + x
        feature = self.feature_scale * self._feature(x, training) + x
        return self.fusion(tf.concat([spatial, feature], axis=-1), training=training)

    def _spatial(self, local, training):
        """λ H_S(L) + L of [batch, h, w, C]: mixes the channels of k by the affinities of q and v."""
        k, v, q = self.k(local), self.v(local), self.q(local)
        # In float32: it sums over all pixels, and a softmax of half-precision scores is coarse.
        affinity = tf.nn.softmax(tf.einsum("bhwi,bhwj->bij", tf.cast(q, tf.float32), tf.cast(v, tf.float32)))
        mixed = tf.einsum("bhwi,bij->bhwj", k, tf.cast(affinity, k.dtype))
        mixed = self.spatial_graph(mixed, training=training)
        return self.spatial_scale * self.spatial_out(mixed, training=training) + local

    def _feature(self, x, training):
        """H_F of [batch, H, W, C]: pixels -> nodes, a graph convolution between them, nodes -> pixels."""
        theta = self.theta(x, training=training)
        z = tf.einsum("bhwf,bhwn->bfn", self.phi(x, training=training), theta)
        z += self.adjacency(z, training=training)
        z = self.state(tf.transpose(z, [0, 2, 1]), training=training)
        return self.feature_out(tf.einsum("bhwn,bnf->bhwf", theta, z), training=training)


def _shrink(name):
    """Layers [batch, H, W, C] -> [batch, ⌈H/2⌉, ⌈W/2⌉, C]."""
    return [
        # "same" would pad even sizes on one side only.
        layers.ZeroPadding2D(1, name=f"{name}_pad"),
        layers.DepthwiseConv2D(3, 2, use_bias=False, depthwise_initializer="he_normal", name=f"{name}_conv"),
        *activated_batch_norm(name),
    ]


def _conv_abn(channels, name, use_bias=False):
    return keras.Sequential([_conv1x1(channels, name, use_bias), *activated_batch_norm(name)], name=name)


def _conv1x1(channels, name, use_bias=False):
    return layers.Conv2D(channels, 1, use_bias=use_bias, kernel_initializer="he_normal", name=f"{name}_conv")


def _conv1d(channels, name):
    return layers.Conv1D(channels, 1, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv")

"""What MGG-Net attends to, as a signature of the exported model."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from components.images.decoding import decode_and_resize_batch
from components.serving.module import ServingModule, names_contract
from keras_models.mgg_net import attention_groups, attention_maps


def attention_signature(module: ServingModule) -> tuple[dict[str, Callable], dict[str, dict]]:
    """Signature "attention": image_bytes -> "groups" [K]; by block masks [batch, h, w, K], affinities [batch, K, K].

    Returns:
        The signature and its contract, both by its name; nothing for a network without group attention.
    """
    maps = attention_maps(module.network)
    if maps is None:
        return {}, {}
    groups = attention_groups(module.network)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def attention(image_bytes):
        images = decode_and_resize_batch(image_bytes, module.image_size)
        return {"groups": tf.constant(groups), **maps(tf.cast(images, tf.float32), training=False)}

    contract = {
        name: {"kind": "scores", "dtype": "float32", "shape": output.shape.as_list(), "names": list(groups)}
        for name, output in maps.output.items()
    }
    return {"attention": attention}, {"attention": {"groups": names_contract(groups), **contract}}

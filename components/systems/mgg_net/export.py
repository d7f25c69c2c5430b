"""What a served MGG-Net attends to, as a signature of its own."""

from __future__ import annotations

import tensorflow as tf

from components.images.status import STATUS
from components.serving.module import ServingModule, blanked
from keras_models.mgg_net import attention_groups, attention_maps


def attention_signature(module: ServingModule) -> tuple[dict, dict]:
    """Images -> masks and affinities by block, and the groups' names; nothing for a network without group attention."""
    maps, groups = attention_maps(module.network), attention_groups(module.network)
    if maps is None:
        return {}, {}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def attention(image_bytes):
        images, status = module.shown(image_bytes)
        answers = {name: blanked(values, status) for name, values in maps(images, training=False).items()}
        of_images = {name: values[: tf.size(image_bytes)] for name, values in {**answers, STATUS: status}.items()}
        # For each image: a server that puts requests together shares the rows out again.
        return {"groups": tf.repeat([groups], tf.size(image_bytes), axis=0), **of_images}

    contract = {
        name: {"kind": "scores", "dtype": "float32", "shape": [None, *output.shape[1:]]}
        for name, output in maps.output.items()
    }
    contract[STATUS] = module.contract()["serving_default"][STATUS]
    contract["groups"] = {"kind": "names", "dtype": "string", "shape": [None, len(groups)]}
    return {"attention": attention}, {"attention": contract}

"""What TensorBoard shows of MGG-Net's attention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow import keras

# Drawing is no part of the Trainer's cache key: another drawing doesn't make another model.
from components.page import figures
from components.systems.mgg_net import drawings
from components.tasks.summaries import Summaries
from components.trainer.recipe import Recipe
from keras_models.mgg_net import attention_groups, attention_maps

_NUM_IMAGES = 3


def attention_summaries(recipe: Recipe, network: keras.Model) -> list[keras.callbacks.Callback]:
    """AttentionSummaries of a network in training on the first validation images; none if it attends to nothing."""
    maps = attention_maps(network)
    if maps is None:
        return []
    images = np.stack([image.numpy() for image, _ in recipe.validation.unbatch().take(_NUM_IMAGES)])
    return [AttentionSummaries(recipe.run.log_folder, maps, images, attention_groups(network))]


class AttentionSummaries(Summaries):
    """After each epoch, by block: masks over faces, affinities of groups, number of masks that are 0 everywhere.

    Args:
        log_folder: of TensorBoard.
        maps: image -> masks and affinities, see `keras_models.mgg_net.attention_maps`.
        images: [S, H, W, 3] uint8, the few to show.
        groups: K names.
    """

    def __init__(self, log_folder: str, maps: keras.Model, images: np.ndarray, groups: Sequence[str]):
        super().__init__(log_folder, ".attention")
        self._maps = maps
        self._images = images
        self._groups = groups

    def on_epoch_end(self, epoch, logs=None):
        maps = self._maps(tf.cast(self._images, tf.float32), training=False)
        with self.writer.as_default(step=epoch):
            for name, values in maps.items():
                kind, block = name.split("_", 1)
                write = {"masks": self._write_masks, "affinities": self._write_affinities}[kind]
                write(block, values.numpy())

    def _write_masks(self, block, masks):
        chosen = drawings.most_varied(masks)
        names = [self._groups[i] for i in chosen]
        drawing = drawings.mask_drawing(self._images, masks[..., chosen], names)
        tf.summary.image(f"masks/{block}", figures.pixels(drawing)[None])
        tf.summary.scalar(f"dead_masks/{block}", len(drawings.dead(masks)))

    def _write_affinities(self, block, affinities):
        """The mean of the images."""
        drawing = drawings.affinity_drawing(affinities.mean(axis=0), self._groups)
        tf.summary.image(f"affinities/{block}", figures.pixels(drawing)[None])

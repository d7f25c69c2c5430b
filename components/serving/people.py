"""The exported model of face attributes, clothing or both: pictures in; scores, and decisions on attributes, out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorflow import keras

from components.config import BINARY_LABELS
from components.images.decoding import decode_and_resize_batch
from components.serving.names import names_signatures, output_names
from components.serving.signatures import Served, decisions


class ServedPeople(Served):
    """Scores of attributes with the decisions on them, scores of clothing's categories: of what the network has.

    Args:
        network: image [batch, H, W, 3] in [0, 255] -> {"attributes": [batch, N], "clothing": [batch, C]} or one of
            them; what else it gives is not kept.
        image_size: (H, W).
        names: by output, the N attributes and the C categories.
        thresholds: [N], of attributes alone; a decision is 1 where the score is above. None without attributes.

    Raises:
        ValueError: if the network has neither output, names are not as many as an output, or thresholds not as many as
            the attributes.
    """

    def __init__(
        self,
        network: keras.Model,
        image_size: tuple[int, int],
        names: Mapping[str, Sequence[str]],
        thresholds: tf.Variable | None = None,
    ):
        super().__init__(network, image_size)
        outputs = [output for output in BINARY_LABELS if output in self.network.output]
        if not outputs:
            raise ValueError(
                f"The network gives neither attributes nor clothing, but {', '.join(sorted(network.output))}."
            )
        self._names = output_names(self.network, outputs, names)
        expected = (len(self._names["attributes"]),) if "attributes" in outputs else None
        received = None if thresholds is None else tuple(thresholds.shape)
        if received != expected:
            raise ValueError(
                f"The thresholds have shape {received}, expected {expected}: one for each attribute, None without any."
            )
        if thresholds is not None:
            self.thresholds = thresholds

    def answers(self, image_bytes, crops):
        """Attributes [batch, N], decisions [batch, N] 0/1, clothing [batch, C]."""
        image = decode_and_resize_batch(image_bytes, self._image_size, crops)
        said = self.network(tf.cast(image, tf.float32), training=False)
        answers = {output: said[output] for output in self._names}
        if "attributes" in answers:
            answers["decisions"] = decisions(answers["attributes"], self.thresholds)
        return answers

    def signatures(self):
        """By their served names; those of names only for what the network has."""
        return {**super().signatures(), **names_signatures(self._names)}

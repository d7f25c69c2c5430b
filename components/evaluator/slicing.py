"""What TFX's Evaluator looks up by name: Evaluator(module_path="components.evaluator.slicing").

A label may be a vector or an index, TFMA slices by features. For each key that the configuration slices by, a feature
of that name is added whose value is the slice that the record is in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.extractors.slice_key_extractor import SLICE_KEY_EXTRACTOR_STAGE_NAME

from components.evaluator.config import Division, divisions, joint_name


def custom_extractors(eval_shared_model, eval_config, tensor_adapter_config) -> list[tfma.extractors.Extractor]:
    """TFMA's default extractors with the slice features added before slice keys are made of the features."""
    extractors = tfma.default_extractors(
        eval_shared_model=eval_shared_model, eval_config=eval_config, tensor_adapter_config=tensor_adapter_config
    )
    slicing = [extractor.stage_name for extractor in extractors].index(SLICE_KEY_EXTRACTOR_STAGE_NAME)
    added = tfma.extractors.Extractor(
        stage_name="ExtractSliceFeatures", ptransform=beam.Map(add_slice_features, keys=divisions(eval_config))
    )
    return [*extractors[:slicing], added, *extractors[slicing:]]


def add_slice_features(extracts: tfma.Extracts, keys: Mapping[str, Sequence[Division]]) -> tfma.Extracts:
    """A copy of a record's extracts with a feature a slice key, [1] str; none for a key that it isn't annotated with.

    Args:
        extracts: of one record.
        keys: as `divisions` gives them.
    """
    features = extracts[tfma.FEATURES_KEY]
    slices = {key: [slice_value(features, *label) for label in labels] for key, labels in keys.items()}
    added = {key: np.array([joint_name(names)]) for key, names in slices.items() if None not in names}
    return {**extracts, tfma.FEATURES_KEY: {**features, **added}}


def slice_value(features: Mapping[str, np.ndarray], feature: str, place: int, slices: Mapping[int, str]) -> str | None:
    """The slice that a record is in by what stands at a place of one of its features; None if nothing is annotated."""
    label = features.get(feature)
    return None if label is None or not label.size else slices.get(int(label[place]))

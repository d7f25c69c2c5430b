"""What TFX's Evaluator looks up by name: Evaluator(module_path="components.evaluator.module").

A record has one `attributes` vector, TFMA slices by features. For each attribute that the configuration slices by, a
feature of that name is added whose value is the side the record is on.
"""

from __future__ import annotations

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.extractors.slice_key_extractor import SLICE_KEY_EXTRACTOR_STAGE_NAME

from components.evaluator.config import DECISIONS, LABELS, attributes_of, side


def custom_extractors(eval_shared_model, eval_config, tensor_adapter_config) -> list[tfma.extractors.Extractor]:
    """TFMA's default extractors with the attribute sides added before slice keys are made of the features."""
    extractors = tfma.default_extractors(
        eval_shared_model=eval_shared_model, eval_config=eval_config, tensor_adapter_config=tensor_adapter_config
    )
    slicing = [extractor.stage_name for extractor in extractors].index(SLICE_KEY_EXTRACTOR_STAGE_NAME)
    add_sides = tfma.extractors.Extractor(
        stage_name="ExtractAttributeSides", ptransform=beam.Map(with_sides, slicing_positions(eval_config))
    )
    return [*extractors[:slicing], add_sides, *extractors[slicing:]]


def slicing_positions(eval_config: tfma.EvalConfig) -> dict[str, int]:
    """The attributes that the configuration slices by, with their positions in the `attributes` vector."""
    attributes = attributes_of(eval_config)
    keys = {key for spec in eval_config.slicing_specs for key in spec.feature_keys}
    return {name: position for position, name in enumerate(attributes) if name in keys}


def with_sides(extracts: tfma.Extracts, positions: dict[str, int]) -> tfma.Extracts:
    """A copy of a record's extracts with a feature an attribute of `positions`; as it is, if it isn't annotated."""
    features = extracts[tfma.FEATURES_KEY]
    labels = features.get(LABELS[DECISIONS])
    if labels is None or not labels.size:
        return extracts
    sides = {name: np.array([side(name, labels[position])]) for name, position in positions.items()}
    return {**extracts, tfma.FEATURES_KEY: {**features, **sides}}

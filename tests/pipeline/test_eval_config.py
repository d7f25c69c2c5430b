"""What the pipeline has the Evaluator measure, by an experiment's data."""

import pytest

from components.config import Data, Evaluation, Experiment, Source, Training, factory
from components.evaluator.config import attributes_of, settings_of
from pipeline import experiments, graph

FACES = Source("celeb_a", labels=("attributes",))
CLOTHES = Source("deepfashion", labels=("clothing",))
NETWORK = factory("builtins.dict")
TRAINING = Training(epochs=1, batch_size=2, optimizer=NETWORK, loss=NETWORK)


def outputs(config):
    return [name for spec in config.metrics_specs for name in spec.output_names]


def measured(sources, slice_by=(), **used):
    data = Data(sources, num_landmarks=0, **used)
    bars = Evaluation(min_balanced_accuracy=0.6, min_clothing_top3=0.7, slice_by=slice_by)
    return graph._eval_config(Experiment("", "", data, NETWORK, TRAINING, bars))


def test_attributes_have_their_scores_measured():
    config = measured((FACES,), slice_by=("Male",))
    assert outputs(config) == ["decisions", "attributes"]
    assert tuple(settings_of(config, "attributes")["attributes"]) == attributes_of(config)


def test_clothing_with_and_without_attributes():
    both = measured((FACES, CLOTHES), clothing=True)
    assert outputs(both) == ["decisions", "clothing", "attributes"]
    alone = measured((CLOTHES,), clothing=True, attributes=False)
    assert outputs(alone) == ["clothing"]
    for config in (both, alone):
        settings = settings_of(config, "clothing")
        assert len(settings["classes"]) == 50 and settings["top"] == [3, 5] and settings["name"] == "top_3_accuracy"
    bar = alone.metrics_specs[1].metrics[0].per_slice_thresholds[0].threshold.value_threshold
    assert bar.lower_bound.value == pytest.approx(0.7)


def test_scores_are_not_measured_at_each_iteration():
    found = outputs(graph._eval_config(experiments.get("ifan/4t")))
    assert "attributes" in found and "decisions_iter0" in found
    assert not [name for name in found if name.startswith("attributes_iter")]

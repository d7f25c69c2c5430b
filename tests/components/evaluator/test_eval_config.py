"""What the Evaluator is told to measure, of tasks by hand and of real experiments; the room's code knows no task."""

import io
import json
import pathlib
import re
import tokenize

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from evaluator_runs import bound

from components import evaluator
from components import tasks as task_kinds
from components.config import Bar
from components.datasets.binding import bound_tasks
from components.datasets.synthetic_faces import SyntheticFaces
from components.evaluator.config import ITERATIONS_SIGNATURE, SIGNATURE, eval_config
from components.evaluator.slicing import add_slice_features
from pipeline import experiments

LOOKS = bound("looks", "multi_label", ["Male", "Young"], bar=Bar("mean_f1", at_least=0.5))
MOOD = bound("mood", "classification", ["calm", "glad", "sad"], bar=Bar("accuracy", at_least=0.4))
MARKS = bound("marks", "landmarks", "12345", bar=Bar("failure_rate", at_most=0.2))
PARTS = bound("parts", "segmentation", ["back", "skin"])
TASKS = [LOOKS, MOOD, MARKS, PARTS]


def outputs(config):
    return [name for spec in config.metrics_specs for name in spec.output_names]


def settings(config, output):
    """What the metric of an output is configured with."""
    found = next(spec.metrics[0].config for spec in config.metrics_specs if output in spec.output_names)
    return json.loads(found)


def test_composed_of_tasks():
    config = eval_config(TASKS, slice_by=["Young", "mood"])
    tfma.utils.verify_eval_config(config)
    (model,) = config.model_specs
    assert model.signature_name == SIGNATURE
    labels = {
        "looks_decisions": "looks",
        "looks": "looks",
        "mood": "mood",
        "marks": "marks",
        "parts": "parts/encoded",
    }
    assert dict(model.label_keys) == labels
    assert outputs(config) == ["looks_decisions", "looks", "mood", "mood", "marks", "parts"]
    assert [list(spec.feature_keys) for spec in config.slicing_specs] == [[], ["Young"], ["mood"]]
    names = [metric.class_name for spec in config.metrics_specs for metric in spec.metrics]
    assert names.count("ExampleCount") == 1 and len(names) == 7
    found = settings(config, "looks_decisions")
    assert (found["task"], found["names"], found["name"]) == ("looks", ["Male", "Young"], "mean_f1")


def test_bars():
    found = {
        spec.output_names[0]: spec.metrics[0].per_slice_thresholds[0].threshold
        for spec in eval_config(TASKS).metrics_specs
        if spec.metrics[0].per_slice_thresholds
    }
    assert found.keys() == {"looks_decisions", "mood", "marks"}
    assert found["mood"].value_threshold.lower_bound.value == pytest.approx(0.4)
    assert found["mood"].change_threshold.direction == tfma.MetricDirection.HIGHER_IS_BETTER
    assert found["marks"].value_threshold.upper_bound.value == pytest.approx(0.2)
    assert found["marks"].change_threshold.direction == tfma.MetricDirection.LOWER_IS_BETTER


def test_iterations_are_measured_without_bars():
    config = eval_config(TASKS, iterations=2)
    tfma.utils.verify_eval_config(config)
    assert config.model_specs[0].signature_name == ITERATIONS_SIGNATURE
    iterated = [
        f"{output}{suffix}"
        for suffix in ("_iter0", "_iter1", "_iter2")
        for output in ("looks_decisions", "mood", "marks", "parts")
    ]
    assert outputs(config) == [*outputs(eval_config(TASKS)), *iterated]
    assert config.model_specs[0].label_keys["parts_iter2"] == "parts/encoded"
    assert [settings(config, f"mood{suffix}")["iteration"] for suffix in ("", "_iter0", "_iter2")] == [None, 0, 2]
    barred = [spec.output_names[0] for spec in config.metrics_specs if spec.metrics[0].per_slice_thresholds]
    assert barred == ["looks_decisions", "mood", "marks"]


def test_what_can_not_be_configured():
    with pytest.raises(
        ValueError, match=r"evaluation\.slice_by: can't slice by 'Bald'\. There are: Male, Young, mood\."
    ):
        eval_config(TASKS, slice_by=["Male", "Bald"])
    for key in ("Male:Bald", "Male:", ":"):
        with pytest.raises(ValueError, match=rf"evaluation\.slice_by: can't slice by '{key}'\. There are: Male, Young"):
            eval_config(TASKS, slice_by=[key])
    with pytest.raises(ValueError, match="Male:Male joins a label with itself"):
        eval_config(TASKS, slice_by=["Male:Male"])
    with pytest.raises(ValueError, match="Male:Young is there twice"):
        eval_config(TASKS, slice_by=["Male:Young", "Young:Male"])
    with pytest.raises(ValueError, match=r"can't slice by 'Male', 'Young'\. There are: none\."):
        eval_config([MARKS], slice_by=["Male", "Young"])
    with pytest.raises(ValueError, match="nothing to evaluate: expected at least one task"):
        eval_config([])


def test_slices_of_one_name_are_refused():
    shape = bound("shape", "classification", ["Young", "long"])
    eval_config([LOOKS, shape], slice_by=["Male", "shape"])
    with pytest.raises(ValueError, match="Slicing by Young, shape gives several slices the name Young"):
        eval_config([LOOKS, shape], slice_by=["Young", "shape"])


def test_slice_features_of_a_record():
    keys = {
        "Male": [male := ("looks", 0, {1: "Male", 0: "not Male"})],
        "Young": [("looks", 1, {1: "Young", 0: "not Young"})],
        "mood": [mood := ("mood", 0, {0: "calm", 1: "glad"})],
        "Male:mood": [male, mood],
    }
    features = {"looks": np.array([0, -1]), "mood": np.array([1]), "image/id": np.array([b"7.png"])}
    extracts = {tfma.FEATURES_KEY: features, "labels": 1}
    found = add_slice_features(extracts, keys)
    assert found["labels"] == 1 and features["mood"] == [1]
    assert found[tfma.FEATURES_KEY] == {
        **features,
        "Male": ["not Male"],
        "mood": ["glad"],
        "Male:mood": ["not Male & glad"],
    }
    for nothing in ({}, {"looks": None, "mood": np.array([], np.int64)}):
        assert add_slice_features({tfma.FEATURES_KEY: nothing}, keys) == {tfma.FEATURES_KEY: nothing}


def test_the_cache_key_changes_with_the_code(monkeypatch):
    before = settings(eval_config([MOOD]), "mood")["code"]
    monkeypatch.setattr("components.tasks.summed_metric._CODE", ("components/evaluator",))
    assert settings(eval_config([MOOD]), "mood")["code"] != before


@pytest.mark.parametrize("name", ["ifan/4t", "branching/joint-w64-a2", "mgg_net/synthetic"])
def test_real_experiments(name):
    experiment = experiments.get(name)
    tasks = bound_tasks(experiment)
    iterations = experiment.model.kwargs.get("iterations", 0)
    config = eval_config(tasks, experiment.evaluation.slice_by, iterations)
    tfma.utils.verify_eval_config(config)
    assert {settings(config, output)["task"] for output in outputs(config)} == {task.name for task in tasks}
    assert "attributes" in outputs(config) and "attributes_decisions" in outputs(config)
    assert ("attributes_decisions_iter0" in outputs(config)) == (iterations > 0)
    assert "attributes_iter0" not in outputs(config)


def test_the_room_knows_no_kind_no_task_and_no_attribute():
    annotations = SyntheticFaces.ANNOTATIONS
    names = {*task_kinds.kinds(), *annotations, *(name for each in annotations.values() for name in each.names)}
    known = re.compile(rf"\b({'|'.join(map(re.escape, names - {str(point) for point in range(1, 69)}))})\b")
    for file in pathlib.Path(evaluator.__file__).parent.glob("*.py"):
        tokens = tokenize.generate_tokens(io.StringIO(file.read_text()).readline)
        code = [token.string for token in tokens if token.type in (tokenize.NAME, tokenize.STRING)]
        said = [string for string in code if not string.startswith('"""') and known.search(string)]
        assert not said, f"{file.name}: {said}"

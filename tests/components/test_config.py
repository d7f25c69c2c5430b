"""Experiments as values: built by path, equal after the way through JSON."""

import dataclasses
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.config import (
    Data,
    Evaluation,
    Experiment,
    Factory,
    HybridTraining,
    Source,
    TaskTraining,
    Training,
    factory,
    from_json,
    to_json,
)

EXPERIMENT = Experiment(
    summary="One line",
    target="97.5 %",
    data=Data((Source("celeb_a", {"landmarks": False, "parts": ["a", "b"]}),), image_size=(64, 48)),
    model=factory("keras_models.DMMCNN", num_landmarks=5, objective_units=[8, 4]),
    training=Training(
        epochs=2,
        batch_size=3,
        optimizer=factory("tensorflow.keras.optimizers.SGD", momentum=0.9),
        loss=factory("components.trainer.objectives.JointObjective"),
        learning_rate=factory("components.trainer.schedules.one_cycle", peak=0.1),
        callbacks=(factory("a.B"), factory("a.C", inner=factory("a.D", of=[factory("a.E")]))),
    ),
    evaluation=Evaluation(min_balanced_accuracy=0.75, slice_by=()),
)


THREE = Data(
    (
        Source("masks", {"size": 3}, builder="synthetic_faces", labels=("parsing",)),
        Source("mtfl", labels=("landmarks", "attributes")),
        Source("fer2013", labels=("emotion",)),
    ),
    attributes=False,
    num_landmarks=5,
    parsing=True,
    emotion=True,
)


def test_a_factory_calls_what_its_path_names():
    assert factory("fractions.Fraction", numerator=3).build(denominator=4) == 0.75
    assert factory("builtins.divmod").build(17, 5) == (3, 2)
    assert factory("os.path.join").build("a", "b") == "a/b"


def test_the_experiments_arguments_win():
    assert factory("builtins.dict", a=1, b=2).build(b=3, c=4) == {"a": 1, "b": 2, "c": 4}


@pytest.mark.parametrize(
    ("path", "error"),
    [("builtins.no_such_function", AttributeError), ("no_such_module.Thing", ModuleNotFoundError)],
)
def test_a_path_to_nowhere(path, error):
    with pytest.raises(error, match="no_such"):
        factory(path).build()


def test_round_trip_with_every_type():
    again = from_json(to_json(EXPERIMENT))
    assert again == EXPERIMENT
    assert isinstance(again.data.image_size, tuple) and isinstance(again.training.callbacks, tuple)
    assert again.training.callbacks[1].kwargs["inner"].kwargs["of"] == [factory("a.E")]


def test_round_trip_of_several_data_sets_and_tasks():
    tasks = (TaskTraining(label="parsing", batch_size=2, scale=(0.9, 1.1)), TaskTraining(label="emotion", batch_size=3))
    rates = {"pretraining_rate": 0.1, "learning_rate": factory("a.Schedule", base=0.1)}
    training = HybridTraining(tasks=tasks, epochs=2, steps=5, optimizer=factory("a.B"), **rates)
    hybrid = dataclasses.replace(EXPERIMENT, data=THREE, training=training)
    again = from_json(to_json(hybrid))
    assert again == hybrid
    assert isinstance(again.data.sources, tuple) and isinstance(again.data.sources[1].labels, tuple)
    assert isinstance(again.training.tasks[0].scale, tuple)
    assert from_json(to_json(THREE.sources)) == list(THREE.sources)


def test_the_labels_that_are_used():
    assert THREE.labels == ("landmarks", "parsing", "emotion")
    assert EXPERIMENT.data.labels == ("attributes", "landmarks")
    assert dataclasses.replace(EXPERIMENT.data, num_landmarks=0).labels == ("attributes",)


@pytest.mark.parametrize("label", THREE.labels)
def test_one_of_the_labels_alone(label):
    assert THREE.only(label).labels == (label,)
    assert THREE.only(label).sources == THREE.sources


def test_a_label_that_is_not_used_is_not_used_alone():
    assert THREE.only("attributes").labels == ()


def test_which_data_set_has_a_label():
    names = {label: THREE.source_of(label).name for label in ("attributes", "landmarks", "parsing", "emotion")}
    assert names == {"attributes": "mtfl", "landmarks": "mtfl", "parsing": "masks", "emotion": "fer2013"}
    assert EXPERIMENT.data.source_of("emotion") == EXPERIMENT.data.sources[0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((Source("helen", labels=("parsing",)),), "masks, mtfl, fer2013, helen, masks, helen give 'parsing'"),
        ((Source("helen"),), "none give 'clothing'"),
    ],
)
def test_a_label_that_not_one_data_set_has(more, message):
    data = dataclasses.replace(THREE, sources=THREE.sources + more)
    with pytest.raises(ValueError, match=message):
        data.source_of(message.split("'")[1])


def test_names_of_splits():
    assert EXPERIMENT.data.splits("validation") == {"celeb_a": "validation"}
    assert THREE.splits("validation") == {
        "masks": "masks_validation",
        "mtfl": "mtfl_validation",
        "fer2013": "fer2013_validation",
    }


@pytest.mark.parametrize("field", ["data", "model", "training", "evaluation"])
def test_parts_travel_alone(field):
    part = getattr(EXPERIMENT, field)
    assert from_json(to_json(part)) == part


def test_types_are_named():
    assert json.loads(to_json(factory("a.B", x=1))) == {"type": "Factory", "path": "a.B", "kwargs": {"x": 1}}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(kwargs=st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=4))
def test_any_argument_survives(kwargs):
    value = factory("a.B", **kwargs) if "path" not in kwargs else Factory("a.B", kwargs)
    assert from_json(to_json(value)) == value


def test_equal_experiments_are_equal_text():
    """The text is a cache key: the order in which arguments were written must not matter."""
    assert to_json(factory("a.B", x=1, y=2)) == to_json(factory("a.B", y=2, x=1))
    changed = dataclasses.replace(EXPERIMENT, training=dataclasses.replace(EXPERIMENT.training, seed=1))
    assert to_json(changed) != to_json(EXPERIMENT)


def test_what_json_cannot_hold_is_an_error():
    with pytest.raises(TypeError):
        to_json(factory("a.B", function=len))


def test_values_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        EXPERIMENT.summary = "Another"


def test_imports_no_tensorflow():
    check = "import sys, components.config; print([m for m in ('tensorflow', 'tfx', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

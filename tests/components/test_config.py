"""Experiments as values: built by path, equal after the way through JSON."""

import dataclasses
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.config import (
    Bar,
    Data,
    DatasetConfig,
    Evaluation,
    Experiment,
    Export,
    ObjectConfig,
    Resources,
    Task,
    Teacher,
    Training,
    configured,
    form,
    from_json,
    to_json,
)
from components.systems.branching.config import WideningTraining
from components.systems.ifan.config import HybridTraining, TaskTraining
from pipeline import experiments

ATTRIBUTES = Task("attributes", "multi_label", {"scores": "probabilities"}, Bar("mean_balanced_accuracy", at_least=0.7))
EXPERIMENT = Experiment(
    summary="One line",
    target="97.5 %",
    data=Data((DatasetConfig("celeb_a", {"landmarks": False, "parts": ["a", "b"]}),), image_size=(64, 48)),
    tasks=(ATTRIBUTES,),
    model=configured("keras_models.DMMCNN", num_landmarks=5, objective_units=[8, 4]),
    training=Training(
        epochs=2,
        batch_size=3,
        optimizer=configured("tensorflow.keras.optimizers.SGD", momentum=0.9),
        loss=configured("components.trainer.objectives.TaskLosses"),
        learning_rate=configured("components.trainer.schedules.one_cycle", peak=0.1),
        callbacks=(configured("a.B"), configured("a.C", inner=configured("a.D", of=[configured("a.E")]))),
    ),
    evaluation=Evaluation(slice_by=("Male",)),
)
THREE = Data(
    (
        DatasetConfig("masks", {"size": 3}, builder="synthetic_faces", labels=("parsing",)),
        DatasetConfig("mtfl", labels=("landmarks", "attributes")),
        DatasetConfig("fer2013", labels=("emotion",)),
    ),
)
THREE_TASKS = (
    Task("parsing", "segmentation", bar=Bar("mean_f1", at_least=0.5)),
    Task("landmarks", "landmarks", bar=Bar("nme", at_most=0.2), weight=0.5),
    Task("emotion", "classification"),
)
SEVERAL = dataclasses.replace(EXPERIMENT, data=THREE, tasks=THREE_TASKS)


def test_an_object_config_calls_what_its_path_names():
    assert configured("fractions.Fraction", numerator=3).build(denominator=4) == 0.75
    assert configured("builtins.divmod").build(17, 5) == (3, 2)
    assert configured("os.path.join").build("a", "b") == "a/b"


def test_what_the_framework_gives_is_not_the_experiment_s_to_set():
    assert configured("builtins.dict", a=1).build(b=3) == {"a": 1, "b": 3}
    message = "builtins.dict is given b by the framework: leave b out of the experiment, which has b=2"
    with pytest.raises(TypeError, match=message):
        configured("builtins.dict", a=1, b=2).build(b=3, c=4)


@pytest.mark.parametrize(
    ("path", "error"),
    [("builtins.no_such_function", AttributeError), ("no_such_module.Thing", ModuleNotFoundError)],
)
def test_a_path_to_nowhere(path, error):
    with pytest.raises(error, match="no_such"):
        configured(path).build()


def test_round_trip_with_every_type():
    again = from_json(to_json(EXPERIMENT))
    assert again == EXPERIMENT
    assert isinstance(again.data.image_size, tuple) and isinstance(again.training.callbacks, tuple)
    assert again.training.callbacks[1].kwargs["inner"].kwargs["of"] == [configured("a.E")]


def test_round_trip_of_several_data_sets_and_tasks():
    tasks = (TaskTraining(task="parsing", batch_size=2, scale=(0.9, 1.1)), TaskTraining(task="emotion", batch_size=3))
    rates = {"pretraining_rate": 0.1, "learning_rate": configured("a.Schedule", base=0.1)}
    training = HybridTraining(tasks=tasks, epochs=2, steps=5, optimizer=configured("a.B"), **rates)
    hybrid = dataclasses.replace(SEVERAL, training=training)
    again = from_json(to_json(hybrid))
    assert again == hybrid
    assert isinstance(again.data.datasets, tuple) and isinstance(again.data.datasets[1].labels, tuple)
    assert isinstance(again.training.tasks[0].scale, tuple)
    assert from_json(to_json(THREE.datasets)) == list(THREE.datasets)


def test_which_data_set_has_a_label():
    names = {label: THREE.dataset_of(label).name for label in ("attributes", "landmarks", "parsing", "emotion")}
    assert names == {"attributes": "mtfl", "landmarks": "mtfl", "parsing": "masks", "emotion": "fer2013"}
    assert EXPERIMENT.data.dataset_of("emotion") == EXPERIMENT.data.datasets[0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            (DatasetConfig("helen", labels=("parsing",)),),
            "masks, mtfl, fer2013, helen, masks, helen give 'parsing'",
        ),
        ((DatasetConfig("helen"),), "none give 'clothing'"),
    ],
)
def test_a_label_that_not_one_data_set_has(more, message):
    data = dataclasses.replace(THREE, datasets=THREE.datasets + more)
    with pytest.raises(ValueError, match=message):
        data.dataset_of(message.split("'")[1])


def test_names_of_splits():
    assert EXPERIMENT.data.splits("validation") == {"celeb_a": "validation"}
    assert THREE.splits("test") == {"masks": "masks_test", "mtfl": "mtfl_test", "fer2013": "fer2013_test"}


@pytest.mark.parametrize("field", ["data", "tasks", "model", "training", "evaluation"])
def test_parts_travel_alone(field):
    part = getattr(EXPERIMENT, field)
    again = from_json(to_json(part))
    assert (tuple(again) if field == "tasks" else again) == part


def test_types_are_named():
    assert json.loads(to_json(configured("a.B", x=1))) == {
        "type": "components.config:ObjectConfig",
        "path": "a.B",
        "kwargs": {"x": 1},
    }


@pytest.mark.parametrize("path", ["subprocess:Popen", "components.config:to_json", "components.tasks:No", "Source"])
def test_foreign_types_are_refused(path):
    with pytest.raises((ValueError, AttributeError), match=path.rpartition(":")[2]):
        from_json(json.dumps({"type": path, "args": ["ls"]}))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(kwargs=st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=4))
def test_any_argument_survives(kwargs):
    value = ObjectConfig("a.B", kwargs)
    assert from_json(to_json(value)) == value


def test_equal_experiments_are_equal_text():
    """The text is a cache key: the order in which arguments were written must not matter."""
    assert to_json(configured("a.B", x=1, y=2)) == to_json(configured("a.B", y=2, x=1))
    changed = dataclasses.replace(EXPERIMENT, training=dataclasses.replace(EXPERIMENT.training, seed=1))
    assert to_json(changed) != to_json(EXPERIMENT)


def test_what_json_cannot_hold_is_an_error():
    with pytest.raises(TypeError):
        to_json(configured("a.B", function=len))


def test_values_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        EXPERIMENT.summary = "Another"


def test_imports_no_tensorflow():
    check = "import sys, components.config; print([m for m in ('tensorflow', 'tfx', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _changed(of, **changes):
    return dataclasses.replace(of, **changes)


def _with_task(**changes):
    return _changed(EXPERIMENT, tasks=(_changed(ATTRIBUTES, **changes),))


def _with_training(**changes):
    return _changed(EXPERIMENT, training=_changed(EXPERIMENT.training, **changes))


def _taught(*teachers, of=SEVERAL):
    return _changed(of, data=_changed(of.data, teachers=teachers))


TWINS = Data((DatasetConfig("mtfl", labels=("attributes",)),) * 2)
UNSAID = Data((DatasetConfig("mtfl"), DatasetConfig("lfwa", labels=("attributes",))))
ABSENT = _changed(THREE, datasets=THREE.datasets[:2])


@pytest.mark.parametrize("experiment", [EXPERIMENT, SEVERAL, _taught(Teacher("attributes", "a"), of=EXPERIMENT)])
def test_experiments_that_can_run(experiment):
    experiment.validate()


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        (_changed(EXPERIMENT, tasks=()), "learns one task or more; its `tasks` are empty"),
        (_changed(EXPERIMENT, tasks=(ATTRIBUTES,) * 2), "2 tasks are called 'attributes'. Give each a name of its own"),
        (_with_task(name="the attributes"), "made of letters, digits and underscores; received 'the attributes'"),
        (_with_task(kind="moods"), "No kind of task is called 'moods'. There are: classification, landmarks"),
        (
            _with_task(options={"score": "signed"}),
            r"\(multi_label\) has no option 'score'. There are: scores",
        ),
        (_with_task(options={"scores": "odds"}), r"'scores' of task 'attributes' is one of \(.*\); received 'odds'"),
        (
            _changed(SEVERAL, tasks=(*THREE_TASKS[:2], _changed(THREE_TASKS[2], options={"top": 3}))),
            "'top' of task 'emotion' is a value of type list; received 3",
        ),
        (_with_task(weight=-1.0), "The weight of task 'attributes' is 0 or more; received -1.0"),
        (_with_task(bar=Bar("nme", at_most=1)), "applies to 'nme'; a task of kind multi_label has .*mean_balanced_acc"),
        (
            _with_task(bar=Bar("mean_balanced_accuracy", at_most=0.9)),
            "mean_balanced_accuracy of task 'attributes' needs at_least and not at_most; received Bar",
        ),
        (
            _with_task(bar=Bar("mean_balanced_accuracy", at_least=0.5, at_most=0.9)),
            "needs at_least and not at_most",
        ),
        (
            _changed(SEVERAL, tasks=(_changed(THREE_TASKS[1], bar=Bar("nme", at_least=0.1)),)),
            "nme of task 'landmarks' needs at_most and not at_least",
        ),
        (_with_task(bar=Bar("mean_balanced_accuracy", at_least=0)), "A bar is above 0; received .* task 'attributes'"),
        (_changed(EXPERIMENT, data=Data(())), "needs one data set or more; its data.datasets are empty"),
        (_changed(EXPERIMENT, data=TWINS), "2 data sets are called 'mtfl'"),
        (
            _changed(EXPERIMENT, data=Data((DatasetConfig("mtfl", max_quarantined=1.5),))),
            r"max_quarantined of data set 'mtfl' is a share from 0 to 1; received 1\.5",
        ),
        (
            _changed(EXPERIMENT, resources=(Resources("Trainer", accelerators=0),)),
            "resources.Trainer.accelerators is 1 or more; received 0",
        ),
        (_changed(EXPERIMENT, resources=(Resources("Trainer"),) * 2), "2 resources are called 'Trainer'"),
        (_changed(EXPERIMENT, data=UNSAID), "'mtfl' is one of several and doesn't say which labels it gives: set its"),
        (_changed(SEVERAL, data=ABSENT), "Of the data sets masks, mtfl, none give 'emotion'"),
        (
            _changed(EXPERIMENT, data=_changed(EXPERIMENT.data, image_size=(64, 0))),
            r"image_size is \(height, width\) in pixels, 8 or more; received \(64, 0\)",
        ),
        (
            _taught(Teacher("clothing", "a/b")),
            "'a/b' should teach 'clothing', which is none of the tasks parsing, landmarks, emotion. Drop it",
        ),
        (_taught(Teacher("parsing", "a/b")), "'a/b' can't teach 'parsing', a task of kind segmentation"),
        (
            _taught(Teacher("attributes", "a"), Teacher("attributes", "b"), of=EXPERIMENT),
            "2 teachers of one task: data.teachers are called 'attributes'",
        ),
        (_with_training(epochs=0), "training.epochs is 1 or more; received 0"),
        (_with_training(seed=-1), "training.seed is from 0 to 4294967295; received -1"),
        (_with_training(precision="half"), "training.precision is float32, mixed_bfloat16, .*; received 'half'"),
        (_with_training(learning_rate=float("nan")), "training.learning_rate is a number from 0 on; received nan"),
        (_with_training(batch_size=0), "batch_size is 1 or more; received 0"),
        (_with_training(half_size_epochs=9), r"half_size_epochs is from 0 to \d+, the training's epochs; received 9"),
        (_with_training(accumulate=2), "accumulate divides training.batch_size, 3: parts are of one size; received 2"),
        (_with_training(repeat_threshold=1.5), "repeat_threshold is a share from 0 to 1; received 1.5"),
        (
            _changed(EXPERIMENT, export=Export(precision="int8")),
            "export.precision is float32 or bfloat16; received 'int8'",
        ),
        (_with_training(fill_mode="reflect"), "fill_mode is 'nearest' or 'constant'; received 'reflect'"),
        (_with_training(max_shift=1.0), "max_shift is a share of .* below 1; received 1.0"),
        (_with_training(max_rotation=-5.0), "max_rotation is from 0 to 180 degrees; received -5.0"),
        (_with_training(scale=(1.1, 0.9)), r"scale is \(smallest, largest\) factor, above 0; received \(1.1, 0.9\)"),
        (_with_task(weight=float("nan")), "The weight of task 'attributes' is 0 or more; received nan"),
        (
            _with_task(kind="regression", options={"scale": 0.0}, bar=None),
            "Option 'scale' of task 'attributes' is above 0; received 0.0",
        ),
    ],
)
def test_experiments_that_are_refused(experiment, message):
    with pytest.raises(ValueError, match=message):
        experiment.validate()


SGD = configured("tensorflow.keras.optimizers.SGD")
WIDENING = WideningTraining(epochs=2, steps=3, batch_size=4, optimizer=SGD, widening_rate=0.01, alpha=1.0)
HYBRID = HybridTraining(
    epochs=2,
    steps=3,
    optimizer=SGD,
    tasks=(TaskTraining(task="attributes", batch_size=2),),
    pretraining_rate=SGD,
    learning_rate=SGD,
)


@pytest.mark.parametrize("training", [WIDENING, HYBRID, _changed(WIDENING, fixed_tree="permuted", warm_start="a/b")])
def test_trainings_of_papers_that_can_run(training):
    _changed(EXPERIMENT, training=training).validate()


@pytest.mark.parametrize(
    ("training", "task", "message"),
    [
        (
            WIDENING,
            {"options": {}},
            "task 'attributes' is of kind multi_label with the options {}",
        ),
        (WIDENING, {"kind": "landmarks", "options": {}, "bar": None}, "is of kind landmarks"),
        (_changed(WIDENING, fixed_tree="found"), {}, "fixed_tree is 'learned', 'permuted' or None; received 'found'"),
        (_changed(WIDENING, fixed_tree="learned"), {}, "fixed_tree='learned' needs a tree: give training a warm_start"),
        (_changed(WIDENING, epochs=0), {}, "training.epochs is 1 or more"),
        (_changed(WIDENING, steps=0), {}, "training.steps is 1 or more; received 0"),
        (_changed(HYBRID, steps=-1), {}, "training.steps is 1 or more; received -1"),
        (HYBRID, {"name": "emotions"}, "training.tasks are attributes, the experiment's tasks emotions"),
        (_changed(HYBRID, initial_feedback="ones"), {}, "initial_feedback is 'mean' or 'zeros'; received 'ones'"),
        (_changed(HYBRID, seed=-1), {}, "training.seed is from 0 to 4294967295"),
    ],
)
def test_trainings_of_papers_that_are_refused(training, task, message):
    with pytest.raises(ValueError, match=message):
        _changed(_with_task(**task), training=training).validate()


def test_the_form_is_of_what_an_experiment_sets():
    experiment = experiments.get("dmm_cnn/synthetic")
    training = dataclasses.replace(experiment.training, seed=7)
    assert form(dataclasses.replace(experiment, summary="other words", training=training)) == form(experiment)
    longer = dataclasses.replace(experiment.training, epochs=99)
    wider = dataclasses.replace(experiment.model, kwargs={**experiment.model.kwargs, "backbone_width": 8})
    others = {
        form(dataclasses.replace(experiment, training=longer)),
        form(dataclasses.replace(experiment, model=wider)),
    }
    assert len(others | {form(experiment)}) == 3

    @dataclasses.dataclass(frozen=True)
    class Later(type(experiment)):
        option: int = 0

    Later.__module__, Later.__qualname__ = type(experiment).__module__, type(experiment).__qualname__
    fields = {field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)}
    assert form(Later(**fields)) == form(experiment)
    assert form(Later(**fields, option=1)) != form(experiment)


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        (
            Evaluation(slice_by=("Male",), max_gaps={"accuracy": 1.5}),
            r"max_gaps\.accuracy is a share above 0 and below 1; received 1\.5",
        ),
        (Evaluation(slice_by=("Male",), max_gaps={"accuracy": "much"}), "below 1; received 'much'"),
        (Evaluation(max_gaps={"accuracy": 0.1}), "between the sides of evaluation.slice_by, which is empty"),
    ],
)
def test_a_gap_that_cannot_be(evaluation, message):
    with pytest.raises(ValueError, match=message):
        evaluation.validate()

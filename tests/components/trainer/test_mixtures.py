"""Several tasks at once through the one loop: of one data set, and of several that share no label."""

import dataclasses

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from tensorflow import keras

from components.config import Data, DatasetConfig, Task, configured
from components.tasks.annotation import BoundTask
from components.tasks.base import learning_of
from components.trainer.inputs import evaluation_examples
from components.trainer.objectives import TaskLosses
from components.trainer.recipe import all_files
from components.trainer.task_model import TaskModel
from tests.support import tiny_faces

pytestmark = pytest.mark.slow

ATTRIBUTES = Task("attributes", "multi_label")
EMOTION = Task("emotion", "classification")
FOUR = (ATTRIBUTES, tiny_faces.PARSED, EMOTION, tiny_faces.LANDMARKS)
OUTPUTS = {"attributes": 6, "parsing": 4, "emotion": 2, "landmarks": 10}
LOSS = configured("components.trainer.objectives.TaskLosses")


def network(input_shape, tasks=OUTPUTS) -> keras.Model:
    """Convolutions at the image's own size; a map for `parsing`, vectors for the rest."""
    image = keras.Input(input_shape)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    pooled = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(x))
    outputs = {
        name: keras.layers.Conv2D(count, 1)(x) if name == "parsing" else keras.layers.Dense(count)(pooled)
        for name, count in tasks.items()
    }
    return keras.Model(image, outputs, name="multi_task")


def _model(**tasks):
    return configured(f"{__name__}.network", tasks=tasks or OUTPUTS)


def _serialized(number, labels=tuple(OUTPUTS)):
    """All labels, which the image shows; or some of them, and the others not annotated."""
    absent = {}
    for name in set(OUTPUTS) - set(labels):
        absent |= tiny_faces.labels_of_none(tiny_faces.ANNOTATIONS[name], name)
    parts = np.zeros(tiny_faces.SIZE, np.uint8)
    for k in range(4):
        parts[:, k * 8 : (k + 1) * 8] = (number >> k & 1) * (1 + k % 3)
    present = {"parsing/encoded": [tiny_faces.encoded(PIL.Image.fromarray(parts), "PNG")], "emotion": [number & 1]}
    return tiny_faces.serialized(number, **present | absent)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One data set with all labels."""
    folder = tmp_path_factory.mktemp("mixture")
    splits = {"train": range(48), "validation": range(48, 60)}
    return {s: tiny_faces.write(folder / s, [_serialized(n) for n in numbers]) for s, numbers in splits.items()}


def _experiment(tasks=FOUR, model=None, **settings):
    settings = {"loss": LOSS, "epochs": 3, "flip": False, "learning_rate": 0.01, **settings}
    return tiny_faces.experiment(model or _model(), tasks=tasks, **settings)


METRICS = {"attributes": "accuracy", "parsing": "mean_f1", "emotion": "accuracy", "landmarks": "nme"}
LISTS = {
    "attributes": {"attributes_losses", "attributes_weights", "attributes_thresholds"},
    "parsing": {"parsing_f1"},
    "emotion": {"emotion_recall"},
    "landmarks": {"landmarks_nme_by_point"},
}


def _assert_history(epochs, names):
    terms = {"loss", *(f"{name}_loss" for name in names)}
    figures = {f"val_{name}_{METRICS[name]}" for name in names}
    for epoch in epochs:
        validated = {f"val_{term}" for term in terms}
        assert epoch.keys() == terms | validated | figures | {"learning_rate"}.union(*(LISTS[name] for name in names))
        assert epoch["loss"] == pytest.approx(sum(epoch[f"{name}_loss"] for name in names), rel=1e-4)
        assert np.isfinite([epoch[name] for name in terms | validated | figures]).all()


def test_four_kinds_of_one_data_set(files, tmp_path):
    trained = tiny_faces.fit(_experiment(), tmp_path, files)
    _assert_history(trained.epochs, OUTPUTS)
    first, last = trained.epochs[0], trained.epochs[-1]
    for name in OUTPUTS:
        assert last[f"{name}_loss"] < first[f"{name}_loss"], name
    assert list(trained.tasks) == list(OUTPUTS)
    logs = [path.name for path in (tmp_path / "logs").rglob("events*")]
    assert {name.rsplit(".", 1)[-1] for name in logs} >= {"by_name", "parsing"}


@pytest.mark.parametrize("task", [EMOTION, tiny_faces.LANDMARKS], ids=lambda task: task.name)
def test_a_task_alone(files, tmp_path, task):
    """Whatever else the data set's records have."""
    model = _model(**{task.name: OUTPUTS[task.name]})
    trained = tiny_faces.fit(_experiment((task,), model), tmp_path, files)
    _assert_history(trained.epochs, [task.name])
    assert trained.epochs[-1]["loss"] < trained.epochs[0]["loss"]
    if task is EMOTION:
        assert trained.epochs[-1]["val_emotion_accuracy"] > 0.8


def test_a_mixture_that_is_stopped_ends_as_an_unbroken_one(files, tmp_path):
    tiny = _experiment(callbacks=(tiny_faces.STOP,), epochs=2)
    unbroken = tiny_faces.fit(tiny, tmp_path / "unbroken", files)
    tiny_faces.StopAt.where = (1, 1)
    try:
        with pytest.raises(tiny_faces.Stopped):
            tiny_faces.fit(tiny, tmp_path / "stopped", files)
    finally:
        tiny_faces.StopAt.where = None
    tiny_faces.assert_same(tiny_faces.fit(tiny, tmp_path / "stopped", files), unbroken)


# --- data sets that share no label

SEVERAL = Data(tuple(DatasetConfig(name, labels=(name,)) for name in OUTPUTS), image_size=tiny_faces.SIZE)
SIZES = {"attributes": 24, "parsing": 12, "emotion": 12, "landmarks": 12}


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """Four data sets with a label each."""
    folder = tmp_path_factory.mktemp("apart")
    splits = {f"{name}_train": (name, range(size)) for name, size in SIZES.items()}
    splits |= {f"{name}_validation": (name, range(48, 56)) for name in SIZES}
    return {
        split: tiny_faces.write(folder / split, [_serialized(number, (name,)) for number in numbers])
        for split, (name, numbers) in splits.items()
    }


def _bound_apart(tasks=FOUR):
    return [BoundTask(task, tiny_faces.ANNOTATIONS[task.name], task.name) for task in tasks]


def test_four_kinds_of_four_data_sets(apart, tmp_path):
    """Their images come in the same batches, and each has a part in the loss of its own task alone."""
    tiny = dataclasses.replace(_experiment(batch_size=15), data=SEVERAL)
    trained = tiny_faces.fit(tiny, tmp_path, apart, _bound_apart())
    _assert_history(trained.epochs, OUTPUTS)
    for name in OUTPUTS:
        assert trained.epochs[-1][f"{name}_loss"] < trained.epochs[0][f"{name}_loss"], name
    # Of the validation images only those of its own data set count for a task's figures.
    bound = _bound_apart()
    validation = all_files({name: apart[f"{name}_validation"] for name in SIZES})
    counted = {task.name: learning_of(task, tiny_faces.SIZE) for task in bound}
    for image, labels in evaluation_examples(validation, bound, (32, 32)).batch(7):
        outputs = trained.network(tf.cast(image, tf.float32))
        for name, task in counted.items():
            task.update(labels, outputs[name], task.loss(labels, outputs[name]))
    for name, task in counted.items():
        assert trained.epochs[-1][f"val_{task.figure}"] == pytest.approx(float(task.metric.result()), rel=1e-4), name
    assert counted["attributes"].metric.annotated.numpy().tolist() == [8] * 6
    assert float(tf.reduce_sum(counted["parsing"].metric.total_cm)) == 8 * 32 * 32
    assert float(counted["emotion"].metric.count) == float(counted["landmarks"].metric.count) == 8


def test_a_mixed_batch_costs_what_its_parts_cost(apart):
    """Each task's loss is that of its own images alone."""
    bound = _bound_apart()
    keras.utils.set_random_seed(0)
    model = TaskModel(network((32, 32, 3)), {task.name: learning_of(task, (32, 32)) for task in bound}, TaskLosses())
    files = {name: apart[f"{name}_train"] for name in SIZES}
    (mixed,) = evaluation_examples(all_files(files), bound, (32, 32)).batch(60)
    terms = model.objective(mixed[1], model(tf.cast(mixed[0], tf.float32)))
    for name, alone in files.items():
        ((image, labels),) = evaluation_examples(alone, bound, (32, 32)).batch(60)
        of_part = model.objective(labels, model(tf.cast(image, tf.float32)))
        assert float(terms[f"{name}_loss"]) == pytest.approx(float(of_part[f"{name}_loss"]), rel=1e-4), name
        assert float(of_part["loss"]) == float(of_part[f"{name}_loss"])  # nothing else is annotated there


# --- weights


def test_a_tasks_weight_weighs_its_loss():
    """By hand: 2 · ln 2 for an even choice of emotion, 0.5 · 0.1² · 10 for landmarks, 0 · ln 2 for attributes."""
    tasks = tiny_faces.bound(
        dataclasses.replace(EMOTION, weight=2.0),
        dataclasses.replace(tiny_faces.LANDMARKS, weight=0.5),
        dataclasses.replace(ATTRIBUTES, weight=0.0),
    )
    objective = TaskLosses()
    objective.bind({task.name: learning_of(task, (32, 32)) for task in tasks})
    assert objective.TERMS == ("loss", "emotion_loss", "landmarks_loss", "attributes_loss")
    labels = {
        "emotion": tf.constant([1, -1], tf.int64),
        "landmarks": tf.constant([[float("nan")] * 10, [0.5] * 10]),
        "attributes": tf.constant([[-1] * 6, [1, -1, -1, -1, -1, -1]], tf.int64),
    }
    outputs = {"emotion": tf.zeros([2, 2]), "landmarks": tf.fill([2, 10], 0.6), "attributes": tf.zeros([2, 6])}
    terms = objective(labels, outputs)
    assert float(terms["emotion_loss"]) == pytest.approx(np.log(2))
    assert float(terms["landmarks_loss"]) == pytest.approx(0.1, rel=1e-5)
    assert float(terms["attributes_loss"]) == pytest.approx(np.log(2))
    assert float(terms["loss"]) == pytest.approx(2 * np.log(2) + 0.5 * 0.1, rel=1e-5)


def test_a_task_of_weight_0_is_not_learnt(files, tmp_path):
    tasks = (EMOTION, dataclasses.replace(tiny_faces.LANDMARKS, weight=0.0))
    sgd = configured("tensorflow.keras.optimizers.SGD")
    tiny = _experiment(tasks, _model(emotion=2, landmarks=10), epochs=1, optimizer=sgd)
    trained = tiny_faces.fit(tiny, tmp_path, files).network
    keras.utils.set_random_seed(tiny.training.seed)
    start = tiny.model.build(input_shape=(*tiny_faces.SIZE, 3))
    moved = [not np.array_equal(one, other) for one, other in zip(trained.weights, start.weights, strict=True)]
    assert moved == [True, True, True, True, False, False]  # convolution, emotion, landmarks


# --- a network that doesn't fit the tasks


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (
            {"attributes": 6, "parsing": 4, "emotion": 2},
            "'multi_task' has no output for task 'landmarks', but attributes",
        ),
        ({**OUTPUTS, "landmarks": 5}, "'multi_task' has 5 channels for task 'landmarks', the labels of tiny need 10"),
        ({**OUTPUTS, "parsing": 5}, "'multi_task' has 5 channels for task 'parsing', the labels of tiny need 4"),
        ({**OUTPUTS, "emotion": 3}, "'multi_task' has 3 channels for task 'emotion', the labels of tiny need 2"),
        (
            {**OUTPUTS, "attributes": 40},
            "'multi_task' has 40 channels for task 'attributes', the labels of tiny need 6",
        ),
    ],
)
def test_a_network_that_does_not_fit_the_tasks(files, tmp_path, outputs, message):
    with pytest.raises(ValueError, match=message):
        tiny_faces.fit(_experiment(model=_model(**outputs)), tmp_path, files)


# --- an attribute that is not annotated among others that are


def test_an_attribute_that_is_not_annotated_is_not_learnt(tmp_path):
    """In a whole run: its logit stays where it starts, and it is measured nowhere."""
    records = [
        tiny_faces.serialized(n, attributes=[n & 1, -1, n >> 2 & 1, n >> 3 & 1, n >> 4 & 1, 1]) for n in range(24)
    ]
    files = {split: tiny_faces.write(tmp_path / split, records) for split in ("train", "validation")}
    sgd = configured("tensorflow.keras.optimizers.SGD")
    tiny = _experiment((ATTRIBUTES,), tiny_faces.LINEAR, optimizer=sgd)
    trained = tiny_faces.fit(tiny, tmp_path, files)
    keras.utils.set_random_seed(tiny.training.seed)
    start = tiny_faces.linear_network((*tiny_faces.SIZE, 3))
    for one, other in zip(trained.network.weights, start.weights, strict=True):
        same = (one.numpy() == other.numpy()).reshape(-1, 6).all(axis=0)
        assert same.tolist() == [False, True, False, False, False, False]
    for epoch in trained.epochs:
        assert epoch["attributes_losses"][1] == 0 < min(np.delete(epoch["attributes_losses"], 1))
        # In units of an answer: 24 images with five answers each.
        assert (1 - epoch["val_attributes_accuracy"]) * 120 == pytest.approx(
            round((1 - epoch["val_attributes_accuracy"]) * 120), abs=1e-3
        )

"""Algorithm 1 on tiny data sets of one label each: who is updated, how often, by what, and across interruptions.

`three` and the two devices are traced, as users' runs are.
As a script: trains on one device and on two.
"""

import contextlib
import io
import json
import pathlib
import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.config import configured, from_json, to_json
from components.systems.ifan.config import HybridTraining
from components.systems.ifan.model import HybridModel, TurnStage
from components.systems.ifan.training import PLAIN_TURNS, TURNS, training_stages
from components.tasks.base import learning_of
from components.trainer import inputs
from keras_models.task_batch_norm import TaskBatchNorm
from tests.support import tiny_faces, tiny_tasks
from tests.support.tiny_tasks import WatchedHybrid

pytestmark = pytest.mark.slow

SIZES = {"parsing": 8, "landmarks": 14, "emotion": 10, "attributes": 4}  # in batches of 4: 2, 3, 2 and 1
TWO = ("landmarks", "emotion")
RATE = 0.1
FALLING = configured("components.trainer.schedules.exponential", first=0.004, last=0.001)


@pytest.fixture(scope="module", autouse=True)
def _watched():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HybridTraining, "RECIPE", "tests.support.tiny_tasks.WatchedHybrid")
        yield


@pytest.fixture(autouse=True)
def _no_stop():
    yield
    tiny_faces.StopAt.where = None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny_tasks")
    tiny_tasks.write(folder, SIZES)
    return folder


@pytest.fixture(scope="module")
def files(folder):
    return tiny_faces.files_in(folder)


class Run:
    """A run with what it said on stderr, how its updates were counted and what its optimizers keep."""

    def __init__(self, tiny, outputs, files, mode=tiny_faces.eagerly):
        with contextlib.redirect_stderr(io.StringIO()) as said, mode():
            self.trained = tiny_tasks.fit(tiny, outputs, files)
        self.said = said.getvalue()
        self.epochs = self.trained.epochs
        self.means = {label: v.numpy() for label, v in WatchedHybrid.last.network.get_layer("initial").means.items()}
        optimizers = WatchedHybrid.last.optimizers
        self.updates = {label: int(optimizer.iterations) for label, optimizer in optimizers.items()}
        self.states = {label: [v.numpy() for v in optimizer.variables] for label, optimizer in optimizers.items()}


# --- the stages


def _training(*pretraining_epochs, **settings):
    training = tiny_tasks.experiment(**settings).training
    return replace(
        training,
        tasks=tuple(
            replace(task, pretraining_epochs=epochs)
            for task, epochs in zip(training.tasks, pretraining_epochs, strict=True)
        ),
    )


def _stage(name, tasks, updates, re_encoders, first_epoch, last_epoch, steps, following=0):
    """Of a new run; `following` counts the stage's own steps."""
    return TurnStage(
        name, first_epoch, first_epoch, last_epoch, steps, last_epoch, tasks, updates, re_encoders, following=following
    )


STEPS = {"parsing": 2, "landmarks": 3, "emotion": 2}
THREE = tiny_tasks.THREE


def test_the_stages_of_algorithm_1():
    assert training_stages(_training(2, 3, 4, epochs=5, steps=7), STEPS, iterations=2) == [
        # 9 updates of landmarks, 8 of emotions, 5 times 7 turns of 6 updates.
        _stage("parsing alone", ("parsing",), (0,), False, 0, 2, 2, following=9 + 8 + 210),
        _stage("landmarks alone", ("landmarks",), (0,), False, 2, 5, 3, following=8 + 210),
        _stage("emotion alone", ("emotion",), (0,), False, 5, 9, 2, following=210),
        _stage("taking turns", THREE, (1, 2), True, 9, 14, 7),
    ]


def test_tasks_that_are_not_pre_trained():
    assert training_stages(_training(0, 3, 0, epochs=5, steps=7), STEPS, iterations=1) == [
        _stage("landmarks alone", ("landmarks",), (0,), False, 0, 3, 3, following=5 * 7 * 3),
        _stage("taking turns", THREE, (1,), True, 3, 8, 7),
    ]
    assert [stage.first_epoch for stage in training_stages(_training(0, 0, 0), STEPS, iterations=1)] == [0]


def test_without_iterations_turns_are_at_iteration_0():
    assert training_stages(_training(0, 0, 0, epochs=5, steps=7), STEPS, iterations=0) == [
        _stage("taking turns", THREE, (0,), False, 0, 5, 7)
    ]


def test_turns_before_the_tasks_interact():
    assert training_stages(_training(0, 0, 2, epochs=5, steps=7, plain_epochs=3), STEPS, iterations=2) == [
        _stage("emotion alone", ("emotion",), (0,), False, 0, 2, 2, following=3 * 7 * 3 + 210),
        # Turns without feedback have 3 updates each, those that follow 6.
        _stage("taking turns without feedback", THREE, (0,), False, 2, 5, 7, following=70),
        _stage("taking turns", THREE, (1, 2), True, 5, 10, 7),
    ]


def test_without_turns():
    names = [stage.name for stage in training_stages(_training(1, 0, 1, epochs=0), STEPS, iterations=2)]
    assert names == ["parsing alone", "emotion alone"]


# --- a whole run


@pytest.fixture(scope="module")
def three(files, tmp_path_factory):
    """Two epochs of 24 turns, each of an update."""
    tiny = tiny_tasks.experiment(
        iterations=1,
        pretraining=0,
        steps=24,
        optimizer=configured("tensorflow.keras.optimizers.Adam"),
        learning_rate=configured("components.trainer.schedules.exponential", first=0.005, last=0.002),
    )
    return Run(tiny, tmp_path_factory.mktemp("three"), files, contextlib.nullcontext)


def test_every_task_gets_as_many_updates(three):
    assert three.updates == dict.fromkeys(THREE, 2 * 24)


def test_history(unbroken):
    figures = {"val_landmarks_nme", "landmarks_nme_by_point", "val_emotion_accuracy", "emotion_recall"}
    assert unbroken.updates == {"landmarks": 3 + 3 * 3, "emotion": 2 + 3 * 3}
    stages = ["landmarks alone", "emotion alone", PLAIN_TURNS, TURNS, TURNS]
    assert [epoch["stage"] for epoch in unbroken.epochs] == stages
    # Before the tasks interact the rate falls, in each stage anew; of its three updates the last, counted from 0.
    falling = 0.004 * 0.25 ** (2 / 3)
    assert unbroken.epochs[0]["learning_rate"] == pytest.approx(falling, rel=1e-5)
    assert [epoch["learning_rate"] for epoch in unbroken.epochs[2:]] == pytest.approx([falling, 0.002, 0.002], rel=1e-5)
    for epoch, labels in zip(unbroken.epochs, [("landmarks",), ("emotion",), TWO, TWO, TWO], strict=True):
        losses = {f"{label}_loss" for label in labels}
        assert epoch.keys() == {"loss", "learning_rate", "stage"} | losses | figures
        assert epoch["loss"] == pytest.approx(sum(epoch[name] for name in losses), rel=1e-5)
        # Of this epoch's validation alone: every image has all points.
        assert np.mean(epoch["landmarks_nme_by_point"]) == pytest.approx(epoch["val_landmarks_nme"], rel=1e-4)


def test_learning_rates(three):
    # Of 48 updates in turns the 24th and the last, counted from 0, of the first task.
    falling = [0.005 * 0.4 ** (step / 48) for step in (23, 47)]
    assert [epoch["learning_rate"] for epoch in three.epochs] == pytest.approx(falling, rel=1e-4)


def _learnings(labels=THREE):
    return {task.name: learning_of(task, tiny_tasks.SIZE) for task in tiny_tasks.bound(labels)}


def test_every_task_learns(three, files):
    keras.utils.set_random_seed(3)
    untrained = tiny_tasks.model().build(input_shape=(32, 32, 3))
    figures = {}
    for label, task in _learnings().items():
        examples = inputs.evaluation_examples(files[f"{label}_validation"], [task.task], tiny_tasks.SIZE)
        for image, labels in examples.batch(7):
            output = untrained(image)[label]
            task.update(labels, output, task.loss(labels, output))
        figures[label] = float(task.metric.result())
    last = three.epochs[-1]
    assert figures["emotion"] == pytest.approx(1 / 7)
    assert last["val_emotion_accuracy"] > 0.25
    assert last["val_parsing_mean_f1"] > figures["parsing"] + 0.1
    assert last["val_landmarks_nme"] < 0.9 * figures["landmarks"]


def test_progress_names_the_stage(unbroken):
    ends = [line.strip().split(" after ")[0] for line in unbroken.said.splitlines() if " after 0" in line]
    alone = [f"{label} alone, epoch {n}/{n}" for n, label in enumerate(TWO, start=1)]
    plain = "taking turns without feedback, epoch 3/3"
    assert ends == [*alone, plain, "taking turns, epoch 4/5", "taking turns, epoch 5/5"]
    assert "Continuing" not in unbroken.said


def test_mean_feedback_is_the_data_sets(three, files):
    # Of ten numbers modulo 7 three occur twice.
    np.testing.assert_allclose(three.means["emotion"], [0.2] * 3 + [0.1] * 4, rtol=1e-6)
    examples = {label: [_features(record) for record in _records(files[f"{label}_train"])] for label in THREE}
    points = [example["landmarks"].float_list.value for example in examples["landmarks"]]
    np.testing.assert_allclose(three.means["landmarks"], np.mean(points, axis=0), rtol=1e-5)
    maps = [tf.io.decode_png(e["parsing/encoded"].bytes_list.value[0])[..., 0] for e in examples["parsing"]]
    shares = np.mean([np.array(labels)[..., None] == np.arange(19) for labels in maps], axis=0)
    np.testing.assert_allclose(three.means["parsing"], shares, rtol=1e-6)
    np.testing.assert_array_equal(three.means["parsing"][:2], np.zeros((2, 32, 19)))  # nowhere labelled


def _records(names):
    return tf.data.TFRecordDataset(names, compression_type="GZIP").as_numpy_iterator()


def _features(record):
    return tf.train.Example.FromString(record).features.feature


def test_another_task_without_mean_feedback(files, tmp_path):
    """A fourth data set and task is configuration; "zeros" leaves the initial feedback as it is built."""
    labels = ("landmarks", "attributes")
    tiny = tiny_tasks.experiment(labels, iterations=1, pretraining=0, epochs=1, steps=1, initial_feedback="zeros")
    run = Run(tiny, tmp_path, files)
    assert run.updates == dict.fromkeys(labels, 1)
    assert {f"{label}_loss" for label in labels} <= run.epochs[0].keys()
    assert 0 <= run.epochs[0]["val_attributes_accuracy"] <= 1
    assert set(run.means) == set(labels)
    for label, mean in run.means.items():
        np.testing.assert_array_equal(mean, np.full_like(mean, -1 if label == "landmarks" else 0))


# --- single updates


def _model(labels=THREE, iterations=1, seed=5, l2=0.0, **arguments):
    """A HybridModel by itself, its weights all moved away from where they start, with SGD."""
    network = tiny_tasks.model(labels, iterations, **arguments).build(input_shape=(32, 32, 3))
    random = np.random.default_rng(seed)
    for weight in network.trainable_variables:
        weight.assign_add(random.normal(0, 0.1, weight.shape))
    sgd = {label: keras.optimizers.SGD(RATE) for label in labels}
    model = HybridModel(network, _learnings(labels), sgd, l2)
    model.compile(sgd[labels[0]])
    return model


def _batch(label, files):
    examples = inputs.evaluation_examples(files[f"{label}_train"], tiny_tasks.bound([label]), tiny_tasks.SIZE)
    return next(iter(examples.batch(4)))


def _train(model, stage, files):
    """One turn of the stage's tasks."""
    model.begin(stage)
    batch = {label: _batch(label, files) for label in stage.tasks}
    with tiny_faces.eagerly():
        return model.fit(tf.data.Dataset.from_tensors(batch), verbose=0).history


def _values(model):
    """By part of the network: the values of its weights."""
    network, parts = model.network, ("down", "up", "integrator", "initial", *model.tasks)
    names = [layer.name for layer in network.layers]
    return {part: [w.numpy() for w in network.get_layer(part).weights] for part in parts if part in names}


def _norms(model):
    """By task: the scales, offsets and statistics of its batch norms in the backbone."""
    norms = [layer for layer in model.network.submodules if isinstance(layer, TaskBatchNorm)]
    assert norms
    return [
        [x.numpy() for norm in norms for x in (*norm.task_weights(i), norm.moving_mean[i], norm.moving_variance[i])]
        for i in range(len(model.tasks))
    ]


def _same(before, after):
    return [np.array_equal(one, other) for one, other in zip(before, after, strict=True)]


@pytest.mark.parametrize("label", THREE)
def test_pre_training_leaves_the_other_tasks_alone(files, label):
    model = _model()
    parts, norms = _values(model), _norms(model)
    _train(model, _stage("alone", (label,), (0,), False, 0, 1, 1), files)
    for part, values in _values(model).items():
        if part in ("integrator", "initial") or (part in THREE and part != label):
            assert all(_same(parts[part], values)), part
    assert not any(_same(parts[label], _values(model)[label]))
    for task, before, after in zip(THREE, norms, _norms(model), strict=True):
        if task != label:
            assert all(_same(before, after)), task
    same = np.array(_same(norms[THREE.index(label)], _norms(model)[THREE.index(label)]))
    # Of its own those that the task passes through: parsing all, tasks that are decoded half-way not the up path's.
    assert same.all() != (~same).any() and (label != "parsing" or not same.any())
    assert not all(_same(parts["down"], _values(model)["down"]))


def test_a_turn_moves_the_re_encoders(files):
    model = _model()
    before = _values(model)
    history = _train(model, _stage(TURNS, ("emotion", "parsing"), (1,), True, 0, 1, 1), files)
    after = _values(model)
    assert not all(_same(before["integrator"], after["integrator"]))
    assert all(_same(before["landmarks"], after["landmarks"])) and all(_same(before["initial"], after["initial"]))
    assert not any(_same(before["emotion"], after["emotion"])) and not any(_same(before["parsing"], after["parsing"]))
    assert history["loss"][0] == pytest.approx(history["emotion_loss"][0] + history["parsing_loss"][0], rel=1e-5)


def test_a_turn_has_an_update_for_each_iteration(files):
    model = _model(TWO, iterations=2)
    _train(model, _stage(TURNS, TWO, (1, 2), True, 0, 1, 1), files)
    assert {name: int(optimizer.iterations) for name, optimizer in model.optimizers.items()} == dict.fromkeys(TWO, 2)


def test_what_an_update_moves_is_drawn_towards_0(files):
    """By RATE · 2 · l2 · w more than without l2; what it doesn't move stays."""
    labels = ("parsing", "landmarks")
    plain, decayed = _model(labels), _model(labels, l2=0.05)
    before = plain.network.get_weights()
    decayed.network.set_weights(before)
    for model in (plain, decayed):
        _train(model, _stage("alone", ("parsing",), (0,), False, 0, 1, 1), files)
    assert all(_same(_values(plain)["landmarks"], _values(decayed)["landmarks"]))
    for was, one, other in zip(before, plain.network.weights, decayed.network.weights, strict=True):
        moved = one.trainable and np.any(other.numpy() != was)
        np.testing.assert_allclose(one - other, RATE * 2 * 0.05 * was * moved, rtol=1e-3, atol=1e-6, err_msg=one.name)


def test_an_update_recomputed(files):
    """Of parsing at iteration 1: gradients through a pass that is put together here, its head's worked out in NumPy."""
    model, reference = _model(), _model().network
    reference.set_weights(model.network.get_weights())
    image, labels = _batch("parsing", files)
    truth = labels["parsing"].numpy()
    first = reference(image)
    probabilities = {
        "parsing": tf.nn.softmax(first["parsing_iter0"]),
        "landmarks": first["landmarks_iter0"],
        "emotion": tf.nn.softmax(first["emotion_iter0"]),
    }
    part = reference.get_layer
    watched = [
        *part("parsing").trainable_variables,
        part("stem").kernel,
        *part("integrator").trainable_variables,
        part("down").get_layer("down3_layer1_conv").kernel,
    ]
    labelled = truth != 255
    wanted = np.eye(19)[np.where(labelled, truth, 0)]
    with tf.GradientTape() as tape:
        given = {**part("integrator")(probabilities), "domain": tf.zeros(4, tf.int32)}
        stem = part("stem")(tf.cast(image, tf.float32) / 127.5 - 1) + part("stem_feedback")(given["level1"])
        features = part("up")({**part("down")({"stem": stem, **given}, training=True), **given}, training=True)["up"]
        logits = part("parsing")(features, training=True)
        log = logits - tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
        loss = -tf.reduce_sum(log * wanted * labelled[..., None]) / labelled.sum()
    gradients = tape.gradient(loss, watched)
    before = [variable.numpy() for variable in watched]
    history = _train(model, _stage(TURNS, ("parsing",), (1,), True, 0, 1, 1), files)
    assert history["parsing_loss"][0] == pytest.approx(float(loss), rel=1e-5)
    assert (truth == 255).any() and len(watched) > 6
    part = model.network.get_layer
    updated = [
        *part("parsing").trainable_variables,
        part("stem").kernel,
        *part("integrator").trainable_variables,
        part("down").get_layer("down3_layer1_conv").kernel,
    ]
    for was, now, gradient, variable in zip(before, updated, gradients, watched, strict=True):
        change = -RATE * gradient.numpy()
        np.testing.assert_allclose(now.numpy() - was, change, rtol=1e-3, atol=1e-6, err_msg=variable.name)
    # The bias of the logits: the mean over the labelled pixels of what is too much.
    surplus = (np.exp(log.numpy()) - wanted)[labelled].mean(axis=0)
    bias, old = (
        part("parsing").get_layer("parsing_logits").bias,
        reference.get_layer("parsing").get_layer("parsing_logits").bias,
    )
    np.testing.assert_allclose(bias.numpy() - old.numpy(), -RATE * surplus, rtol=1e-3, atol=1e-6)


# --- stopped and continued


@pytest.fixture(scope="module")
def tiny_two():
    """Epoch 0: landmarks alone; 1: emotion alone; 2: plain turns; 3 and 4: turns. Both decoders have dropout."""
    return tiny_tasks.experiment(TWO, iterations=1, plain_epochs=1, pretraining_rate=FALLING)


@pytest.fixture(scope="module")
def unbroken(tiny_two, files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    run = Run(tiny_two, folder, files)
    assert list((folder / "logs").rglob("*.by_name")), "TensorBoard's curves of each class and point"
    return run


def _assert_same(run, unbroken):
    tiny_faces.assert_same(run.trained, unbroken.trained)
    assert run.updates == unbroken.updates
    for label, values in unbroken.states.items():
        for one, other in zip(run.states[label], values, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6, err_msg=label)


def test_a_run_that_is_stopped_again_and_again(tiny_two, files, tmp_path, unbroken):
    """Its experiment came as JSON, where names are in another order."""
    model = tiny_two.model
    turned = {**model.kwargs, "tasks": dict(reversed(model.kwargs["tasks"].items()))}
    tiny = from_json(to_json(replace(tiny_two, model=replace(model, kwargs=turned))))
    assert tiny == tiny_two
    for where, saved in {(1, "end"): 1, (2, 1): 2, (4, 1): 4}.items():
        tiny_faces.StopAt.where = where
        with pytest.raises(tiny_faces.Stopped), tiny_faces.eagerly():
            tiny_tasks.fit(tiny, tmp_path, files)
        assert tiny_faces.newest_save(tmp_path) == saved, where
    tiny_faces.StopAt.where = None
    run = Run(tiny, tmp_path, files)
    assert "Continuing after epoch 4." in run.said
    _assert_same(run, unbroken)


# --- what can't be trained


def test_what_a_hybrid_training_can_not_do():
    tiny = tiny_tasks.experiment(initial_feedback="ones")
    with pytest.raises(ValueError, match="initial_feedback is 'mean' or 'zeros'; received 'ones'"):
        tiny.training.validate(tiny.tasks)
    tiny = tiny_tasks.experiment(plain_epochs=-1)
    with pytest.raises(ValueError, match=r"training\.plain_epochs is 0 or more; received -1"):
        tiny.training.validate(tiny.tasks)
    tiny = tiny_tasks.experiment(l2=-1e-4)
    with pytest.raises(ValueError, match=r"l2 is a number from 0 on; received -0\.0001"):
        tiny.training.validate(tiny.tasks)
    with pytest.raises(
        ValueError, match=r"training\.tasks are emotion, landmarks, parsing, .* tasks emotion, landmarks:"
    ):
        tiny.training.validate(tiny_tasks.tasks(TWO))


def test_another_networks_tasks(files, tmp_path):
    tiny = tiny_tasks.experiment(TWO, network=tiny_tasks.model(("emotion",)))
    with pytest.raises(ValueError, match="no output for task 'landmarks', but emotion"):
        tiny_tasks.fit(tiny, tmp_path, files)
    tiny = tiny_tasks.experiment(("emotion",), network=tiny_tasks.model(TWO))
    of_one_data_set = {split: files[f"emotion_{split}"] for split in ("train", "validation")}
    with pytest.raises(ValueError, match="The network's tasks are emotion, landmarks, but emotion train"):
        tiny_tasks.fit(tiny, tmp_path, of_one_data_set)


@pytest.mark.parametrize(("label", "received", "expected"), [("landmarks", 8, 10), ("emotion", 4, 7)])
def test_another_number_of_outputs(files, tmp_path, label, received, expected):
    network = tiny_tasks.model(TWO, tasks={**{other: tiny_tasks.OUTPUTS[other] for other in TWO}, label: 4})
    message = f"has {received} channels for task '{label}', the labels of {label} need {expected}"
    with pytest.raises(ValueError, match=message):
        tiny_tasks.fit(tiny_tasks.experiment(TWO, network=network), tmp_path, files)


def test_fewer_images_than_a_batch(files, tmp_path):
    tiny = tiny_tasks.experiment(TWO, batch_size=11)
    with pytest.raises(ValueError, match="The training split for emotion has fewer images than one batch of 11"):
        tiny_tasks.fit(tiny, tmp_path, files)


def test_a_task_that_is_never_trained(files, tmp_path):
    """Neither alone nor in turns: the network has it, and it stays as it is."""
    tiny = tiny_tasks.experiment(TWO, iterations=0, epochs=0)
    tasks = (replace(tiny.training.tasks[0], pretraining_epochs=0), tiny.training.tasks[1])
    run = Run(replace(tiny, training=replace(tiny.training, tasks=tasks)), tmp_path, files)
    assert run.updates == {"landmarks": 0, "emotion": 2}


# --- two devices


def _epochs(folder):
    import keras_models.ifan

    keras_models.ifan._DROPOUT = 0.0  # devices draw from streams of their own
    files = tiny_faces.files_in(folder / "data")
    mirrored = configured("tensorflow:distribute.MirroredStrategy", devices=["CPU:0", "CPU:1"])
    for name, strategy in {"one": {}, "two": {"strategy": mirrored}}.items():
        tiny = tiny_tasks.experiment(TWO, iterations=0, pretraining=0, epochs=2, steps=1, **strategy)
        tiny = replace(tiny, training=replace(tiny.training, optimizer=configured("tensorflow.keras.optimizers.SGD")))
        yield name, tiny_tasks.fit(tiny, folder / name, files).epochs


def test_two_devices_compute_what_one_computes(files, folder, tmp_path):
    (tmp_path / "data").symlink_to(folder)
    process = tiny_faces.in_a_process(__name__, tmp_path)
    assert process.returncode == 0, process.stderr[-3000:]
    one, two = json.loads(process.stdout.splitlines()[-1]).values()
    assert [epoch.keys() for epoch in two] == [epoch.keys() for epoch in one]
    for name in ("landmarks_loss", "emotion_loss"):
        assert two[0][name] == pytest.approx(one[0][name], rel=1e-4), name
        assert two[1][name] == pytest.approx(one[1][name], rel=1e-2), name


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    print(json.dumps(dict(_epochs(pathlib.Path(sys.argv[1])))))

"""iFAN: the parameters of the authors' graph, its iterations, and what a task's network, weights and gradients are."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from keras_models.ifan import (
    IFAN,
    PAPER_TASKS,
    network_iterations,
    network_tasks,
    task_network,
    task_variables,
)
from keras_models.landmark_heat_maps import landmark_heat_maps
from keras_models.task_batch_norm import TaskBatchNorm
from tests.support.tiny_tasks import SMALL

pytestmark = pytest.mark.slow

SIZE = (32, 16)
TASKS = tuple(PAPER_TASKS)
LEVELS = ("level1", "level3")


def _small(tasks=PAPER_TASKS, iterations=2, **options):
    return IFAN((*SIZE, 3), tasks, iterations, **{**SMALL, **options})


def _images(count=3):
    return np.random.default_rng(0).uniform(0, 255, (count, *SIZE, 3)).astype(np.float32)


@functools.cache
def _traced(network):
    return tf.function(lambda images: network(images))


def _outputs(network):
    """Of a graph, which the weights' changes reach: run one operation after the other a pass takes a second."""
    return _traced(network)(_images())


def _parameters(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def _refs(variables):
    return {variable.ref() for variable in variables}


def _norms(network):
    return [layer for layer in network.submodules if isinstance(layer, TaskBatchNorm)]


def _set_random(network):
    """What starts as zeros or ones made random, so that tasks and images differ."""
    random = np.random.default_rng(1)
    ranges = {
        "gamma": (0.5, 1.5),
        "beta": (-0.5, 0.5),
        "moving_mean": (-0.5, 0.5),
        "moving_variance": (0.5, 1.5),
        "bias": (-0.1, 0.1),
        "mean": (0.1, 0.9),
    }
    for weight in network.weights:
        name = next((name for name in ranges if name in weight.name), None)
        if name:
            weight.assign(random.uniform(*ranges[name], weight.shape))
    for task in network_tasks(network):
        kernel = network.get_layer(task).get_layer(f"{task}_logits").kernel
        kernel.assign(random.normal(0, 0.3 / np.sqrt(np.prod(kernel.shape[:-1])), kernel.shape))


def _feedback(network, iteration):
    outputs = {level: network.get_layer(f"feedback{iteration}_{level}").output for level in LEVELS}
    return keras.Model(network.input, outputs)


@pytest.fixture(scope="module")
def paper():
    """The paper's network."""
    return IFAN((128, 128, 3), PAPER_TASKS, iterations=2)


@pytest.fixture(scope="module")
def built():
    """A small network whose weights are all random."""
    keras.utils.set_random_seed(0)
    network = _small()
    _set_random(network)
    return network


@pytest.fixture
def network(built):
    """The same, whose weights a test may change."""
    weights = built.get_weights()
    yield built
    built.set_weights(weights)


@pytest.fixture(scope="module")
def built_with_gradient():
    """A network with a gradient through the feedback."""
    return _small(stop_gradient=False)


@pytest.fixture
def with_gradient(network, built_with_gradient):
    """The same with the weights of `network`."""
    built_with_gradient.set_weights(network.get_weights())
    return built_with_gradient


def _by_hand(tasks, own_norms=True, re_encoders=True):
    """Trainable parameters at 128 x 128, from the paper's description and the authors' graph: nothing has a bias."""
    norms = len(tasks) if own_norms else 1
    maps = [task for task in tasks if task in ("parsing", "landmarks")]
    vectors = [task for task in tasks if task not in maps]
    fed_back = dict.fromkeys((1, 3, 4, 5), sum(tasks.values()))
    if re_encoders:
        tiled = sum(tasks[task] for task in vectors)
        fed_back.update({level: len(maps) * width + tiled for level, width in ((3, 24), (4, 48), (5, 64))})

    def dense_block(c):  # three layers: γ and β of each task's batch norm, and a 3x3 kernel to 12 channels
        return sum(norms * 2 * n + 9 * n * 12 for n in (c, c + 12, c + 24))

    total = 7 * 7 * (3 + fed_back[1]) * 48
    c, skips = 48, {}
    for level in (1, 2, 3, 4, 5):
        total += dense_block(c)
        skips[level] = c + 36 + c  # with the block's input once more
        lowest = skips[level] + fed_back.get(level, 0)
        c = 16 + 36 * level
        total += norms * 2 * lowest + lowest * c  # batch norm and 1x1
    total += dense_block(c)
    bottleneck = c = c + 36

    if "parsing" in tasks:
        for level in (5, 4, 3, 2, 1):
            c += fed_back[level + 1] if level in (2, 3, 4) else 0
            total += 9 * c * 128 + 9 * 32 * 128  # before and after depth to space, which leaves 128 / 4
            c = 128 + skips[level]
            total += dense_block(c)
            c += 36
        total += (c + fed_back[1]) * 9 + 9
    if "landmarks" in tasks:
        total += 2 * lowest + 8 * 8 * lowest * 2 * 5 + 2 * 5
    total += sum(2 * bottleneck + 4 * 4 * bottleneck * tasks[task] + tasks[task] for task in vectors)

    if re_encoders:
        total += sum(25 * tasks[task] * 24 + 9 * 24 * 48 + 9 * 48 * 64 for task in maps)
        total += sum(3 * tasks[task] ** 2 for task in vectors)
    return total


def test_parameters_of_the_authors_graph(paper):
    assert _parameters(paper) == 4_270_248 == _by_hand(PAPER_TASKS)
    # Their count is of what a task's path goes through: landmarks have no batch norm in the fifth transition (491
    # channels), the bottleneck (196, 208, 220) and on the way up, emotions none on the way up.
    up = sum(c + c + 12 + c + 24 for c in (484, 412, 340, 268, 260))
    unreached = 2 * (491 + 196 + 208 + 220) + 2 * 2 * up
    # Ours: batch norm before the two dense decoders, and a bias of the parsing.
    ours = 2 * 491 + 2 * 232 + 9
    assert _parameters(paper) - ours - unreached == 4_244_675


@pytest.mark.parametrize("tasks", [("parsing", "landmarks"), ("landmarks", "emotion"), ("parsing",), ("emotion",)])
def test_parameters_of_fewer_tasks(tasks):
    tasks = {task: PAPER_TASKS[task] for task in tasks}
    assert _parameters(IFAN((128, 128, 3), tasks, iterations=0)) == _by_hand(tasks)


def test_parameters_of_the_variants(paper):
    shared = IFAN((128, 128, 3), PAPER_TASKS, iterations=0, task_batch_norm=False)
    assert _parameters(shared) == _by_hand(PAPER_TASKS, own_norms=False)
    # Each of the 38 batch norms has γ and β for two tasks less.
    assert len(_norms(paper)) == 38 and len(paper.trainable_weights) - len(shared.trainable_weights) == 38 * 2 * 2
    plain = IFAN((128, 128, 3), PAPER_TASKS, iterations=0, re_encoders=False)
    assert _parameters(plain) == _by_hand(PAPER_TASKS, re_encoders=False)
    attributes = {**PAPER_TASKS, "attributes": 40}
    assert _parameters(IFAN((128, 128, 3), attributes, iterations=0)) == _by_hand(attributes)


def test_features_of_the_paper(paper):
    """By the authors' graph: growth 12 in three layers, a block's input twice in its skip, 1x1 to 52, 88, ..., 196."""
    assert paper.get_layer("down").output_shape == {
        "skip1": (None, 128, 128, 48 + 36 + 48),
        "skip2": (None, 64, 64, 52 + 36 + 52),
        "skip3": (None, 32, 32, 88 + 36 + 88),
        "skip4": (None, 16, 16, 124 + 36 + 124),
        "skip5": (None, 8, 8, 160 + 36 + 160),
        "lowest": (None, 8, 8, 356 + 135),
        "bottleneck": (None, 4, 4, 196 + 36),
    }
    # 128 of the sub-pixel layer, 132 of the skip, 36 of the block, 21 of the feedback.
    assert paper.get_layer("up").output_shape == {"up": (None, 128, 128, 128 + 132 + 36 + 21)}
    assert paper.get_layer("stem").output_shape == (None, 128, 128, 48)


def test_feedback_of_the_paper(paper):
    # Of parsing, landmarks and emotion: what they are; 24 + 24 + 7; 48 + 48 + 7; 64 + 64 + 7.
    assert paper.get_layer("integrator").output_shape == {
        "level1": (None, 128, 128, 9 + 5 + 7),
        "level3": (None, 32, 32, 55),
        "level4": (None, 16, 16, 103),
        "level5": (None, 8, 8, 135),
    }


def test_outputs_of_the_paper(paper):
    shapes = {"parsing": (None, 128, 128, 9), "landmarks": (None, 10), "emotion": (None, 7)}
    expected = {f"{task}_iter{i}": shape for task, shape in shapes.items() for i in (0, 1, 2)} | shapes
    assert {name: tuple(x.shape) for name, x in paper.output.items()} == expected
    assert {x.dtype for x in paper.output.values()} == {tf.float32}
    assert network_tasks(paper) == TASKS and network_iterations(paper) == 2


def test_before_training_points_are_in_the_middle_and_emotions_as_likely():
    outputs = _small(iterations=1)(_images())
    for suffix in ("_iter0", "_iter1"):
        np.testing.assert_array_equal(outputs[f"landmarks{suffix}"], np.full((3, 10), 0.5))
        np.testing.assert_array_equal(outputs[f"emotion{suffix}"], np.zeros((3, 7)))


def test_the_plain_name_is_the_last_iteration(network):
    outputs = _outputs(network)
    for task in TASKS:
        np.testing.assert_array_equal(outputs[task], outputs[f"{task}_iter2"])
        assert np.max(np.abs(outputs[f"{task}_iter1"] - outputs[f"{task}_iter0"])) > 1e-4
        assert np.max(np.abs(outputs[f"{task}_iter2"] - outputs[f"{task}_iter1"])) > 1e-5


def test_iterations_add_no_weights(network):
    other = _small(iterations=3)
    assert [(w.name, w.shape) for w in other.weights] == [(w.name, w.shape) for w in network.weights]
    assert network_iterations(other) == 3
    other.set_weights(network.get_weights())
    expected, outputs = _outputs(network), other(_images())
    assert len(outputs) == 3 * 4 + 3
    for task in TASKS:
        for i in range(3):
            np.testing.assert_allclose(outputs[f"{task}_iter{i}"], expected[f"{task}_iter{i}"], atol=1e-5)
        np.testing.assert_array_equal(outputs[task], outputs[f"{task}_iter3"])


def test_what_is_fed_back_at_the_images_size():
    network = _small({**PAPER_TASKS, "attributes": 3}, iterations=1)
    _set_random(network)
    outputs = network(_images())
    maps = _feedback(network, 1)(_images())["level1"].numpy()
    assert maps.shape == (3, *SIZE, 9 + 5 + 7 + 3)
    np.testing.assert_allclose(maps[..., :9], tf.nn.softmax(outputs["parsing_iter0"]), atol=1e-6)
    points = tf.reshape(outputs["landmarks_iter0"], [3, 5, 2])
    discs = landmark_heat_maps(points, SIZE, 5 / 128 * SIZE[0])
    np.testing.assert_array_equal(maps[..., 9:14], discs)
    assert np.count_nonzero(discs) > 0
    emotion = tf.nn.softmax(outputs["emotion_iter0"])[:, None, None]
    np.testing.assert_allclose(maps[..., 14:21], np.broadcast_to(emotion, (3, *SIZE, 7)), atol=1e-6)
    attributes = tf.sigmoid(outputs["attributes_iter0"])[:, None, None]
    np.testing.assert_allclose(maps[..., 21:], np.broadcast_to(attributes, (3, *SIZE, 3)), atol=1e-6)


def test_the_first_feedback_is_the_mean_that_is_set(network):
    mean = np.random.default_rng(2).uniform(0, 1, 7).astype(np.float32)
    before = _outputs(network)
    network.get_layer("initial").set_mean("emotion", mean)
    maps = _feedback(network, 0)(_images())["level1"]
    np.testing.assert_array_equal(maps[..., 14:21], np.broadcast_to(mean, (3, *SIZE, 7)))
    after = _outputs(network)
    for task in TASKS:
        assert np.max(np.abs(after[f"{task}_iter0"] - before[f"{task}_iter0"])) > 1e-5


def test_without_re_encoders_predictions_are_resized():
    network = _small(iterations=1, re_encoders=False)
    _set_random(network)
    integrator = network.get_layer("integrator")
    assert not integrator.weights
    assert integrator.output_shape == {
        "level1": (None, 32, 16, 21),
        "level3": (None, 8, 4, 21),
    }
    maps = _feedback(network, 1)(_images())
    emotion = tf.nn.softmax(network(_images())["emotion_iter0"])
    for level in LEVELS:
        # Probabilities stay so: where a pixel's window is averaged, the classes still sum to one.
        np.testing.assert_allclose(tf.reduce_sum(maps[level][..., :9], -1), np.ones(maps[level].shape[:3]), atol=1e-5)
        np.testing.assert_allclose(maps[level][:, 0, 0, 14:], emotion, atol=1e-6)
    # Each disc is as heavy at every level.
    np.testing.assert_allclose(
        np.sum(maps["level3"][..., 9:14], (1, 2)) * 16, np.sum(maps["level1"][..., 9:14], (1, 2)), rtol=0.15, atol=1
    )


def test_a_shared_batch_norm():
    network = _small(iterations=1, task_batch_norm=False)
    assert not _norms(network)
    own = _small(iterations=1)
    # 4 + 3 on the way down, 3 on the way up; each has γ and β for three, and statistics in two variables.
    assert len(own.weights) - len(network.weights) == 10 * (2 * 3 + 2 - 4)
    _set_random(network)
    outputs = _outputs(network)
    assert set(outputs) == set(own.output)
    for task in TASKS:
        alone = task_network(network, task, 1)(_images())
        np.testing.assert_allclose(alone, outputs[f"{task}_iter1"], atol=1e-5)
        # All but the other tasks' decoders.
        decoders = _refs(v for other in TASKS if other != task for v in network.get_layer(other).trainable_variables)
        assert _refs(task_variables(network, task)) == _refs(network.trainable_variables) - decoders
    # One pass serves all: a batch norm moves every task.
    norm = network.get_layer("down").get_layer("down1_layer1_bn")
    norm.gamma.assign(2 * norm.gamma)
    changed = _outputs(network)
    for task in TASKS:
        assert np.max(np.abs(changed[f"{task}_iter0"] - outputs[f"{task}_iter0"])) > 1e-4


@pytest.mark.parametrize("changed", TASKS)
def test_a_tasks_batch_norm_reaches_the_others_through_feedback_alone(network, changed):
    before = _outputs(network)
    for norm in _norms(network):
        gamma, _ = norm.task_weights(TASKS.index(changed))
        gamma.assign(-2 * gamma)
    after = _outputs(network)
    assert np.max(np.abs(after[f"{changed}_iter0"] - before[f"{changed}_iter0"])) > 1e-3
    for task in set(TASKS) - {changed}:
        np.testing.assert_array_equal(after[f"{task}_iter0"], before[f"{task}_iter0"])
        assert np.max(np.abs(after[f"{task}_iter1"] - before[f"{task}_iter1"])) > 1e-5


@pytest.mark.parametrize("changed", TASKS)
def test_a_tasks_decoder_reaches_the_others_through_feedback_alone(network, changed):
    before = _outputs(network)
    kernel = network.get_layer(changed).get_layer(f"{changed}_logits").kernel
    kernel.assign(-3 * kernel)
    after = _outputs(network)
    assert np.max(np.abs(after[f"{changed}_iter0"] - before[f"{changed}_iter0"])) > 1e-3
    for task in set(TASKS) - {changed}:
        np.testing.assert_array_equal(after[f"{task}_iter0"], before[f"{task}_iter0"])
        assert np.max(np.abs(after[f"{task}_iter1"] - before[f"{task}_iter1"])) > 1e-5


def test_an_image_is_seen_alone(network):
    together, alone = _outputs(network), network(_images()[1:2])
    for name, output in together.items():
        np.testing.assert_allclose(output[1:2], alone[name], atol=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_a_tasks_network_infers_what_the_whole_infers(network, task):
    expected = _outputs(network)
    for iteration in (0, 1, 2):
        output = task_network(network, task, iteration)(_images(), training=False)
        np.testing.assert_allclose(output, expected[f"{task}_iter{iteration}"], atol=1e-4)


def test_a_tasks_network_has_the_weights_of_the_whole(network):
    for task in TASKS:
        assert _refs(task_network(network, task, 1).weights) <= _refs(network.weights)


def _gradients(network, task, iteration, training=True):
    """By reference, of all weights of `network`."""
    model = task_network(network, task, iteration)
    weights = network.trainable_variables
    with tf.GradientTape() as tape:
        output = model(_images(), training=training)
        loss = tf.reduce_sum(output * np.random.default_rng(3).normal(size=output.shape))
    gradients = tape.gradient(loss, weights)
    return {
        weight.ref(): tf.convert_to_tensor(gradient)
        for weight, gradient in zip(weights, gradients, strict=True)
        if gradient is not None
    }


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("iteration", [1, 2])
def test_feedback_stops_the_gradient(network, task, iteration):
    gradients = _gradients(network, task, iteration)
    for other in set(TASKS) - {task}:
        assert not gradients.keys() & _refs(network.get_layer(other).trainable_variables)
    assert gradients.keys() >= _refs(network.get_layer(task).trainable_variables)
    # What feedback is made with learns nonetheless.
    assert any(np.any(gradients[v.ref()]) for v in network.get_layer("integrator").trainable_variables)


def test_feedback_with_a_gradient(with_gradient):
    for task in TASKS:
        gradients = _gradients(with_gradient, task, 1)
        for other in TASKS:
            reached = [gradients.get(v.ref()) for v in with_gradient.get_layer(other).trainable_variables]
            if other == "landmarks" != task:
                assert reached == [None] * 4  # no gradient through a disc
            else:
                assert all(np.any(gradient) for gradient in reached)
        # There is no feedback yet.
        gradients = _gradients(with_gradient, task, 0)
        for other in set(TASKS) - {task}:
            assert not gradients.keys() & _refs(with_gradient.get_layer(other).trainable_variables)


def test_the_gradient_through_feedback_changes_no_output(network, with_gradient):
    expected = _outputs(network)
    for name, output in with_gradient(_images()).items():
        np.testing.assert_allclose(output, expected[name], atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_what_learns_is_among_a_tasks_variables(network, task):
    gradients = _gradients(network, task, 1)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    variables = _refs(task_variables(network, task))
    learns = {ref for ref, gradient in gradients.items() if np.any(gradient)}
    assert learns <= variables
    # All but the way up, which parsing alone goes, and what lies behind the landmarks' features.
    unused = set() if task == "parsing" else _refs(network.get_layer("up").trainable_variables)
    if task == "landmarks":
        behind = ("down3_transition", "bottleneck")
        unused |= _refs(v for v in network.get_layer("down").trainable_variables if v.name.startswith(behind))
    assert variables - gradients.keys() == variables & unused


@pytest.mark.parametrize("task", TASKS)
def test_variables_of_a_task(network, task):
    shared = {
        v.ref()
        for name in ("stem", "stem_feedback", "down", "up")
        for v in network.get_layer(name).trainable_variables
        if "kernel" in v.name
    }
    own = _refs(network.get_layer(task).trainable_variables)
    norms = {v.ref() for norm in _norms(network) for v in norm.task_weights(TASKS.index(task))}
    # 10 batch norms; two of the stem, 4 + 3 on the way down, 3 + 2 · 3 on the way up.
    assert (len(norms), len(shared), len(own)) == (10 * 2, 2 + 7 + 9, 2 if task == "parsing" else 4)
    re_encoders = _refs(network.get_layer("integrator").trainable_variables)
    assert len(re_encoders) == 3
    assert _refs(task_variables(network, task)) == shared | own | norms | re_encoders
    assert _refs(task_variables(network, task, re_encoders=False)) == shared | own | norms


def test_every_weight_is_some_tasks(network):
    assert set().union(*(_refs(task_variables(network, t)) for t in TASKS)) == _refs(network.trainable_variables)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("iteration", [0, 2])
def test_training_normalises_by_the_batch_and_moves_the_tasks_statistics_once(network, task, iteration):
    position, others = TASKS.index(task), [i for i, other in enumerate(TASKS) if other != task]
    before = [(norm, norm.moving_mean.numpy(), norm.moving_variance.numpy()) for norm in _norms(network)]
    task_network(network, task, iteration)(_images(), training=True)
    up = {norm.name for norm in _norms(network.get_layer("up"))}
    for norm, mean, variance in before:
        np.testing.assert_array_equal(norm.moving_mean.numpy()[others], mean[others])
        np.testing.assert_array_equal(norm.moving_variance.numpy()[others], variance[others])
        moves = task == "parsing" or norm.name not in up
        assert np.any(norm.moving_mean.numpy()[position] != mean[position]) == moves


def test_moving_statistics_by_hand(network):
    norm = next(norm for norm in _norms(network) if norm.name == "down1_layer1_bn")
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    # It sees the first convolution, of the image and the feedback side by side.
    stem = keras.Model(network.input, network.get_layer("stem").output)(_images())
    seen = stem + network.get_layer("stem_feedback")(_feedback(network, 0)(_images())["level1"])
    seen = seen.numpy().reshape(-1, 8)
    task_network(network, "landmarks", 0)(_images(), training=True)
    np.testing.assert_allclose(norm.moving_mean[1], 0.9 * mean[1] + 0.1 * seen.mean(0), atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance[1], 0.9 * variance[1] + 0.1 * seen.var(0, ddof=1), atol=1e-4)


def test_training_has_the_other_images_and_dropout(network):
    parsing, emotion = task_network(network, "parsing", 0), task_network(network, "emotion", 0)
    together = parsing(_images(), training=True)
    assert np.max(np.abs(together[:1] - parsing(_images()[:1], training=True))) > 1e-3
    # Parsing has no dropout; emotion has.
    np.testing.assert_allclose(parsing(_images(), training=True), together, atol=1e-4)
    once, again = (emotion(_images(), training=True) for _ in range(2))
    assert np.max(np.abs(once - again)) > 1e-3


def test_the_whole_is_at_inference_always(network):
    before = network.get_weights()
    expected, outputs = network(_images(), training=False), network(_images(), training=True)
    for name in expected:
        np.testing.assert_array_equal(outputs[name], expected[name])
    for weight, value in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_the_order_of_tasks_does_not_matter(network):
    other = _small(dict(reversed(PAPER_TASKS.items())))
    assert [(w.name, w.shape) for w in other.weights] == [(w.name, w.shape) for w in network.weights]
    assert network_tasks(other) == TASKS
    other.set_weights(network.get_weights())
    expected = _outputs(network)
    for name, output in other(_images()).items():
        np.testing.assert_allclose(output, expected[name], atol=1e-5)


@pytest.mark.parametrize(
    "tasks",
    [("parsing",), ("attributes",), ("attributes", "emotion", "landmarks")],
)
def test_any_tasks(tasks):
    numbers = {"parsing": 4, "landmarks": 3, "emotion": 7, "attributes": 40}
    network = _small({task: numbers[task] for task in tasks}, iterations=1)
    shapes = {"parsing": (2, *SIZE, 4), "landmarks": (2, 6), "emotion": (2, 7), "attributes": (2, 40)}
    outputs = network(_images(2))
    expected = {f"{task}{suffix}": shapes[task] for task in tasks for suffix in ("", "_iter0", "_iter1")}
    assert {name: tuple(x.shape) for name, x in outputs.items()} == expected
    assert set(network_tasks(network)) == set(tasks)
    assert ("up" in {layer.name for layer in network.layers}) == ("parsing" in tasks)
    assert len(_norms(network)) == (0 if len(tasks) == 1 else 10 if "parsing" in tasks else 7)
    _set_random(network)
    outputs = network(_images())
    for task in tasks:
        np.testing.assert_allclose(task_network(network, task, 1)(_images()), outputs[f"{task}_iter1"], atol=1e-4)
        variables = _refs(task_variables(network, task))
        assert variables >= _refs(network.get_layer(task).trainable_variables)
        assert len(tasks) > 1 or variables == _refs(network.trainable_variables)


def test_attributes_as_a_fourth_task(network):
    four = _small({**PAPER_TASKS, "attributes": 40}, iterations=1)
    assert network_tasks(four) == (*TASKS, "attributes")
    assert {norm.num_tasks for norm in _norms(four)} == {4}
    # The emotion's and the attributes' re-encoders differ in what they take.
    encoders = [four.get_layer("integrator").get_layer(f"{task}_re_encoder") for task in ("emotion", "attributes")]
    assert [encoder.weights[0].shape for encoder in encoders] == [(7, 7), (40, 40)]


def test_growth_by_level():
    network = _small(iterations=0, growth=(1, 2, 3, 4), block_layers=2)
    down, up = network.get_layer("down"), network.get_layer("up")
    for level in (1, 2, 3):
        for path, name in ((down, "down"), (up, "up")):
            assert [path.get_layer(f"{name}{level}_layer{i}_conv").filters for i in (1, 2)] == [level, level]
    assert down.get_layer("bottleneck_layer2_conv").filters == 4


def test_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        network = _small(iterations=1)
        assert _norms(network)[0].compute_dtype == "bfloat16"
        # bfloat16 would make 0.5 of it, and move the discs by half a pixel of 256.
        network.get_layer("landmarks").get_layer("landmarks_logits").bias.assign(np.tile([0.002, -0.002], 5))
        outputs = network(_images())
        maps = _feedback(network, 1)(_images())
        weights = network.get_weights()
        gradients = _gradients(network, "parsing", 1).values()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert {x.dtype for x in outputs.values()} == {tf.float32}
    assert {x.dtype for x in maps.values()} == {tf.bfloat16}
    assert {weight.dtype for weight in network.weights} == {tf.float32}
    assert all(np.isfinite(x).all() for x in outputs.values())
    assert gradients and all(np.isfinite(gradient).all() for gradient in gradients)
    np.testing.assert_array_equal(outputs["landmarks_iter0"], np.float32(np.tile([0.502, 0.498], (3, 5))))
    single = _small(iterations=1)
    single.set_weights(weights)
    for name, output in single(_images()).items():
        np.testing.assert_allclose(outputs[name], output, atol=0.1 * float(np.std(output)) + 1e-6)


def test_saved_and_loaded(tmp_path):
    short = _small({"parsing": 9, "emotion": 7}, iterations=1)
    _set_random(short)
    expected = short(_images())
    short.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    outputs = loaded(_images())
    assert set(outputs) == set(expected)
    for name in expected:
        np.testing.assert_allclose(outputs[name], expected[name], atol=1e-5)
    # A task can be trained on.
    alone = task_network(loaded, "parsing", 1)(_images())
    np.testing.assert_allclose(alone, expected["parsing_iter1"], atol=1e-4)
    assert len(task_variables(loaded, "parsing")) == len(task_variables(short, "parsing"))


def test_an_experiment_states_tasks_and_iterations():
    for arguments in ({"tasks": PAPER_TASKS}, {"iterations": 2}):
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            IFAN((32, 32, 3), **arguments, **SMALL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (36, 64, 3)}, r"\(36, 64, 3\)"),
        ({"levels": 2}, "received 2"),
        ({"input_shape": (None, None, 3)}, r"\(None, None, 3\)"),
        ({"tasks": {}}, r"received \{\}"),
        ({"tasks": {"parsing": 9, "age": 1}}, "parsing, landmarks, emotion, attributes; received .*'age': 1"),
        ({"iterations": -1}, "received -1"),
        ({"growth": (12, 12)}, r"received \(12, 12\)"),
        ({"re_encoder_widths": (24, 48)}, r"are 1 numbers, received \(24, 48\)"),
    ],
)
def test_errors_quote_what_was_received(arguments, message):
    with pytest.raises(ValueError, match=message):
        IFAN(**{"input_shape": (64, 64, 3), "tasks": PAPER_TASKS, "iterations": 2, **SMALL, **arguments})

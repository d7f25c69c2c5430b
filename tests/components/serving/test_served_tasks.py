"""The exported model of several tasks: what each says, of crops too and at each iteration; and ServingCheck on it."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import tensorflow as tf
from components.serving.signatures import export, label_maps, restore_trained, served_network
from components.serving.tasks import ServedTasks
from PIL import Image
from tensorflow import keras
from trial import PICTURES, picture, png, run_check, serialized

from components.images.decoding import decode_and_resize
from components.serving import replay
from keras_models import IFAN

SIZE = (32, 32)
POINTS = 5
ITERATIONS = 2
NAMES = {
    "parsing": ("background", "skin", "mouth", "hair"),
    "landmarks": tuple("12345"),
    "emotion": ("calm", "glad", "sad"),
    "attributes": ("Male", "Young"),
}
TASKS = {task: len(names) for task, names in NAMES.items()}
ANSWERS = ("parsing", "landmarks", "emotion", "attributes", "decisions")
CROPS = (None, (0.25, 0.1, 0.5, 0.8), (0.0, 0.3, 1.0, 0.7))


def network(seed=0, tasks=TASKS, iterations=ITERATIONS) -> keras.Model:
    """As if trained: what is 0 at first has values, so that answers depend on pictures and on feedback."""
    keras.utils.set_random_seed(seed)
    small = {"width": 8, "growth": 4, "block_layers": 1, "up_width": 8, "re_encoder_widths": [4, 4, 4]}
    model = IFAN((*SIZE, 3), tasks=tasks, iterations=iterations, **small)
    random = np.random.default_rng(seed)
    for task in tasks:
        kernel = model.get_layer(task).get_layer(f"{task}_logits").kernel
        kernel.assign(random.normal(0, 1, kernel.shape))
        mean = model.get_layer("initial").means[task]
        mean.assign(random.uniform(0, 1, mean.shape))
    if "parsing" in tasks:  # logits around 0, so that several classes win somewhere
        logits = model(pixels(PICTURES[0]), training=False)["parsing"]
        model.get_layer("parsing").get_layer("parsing_logits").bias.assign(-tf.reduce_mean(logits, axis=(0, 1, 2)))
    return model


def pixels(image: bytes) -> tf.Tensor:
    """[1, H, W, 3] that the network sees of a picture."""
    return tf.cast(decode_and_resize(image, SIZE), tf.float32)[None]


def array(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))


class Colours(ServedTasks):
    """A model that is quickly exported and easily followed.

    A pixel's label is its strongest colour's, at iteration 0 its weakest's. With r, g and b the mean colours from 0 to
    1, the landmarks are (r, g) and (b, r), the emotions' logits r, g and b, and there is an attribute with score r - g.
    """

    def __init__(self, factor=1.0):
        image = keras.Input((*SIZE, 3))
        labels = keras.layers.DepthwiseConv2D(1, depthwise_initializer=keras.initializers.Constant(factor))(image)
        colours = keras.layers.GlobalAveragePooling2D()(image) / 255
        points = tf.concat([colours, colours[:, :1]], axis=-1)
        last = {
            "parsing": labels,
            "landmarks": points,
            "emotion": colours,
            "attributes": colours[:, :1] - colours[:, 1:2],
        }
        outputs = {**last, **{f"{task}_iter0": -output for task, output in last.items()}}
        outputs |= {f"{task}_iter1": output for task, output in last.items()}
        names = {"parsing": ("red", "green", "blue"), "emotion": ("r", "g", "b"), "attributes": ("redder",)}
        super().__init__(keras.Model(image, outputs), SIZE, names)


def answers_of(signature, *records: bytes) -> dict[str, np.ndarray]:
    return {name: values.numpy() for name, values in signature(tf.constant(records)).items()}


@pytest.fixture(scope="module")
def colours():
    return Colours()


@pytest.fixture(scope="module")
def trained():
    return network()


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("tasks_model") / "Format-Serving"
    served = ServedTasks(trained, SIZE, NAMES)
    served.thresholds.assign([-0.5, 0.5])
    export(served, str(path), PICTURES[:4])
    return path


@pytest.fixture(scope="module")
def signatures(folder):
    return tf.saved_model.load(str(folder)).signatures


@pytest.fixture(scope="module")
def together(signatures):
    return answers_of(signatures["serving_default"], *PICTURES)


@pytest.fixture(scope="module")
def iterated(signatures):
    return answers_of(signatures["iterations_from_examples"], *map(serialized, PICTURES))


SPECS = {
    "parsing": (tf.uint8, [None, None, None]),
    "landmarks": (tf.float32, [None, POINTS, 2]),
    "emotion": (tf.float32, [None, 3]),
    "attributes": (tf.float32, [None, 2]),
    "decisions": (tf.int64, [None, 2]),
}


def check_signature(signature, argument, specs):
    arguments, inputs = signature.structured_input_signature
    assert arguments == ()
    assert inputs == {argument: tf.TensorSpec([None], tf.string, argument)}
    outputs = signature.structured_outputs.items()
    assert {name: (spec.dtype, spec.shape.as_list()) for name, spec in outputs} == specs


@pytest.mark.parametrize(("name", "argument"), [("serving_default", "image_bytes"), ("from_examples", "examples")])
def test_the_signatures_are_what_clients_are_told(signatures, name, argument):
    check_signature(signatures[name], argument, SPECS)


def test_so_is_the_evaluators(signatures):
    numbered = {f"{name}_iter{i}": spec for name, spec in SPECS.items() for i in range(ITERATIONS + 1)}
    check_signature(signatures["iterations_from_examples"], "examples", SPECS | numbered)


def test_there_are_no_other_signatures(signatures):
    answering = {"serving_default", "from_examples", "iterations_from_examples"}
    assert set(signatures) == answering | {"class_names", "emotion_names", "attribute_names"}


@pytest.mark.parametrize(
    ("task", "name"), [("parsing", "class_names"), ("emotion", "emotion_names"), ("attributes", "attribute_names")]
)
def test_names_are_in_the_order_of_the_outputs(signatures, task, name):
    assert tuple(each.decode() for each in signatures[name]()[name].numpy()) == NAMES[task]


def test_answers_at_each_iteration_are_the_networks_on_the_decoded_picture(trained, iterated):
    for i, image in enumerate(PICTURES):
        size = array(image).shape[:2]
        outputs = trained(pixels(image), training=False)
        for iteration in range(ITERATIONS + 1):
            suffix = f"_iter{iteration}"
            said = {task: outputs[task + suffix][0].numpy().astype(np.float64) for task in TASKS}
            seen = {name: iterated[name + suffix][i] for name in ANSWERS}
            np.testing.assert_allclose(seen["landmarks"].ravel(), said["landmarks"], atol=1e-5)
            np.testing.assert_allclose(seen["attributes"], said["attributes"], atol=1e-4)
            np.testing.assert_array_equal(seen["decisions"], seen["attributes"] > [-0.5, 0.5])
            exponentials = np.exp(said["emotion"] - said["emotion"].max())
            np.testing.assert_allclose(seen["emotion"], exponentials / exponentials.sum(), atol=1e-5)
            labels = seen["parsing"][: size[0], : size[1]]
            assert np.mean(labels == label_maps(outputs["parsing" + suffix], size)[0]) > 0.999


def test_the_test_would_see_an_iteration_for_another(iterated):
    for task in TASKS:
        for iteration in range(ITERATIONS):
            assert not np.array_equal(iterated[f"{task}_iter{iteration}"], iterated[f"{task}_iter{iteration + 1}"])
    assert len(np.unique(iterated["parsing"])) > 3, "a map of one class shows little"
    assert set(iterated["decisions"].ravel()) == {0, 1}
    assert np.ptp(iterated["landmarks"], axis=0).min() > 0.01


def test_the_answers_are_those_of_the_last_iteration_by_all_signatures(signatures, together, iterated):
    examples = answers_of(signatures["from_examples"], *map(serialized, PICTURES))
    assert together.keys() == examples.keys() == set(ANSWERS)
    for name in ANSWERS:
        np.testing.assert_array_equal(iterated[name], iterated[f"{name}_iter{ITERATIONS}"])
        for others in (examples, iterated):
            np.testing.assert_allclose(together[name], others[name], atol=1e-5)


def test_one_picture_or_eight_have_the_same_answers(signatures, together):
    assert together["parsing"].shape == (8, 64, 56)
    for i, image in enumerate(PICTURES):
        alone = signatures["serving_default"](tf.constant([image]))
        height, width = array(image).shape[:2]
        assert alone["parsing"].shape == (1, height, width)
        np.testing.assert_array_equal(together["parsing"][i, :height, :width], alone["parsing"][0])
        assert {*together["parsing"][i, height:].ravel(), *together["parsing"][i, :, width:].ravel()} <= {255}
        for name in ("landmarks", "emotion", "attributes", "decisions"):
            np.testing.assert_allclose(together[name][i], alone[name][0], atol=1e-6)


def test_what_is_no_picture_is_refused(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError):
        signatures["serving_default"](tf.constant([PICTURES[0], b"no picture"]))


def face_on_green() -> bytes:
    """8 x 10 pixels, blue ones in rows 2 to 5 and columns 2 to 6."""
    image = np.full((8, 10, 3), (0, 255, 0))
    image[2:6, 2:7] = 51, 102, 204
    return png(image)


def test_a_crop_worked_out_by_hand(colours):
    """The face alone: red is background, and around the crop all is green."""
    record = serialized(face_on_green(), crop=(0.25, 0.2, 0.5, 0.5))
    answers = answers_of(colours.iterations_from_examples, record)
    expected = np.zeros((1, 8, 10))
    expected[0, 2:6, 2:7] = 2  # blue
    np.testing.assert_array_equal(answers["parsing"], expected)
    np.testing.assert_array_equal(answers["parsing_iter0"], np.zeros((1, 8, 10)))  # red is weakest
    # In the crop (0.2, 0.4) and (0.8, 0.2); its corner is at x = 0.2, y = 0.25, and its sides are halves.
    np.testing.assert_allclose(answers["landmarks"], [[(0.3, 0.45), (0.6, 0.35)]], atol=1e-6)
    np.testing.assert_allclose(answers["landmarks_iter0"], [[(0.1, 0.05), (-0.2, 0.15)]], atol=1e-6)
    np.testing.assert_allclose(answers["emotion"], [np.exp([0.2, 0.4, 0.8]) / np.exp([0.2, 0.4, 0.8]).sum()], atol=1e-6)
    np.testing.assert_allclose(answers["attributes"], [[-0.2]], atol=1e-6)
    assert (answers["decisions"], answers["decisions_iter0"]) == (0, 1)


def test_without_a_crop_the_whole_picture_is_shown(colours):
    expected = np.full((1, 8, 10), 1)
    expected[0, 2:6, 2:7] = 2
    np.testing.assert_array_equal(
        colours.from_examples(tf.constant([serialized(face_on_green())]))["parsing"], expected
    )


@pytest.mark.parametrize("size", [(40, 50), (33, 77), (61, 32), (1, 1)])
@pytest.mark.parametrize("crop", [(0.25, 0.1, 0.5, 0.8), (0.0, 0.3, 1.0, 0.7), (0.333, 0.125, 0.499, 0.501)])
def test_a_crop_is_answered_like_the_picture_of_the_crop_alone(signatures, size, crop):
    image = array(picture(4, size[::-1], "PNG"))
    (top, left), (height, width) = crop[:2], crop[2:]
    first, end = (np.round(np.multiply(share, size)).astype(int) for share in (crop[:2], np.add(crop[:2], crop[2:])))
    first = np.minimum(first, np.subtract(size, 1))
    end = np.clip(end, first + 1, size)
    part = image[first[0] : end[0], first[1] : end[1]]
    records = serialized(png(image), crop=crop), serialized(png(part))
    cropped, alone = (answers_of(signatures["iterations_from_examples"], record) for record in records)
    assert cropped.keys() == alone.keys()
    for name, values in cropped.items():
        expected = alone[name]
        if name.startswith("parsing"):
            around = np.pad(expected[0], np.stack([first, np.subtract(size, end)], axis=1))
            np.testing.assert_array_equal(values, [around])
        elif name.startswith("landmarks"):
            np.testing.assert_allclose(values, expected * (width, height) + (left, top), atol=1e-5)
        else:
            np.testing.assert_allclose(values, expected, atol=1e-5)


def test_a_batch_may_have_crops_and_whole_pictures(signatures):
    examples = [serialized(image, crop=CROPS[i % 3]) for i, image in enumerate(PICTURES[:3])]
    together = signatures["from_examples"](tf.constant(examples))
    for i, example in enumerate(examples):
        alone = signatures["from_examples"](tf.constant([example]))
        _, height, width = alone["parsing"].shape
        np.testing.assert_array_equal(together["parsing"][i, :height, :width], alone["parsing"][0])
        np.testing.assert_allclose(together["landmarks"][i], alone["landmarks"][0], atol=1e-6)


def test_half_a_crop_is_refused(colours):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image/crop"):
        colours.from_examples(tf.constant([serialized(PICTURES[0], crop=(0.1, 0.2))]))


def test_the_network_sees_one_picture_at_a_time():
    image = keras.Input((*SIZE, 3))
    answers = tf.repeat(tf.cast(tf.shape(image)[:1], tf.float32)[None], tf.shape(image)[0], axis=0)
    outputs = {name: tf.ensure_shape(answers, [None, 1]) for name in ("attributes", "attributes_iter0")}
    model = ServedTasks(keras.Model(image, outputs), SIZE, {"attributes": ["pictures"]})
    np.testing.assert_array_equal(model.from_images(tf.constant(PICTURES))["attributes"], np.ones((8, 1)))


@pytest.mark.parametrize(
    ("tasks", "answers", "names"),
    [
        (("landmarks", "emotion"), {"landmarks", "emotion"}, {"emotion_names"}),
        (("attributes",), {"attributes", "decisions"}, {"attribute_names"}),
        (("parsing",), {"parsing"}, {"class_names"}),
    ],
)
def test_a_network_of_some_tasks_answers_for_those(tasks, answers, names):
    """Also without feedback there is an iteration, the first."""
    trained = network(tasks={task: TASKS[task] for task in tasks}, iterations=0)
    served = ServedTasks(trained, SIZE, {task: NAMES[task] for task in tasks})
    assert set(served.signatures()) == {"serving_default", "from_examples", "iterations_from_examples"} | names
    iterated = answers_of(served.iterations_from_examples, serialized(PICTURES[0]))
    assert iterated.keys() == answers | {f"{answer}_iter0" for answer in answers}
    for name in answers:
        np.testing.assert_array_equal(iterated[name], iterated[f"{name}_iter0"])


def test_a_network_without_parsing_is_blessed(tmp_path):
    trained = network(tasks={"landmarks": POINTS, "emotion": 3}, iterations=1)
    served = ServedTasks(trained, SIZE, {"emotion": NAMES["emotion"]})  # landmarks need no names
    export(served, str(tmp_path / "model" / "Format-Serving"), PICTURES[:2])
    blessed, message, _ = run_check(tmp_path / "model", tmp_path, crops=CROPS)
    assert blessed and message.endswith("by their crops, probabilities of 3 emotions, 2 iterations"), message


def test_thresholds_are_zeros_and_only_of_attributes(trained):
    np.testing.assert_array_equal(ServedTasks(trained, SIZE, NAMES).thresholds, [0, 0])
    assert not hasattr(ServedTasks(network(tasks={"emotion": 3}), SIZE, NAMES), "thresholds")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({**NAMES, "emotion": ("calm",)}, r"3 outputs for emotion, but the names are 1: \('calm',\)"),
        ({"parsing": NAMES["parsing"]}, r"3 outputs for emotion, but the names are 0: \(\)"),
    ],
)
def test_other_names_than_outputs_are_refused(trained, names, message):
    with pytest.raises(ValueError, match=message):
        ServedTasks(trained, SIZE, names)


def test_weights_come_back_with_all_that_leads_to_answers(folder, trained):
    other, thresholds = network(seed=1), tf.Variable(tf.zeros(2))
    restore_trained(other, str(folder), thresholds)
    np.testing.assert_array_equal(thresholds, [-0.5, 0.5])
    for weight, exported in zip(other.weights, trained.weights, strict=True):
        np.testing.assert_array_equal(weight, exported, err_msg=weight.name)
    variables = dict(tf.train.list_variables(str(folder / "variables" / "variables")))
    weights = [name for name in variables if name.startswith("network/") and "/generator/" not in name]  # dropout's
    exported = sum(int(np.prod(variables[name])) for name in weights)
    assert exported == trained.count_params()


def test_another_number_of_tasks_is_refused(folder):
    with pytest.raises(ValueError, match="another architecture"):
        restore_trained(network(tasks={"emotion": 3}), str(folder))


def test_what_only_training_needs_is_not_exported(trained):
    extra = keras.layers.Dense(1, name="extra")(tf.reduce_mean(trained.input, axis=(1, 2)))
    teaching = keras.Model(trained.input, {**trained.output, "teacher": extra, "emotion_teacher": extra})
    assert served_network(teaching).output.keys() == trained.output.keys()
    assert ServedTasks(teaching, SIZE, NAMES).network.count_params() == trained.count_params()


def test_a_model_that_serves_is_blessed(folder, tmp_path):
    blessed, message, _ = run_check(folder.parent, tmp_path, crops=CROPS)
    assert (blessed, message) == (
        1,
        "2 warm-up requests replayed, 8 records alike by both signatures, alone and together, 5 of them also by their "
        "crops, label maps of 4 classes, probabilities of 3 emotions, 3 iterations",
    )


class Iterates(Colours):
    """Answers at iterations that `change` has made of the right ones."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def iterations_from_examples(self, examples):
        return self.change(super().iterations_from_examples(examples))


class Logits(Colours):
    """Forgets the softmax."""

    def _task_answers(self, task, output, crops):
        return super()._task_answers(task, output, crops) | ({task: output} if task == "emotion" else {})


class Mixes(Colours):
    """Answers that depend on the other pictures of the batch."""

    def answers(self, image_bytes, crops):
        answers = super().answers(image_bytes, crops)
        return answers | {"emotion": tf.repeat(answers["emotion"][:1], tf.size(image_bytes), axis=0)}


class Crops(Colours):
    """Knows labels for whole pictures only."""

    def answers(self, image_bytes, crops):
        answers = super().answers(image_bytes, crops)
        whole = tf.reduce_all(crops == (0.0, 0.0, 1.0, 1.0), axis=1)[:, None, None]
        return answers | {"parsing": tf.where(whole, answers["parsing"], 255)}


def shifted(answers, name):
    return answers | {name: answers[name] + 0.01}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (Mixes(), "a picture alone differs from the same in a batch: emotion by "),
        (Logits(), "probabilities of emotions sum to 1 but for "),
        (Crops(), "a label is 255, of 3 classes"),
        (Colours(factor=np.nan), "depthwise_kernel:0 is not finite"),
        (
            Iterates(lambda answers: shifted(answers, "landmarks")),
            "iterations_from_examples differs from from_examples",
        ),
    ],
    ids=["batches differ", "logits", "crops", "NaN", "iterations differ"],
)
def test_a_model_that_does_not_serve_is_not_blessed(tmp_path, broken, reason):
    model = tmp_path / "model"
    export(broken, str(model / "Format-Serving"), PICTURES)
    blessed, message, file = run_check(model, tmp_path, crops=CROPS)
    assert (blessed, file) == (0, "INFRA_NOT_BLESSED")
    assert reason in message


@pytest.mark.parametrize(
    ("probabilities", "reason"),
    [
        ([[0.2, 0.8], [1.0, 0.0]], None),
        ([[0.2, 0.80009], [0.5, 0.5]], None),
        ([[0.2, 0.8002], [0.5, 0.5]], "sum to 1 but for 0.0002, allowed 1e-04"),
        ([[0.2, 0.8], [1.2, -0.2]], "are from -0.2 to 1.2"),
        ([[0.2, 0.8], [np.nan, 0.5]], "emotion is not finite"),
        ([[0.2, 0.7, 0.1]], "not as many as the emotions"),
    ],
)
def test_probabilities_are_checked(probabilities, reason):
    with contextlib.nullcontext() if reason is None else pytest.raises(AssertionError, match=reason):
        replay._check_answers(tf, {"emotion": tf.constant(probabilities)}, [], {"emotion": 2})


def test_landmarks_are_finite():
    with pytest.raises(AssertionError, match="landmarks is not finite"):
        replay._check_answers(tf, {"landmarks": tf.constant([[[0.5, np.inf]]])}, [], {})


RIGHT, OTHER = tf.constant([[0.25, 0.75]]), tf.constant([[0.5, 0.5]])
PLAIN = {"emotion": RIGHT, "landmarks": OTHER}


def by_iteration(**changes):
    first = {"emotion_iter0": OTHER, "landmarks_iter0": RIGHT}
    last = {"emotion_iter1": RIGHT, "landmarks_iter1": OTHER}
    return {name: values for name, values in {**PLAIN, **first, **last, **changes}.items() if values is not None}


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (by_iteration(), None),
        (by_iteration(emotion=OTHER), "iterations_from_examples differs from from_examples: emotion by 0.25"),
        (by_iteration(emotion_iter1=OTHER), "from_examples at the last iteration: emotion by 0.25"),
        (by_iteration(emotion_iter0=2 * OTHER), "sum to 1 but for 1,"),
        (by_iteration(landmarks_iter0=OTHER / 0), "landmarks is not finite"),
        (by_iteration(landmarks_iter1=None), "expected .* each of them at every iteration"),
        (by_iteration(landmarks_iter1=None, landmarks_iter2=OTHER), "expected .* each of them at every iteration"),
        (by_iteration(emotion=None), "expected .* each of them at every iteration"),
        (PLAIN, "expected .* each of them at every iteration"),
    ],
)
def test_iterations_are_checked(answers, reason):
    with contextlib.nullcontext() if reason is None else pytest.raises(AssertionError, match=reason):
        assert replay._check_iterations(tf, answers, PLAIN, [], {"emotion": 2}) == 2

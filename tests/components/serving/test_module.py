"""The exported model before it is written: a mixture of all kinds in one module, on whole images and on crops."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from tensorflow import keras

from components.images.status import Status
from components.serving.module import served_part
from components.tasks.annotation import points
from keras_models import MultiTaskNetwork
from tests.support import serving
from tests.support.serving import COLOURS, CROPS, IMAGES, SIZE, answers_of, bound, pixels, png, record, seen

TASKS = (
    bound("attributes", "multi_label", ("Male", "Smiling", "Young")),
    bound("landmarks", "landmarks", points(5)),
    bound("emotion", "classification", ("calm", "glad", "sad")),
    bound("parsing", "segmentation", ("background", "skin", "mouth", "hair")),
    bound("age", "regression", scale=50.0),
)
OUTPUTS = {"attributes": 3, "landmarks": 10, "emotion": 3, "parsing": 4, "age": 1}


@pytest.fixture(scope="module")
def network():
    """As if trained: answers around 0, which depend on the image."""
    keras.utils.set_random_seed(0)
    model = MultiTaskNetwork((*SIZE, 3), OUTPUTS, maps=["parsing"], backbone="resnet10", backbone_width=8, map_width=8)
    for layer in (*OUTPUTS.keys() - {"parsing"}, "parsing_logits"):
        model.get_layer(layer).kernel.assign(3 * model.get_layer(layer).kernel)
    outputs = model(tf.concat([seen(image) for image in IMAGES], axis=0), training=False)
    for name, output in outputs.items():
        layer = model.get_layer("parsing_logits" if name == "parsing" else name)
        layer.bias.assign(-tf.reduce_mean(output, axis=range(len(output.shape) - 1)))
    return model


@pytest.fixture(scope="module")
def module(network):
    made = serving.served(network, *TASKS)
    made.servings["attributes"].thresholds.assign([-0.05, 0.0, 0.05])
    return made


@pytest.fixture(scope="module")
def together(module):
    return answers_of(module.from_images, *IMAGES)


def test_answers_are_the_networks_on_the_decoded_images(network, together):
    assert together.keys() == {*OUTPUTS, "attributes_decisions"}
    assert len(np.unique(together["parsing"])) > 3, "a map of one class shows little"
    assert set(together["attributes_decisions"].ravel()) == {0, 1}
    for i, image in enumerate(IMAGES):
        said = {name: output[0].numpy() for name, output in network(seen(image), training=False).items()}
        np.testing.assert_allclose(together["attributes"][i], said["attributes"], atol=1e-5)
        np.testing.assert_array_equal(
            together["attributes_decisions"][i], together["attributes"][i] > np.float32([-0.05, 0, 0.05])
        )
        exponentials = np.exp(said["emotion"])
        np.testing.assert_allclose(together["emotion"][i], exponentials / exponentials.sum(), atol=1e-5)
        np.testing.assert_allclose(together["landmarks"][i], said["landmarks"].reshape(5, 2), 1e-5, 1e-5)
        np.testing.assert_allclose(together["age"][i], 50 * said["age"][0], atol=1e-3)
        height, width = pixels(image).shape[:2]
        first = tf.image.resize(said["parsing"], (height, width)).numpy().argmax(-1)
        assert np.mean(together["parsing"][i, :height, :width] == first) > 0.999


def test_flip_average_worked_by_hand(network):
    """The outputs for an image and those for its mirror image, in which sides have changed places."""
    sides = bound("parsing", "segmentation", ("background", "left_eye", "right_eye", "hair"))
    module = serving.served(network, *TASKS[:3], sides, TASKS[4], flip_average=True)
    answers = answers_of(module.from_images, *IMAGES)
    for i, image in enumerate(IMAGES):
        asked = {"as it is": seen(image), "flipped": seen(image)[:, :, ::-1]}
        said, flipped = ({k: v.numpy() for k, v in network(shown, training=False).items()} for shown in asked.values())
        np.testing.assert_allclose(
            answers["attributes"][i], (said["attributes"] + flipped["attributes"])[0] / 2, atol=1e-5
        )
        np.testing.assert_allclose(answers["age"][i], 25 * (said["age"] + flipped["age"])[0, 0], atol=1e-3)
        exponentials = np.exp((said["emotion"] + flipped["emotion"])[0] / 2)
        np.testing.assert_allclose(answers["emotion"][i], exponentials / exponentials.sum(), atol=1e-5)
        # Eyes, nose, mouth corners: 0 is flipped where 1 is.
        turned = flipped["landmarks"].reshape(5, 2)[[1, 0, 2, 4, 3]] * [-1, 1] + [1, 0]
        np.testing.assert_allclose(answers["landmarks"][i], (said["landmarks"].reshape(5, 2) + turned) / 2, 1e-4, 1e-5)
        height, width = pixels(image).shape[:2]
        logits = said["parsing"] + flipped["parsing"][:, :, ::-1][..., [0, 2, 1, 3]]
        labels = tf.image.resize(logits, (height, width)).numpy()[0].argmax(-1)
        assert np.mean(answers["parsing"][i, :height, :width] == labels) > 0.999


def test_flip_average_of_iterations():
    image = keras.Input((*SIZE, 3))
    left = keras.layers.Flatten()(image[:, :, :1]) @ tf.ones([SIZE[0] * 3, 1])
    network = keras.Model(image, {"age": left, "age_iter0": 2 * left})
    module = serving.served(network, bound("age", "regression", scale=1.0), flip_average=True)
    (shown,) = (seen(file)[0].numpy() for file in IMAGES[:1])
    answers = module.predict(tf.constant(IMAGES[:1]), tf.constant([[0.0, 0, 1, 1]]), ["_iter0"])
    np.testing.assert_allclose(answers["age_iter0"], [shown[:, 0].sum() + shown[:, -1].sum()], rtol=1e-5)


def test_an_image_alone_is_answered_as_in_a_batch(module, together):
    assert together["parsing"].shape == (8, 64, 56)
    for i, image in enumerate(IMAGES):
        alone = answers_of(module.from_images, image)
        height, width = pixels(image).shape[:2]
        labels = together["parsing"][i]
        np.testing.assert_array_equal(alone.pop("parsing"), labels[None, :height, :width])
        assert {*labels[height:].ravel(), *labels[:, width:].ravel()} <= {255}
        for name, values in alone.items():
            np.testing.assert_allclose(values[0], together[name][i], atol=1e-5)


def test_records_without_crops_are_answered_as_their_images(module, together):
    answers = answers_of(module.from_examples, *map(record, IMAGES))
    assert answers.keys() == together.keys()
    for name, values in answers.items():
        np.testing.assert_allclose(values, together[name], atol=1e-5)


@pytest.mark.parametrize("size", [(40, 50), (33, 77), (1, 1)])
@pytest.mark.parametrize("crop", [(0.25, 0.1, 0.5, 0.8), (0.0, 0.3, 1.0, 0.7), (0.333, 0.125, 0.499, 0.501)])
def test_a_crop_is_answered_as_an_image_of_its_own(module, size, crop):
    whole = pixels(serving.image(4, size[::-1], "PNG"))
    first, end = (np.round(np.multiply(share, size)).astype(int) for share in (crop[:2], np.add(crop[:2], crop[2:])))
    first = np.minimum(first, np.subtract(size, 1))
    end = np.clip(end, first + 1, size)
    cropped = answers_of(module.from_examples, record(png(whole), crop))
    alone = answers_of(module.from_images, png(whole[first[0] : end[0], first[1] : end[1]]))
    around = np.stack([first, np.subtract(size, end)], axis=1)
    np.testing.assert_array_equal(cropped.pop("parsing"), np.pad(alone.pop("parsing"), [(0, 0), *around]))
    alone["landmarks"] = alone["landmarks"] * (crop[3], crop[2]) + (crop[1], crop[0])
    for name, values in cropped.items():
        np.testing.assert_allclose(values, alone[name], atol=1e-5)


def test_a_batch_may_have_crops_and_whole_images(module):
    records = [record(image, crop) for image, crop in zip(IMAGES, CROPS, strict=False)]
    together = answers_of(module.from_examples, *records)
    for i, each in enumerate(records):
        alone = answers_of(module.from_examples, each)
        _, height, width = alone["parsing"].shape
        np.testing.assert_array_equal(together["parsing"][i, :height, :width], alone["parsing"][0])
        np.testing.assert_allclose(together["landmarks"][i], alone["landmarks"][0], atol=1e-5)


def test_a_crop_worked_out_by_hand():
    """8 x 10 green pixels, blue ones in rows 2 to 5 and columns 2 to 6; the face alone is shown."""
    image = np.full((8, 10, 3), (0, 255, 0))
    image[2:6, 2:7] = 51, 102, 204
    model = serving.served(serving.colours(), *COLOURS)  # a tf.function holds its module by a weak reference
    answers = answers_of(model.from_examples, record(png(image), crop=(0.25, 0.2, 0.5, 0.5)))
    labels = np.zeros((1, 8, 10))  # background, which is red here
    labels[0, 2:6, 2:7] = 2
    exponentials = np.exp([0.2, 0.4, 0.8])
    expected = {
        "parsing": labels,
        # In the crop (0.2, 0.4) and (0.8, 0.2); its corner is at x = 0.2, y = 0.25, and its sides are halves.
        "landmarks": [[(0.3, 0.45), (0.6, 0.35)]],
        "emotion": [exponentials / exponentials.sum()],
        "clothing": [[0.2, 0.4, 0.8]],
        "attributes": [[-0.2, 0.4]],
        "attributes_decisions": [[0, 1]],
        "age": [20],
    }
    assert answers.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(answers[name], values, atol=1e-5, err_msg=name)
    whole = answers_of(model.from_examples, record(png(image)))["parsing"]
    np.testing.assert_array_equal(whole, np.where(labels == 2, 2, 1))


def test_half_a_crop_is_refused(module):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image/crop"):
        module.from_examples(tf.constant([record(IMAGES[0], crop=(0.1, 0.2))]))


def test_what_is_no_image_changes_nothing_for_the_others(module, together):
    answers = {k: v.numpy() for k, v in module.from_images(tf.constant([b"", *IMAGES[:2], b"no image"])).items()}
    assert answers["image_status"].tolist() == [Status.NEITHER_JPEG_NOR_PNG, 0, 0, Status.NEITHER_JPEG_NOR_PNG]
    assert (answers["parsing"][[0, 3]] == 255).all()
    for name in ("attributes", "attributes_decisions", "landmarks", "emotion", "age"):
        assert not answers[name][[0, 3]].any()
        np.testing.assert_allclose(answers[name][1:3], together[name][:2], atol=1e-5)
    _, height, width = answers["parsing"].shape
    np.testing.assert_array_equal(answers["parsing"][1:3], together["parsing"][:2, :height, :width])


@pytest.mark.parametrize(
    "crop", [(0.5, 0.5, 0.6, 0.5), (-0.1, 0, 1, 1), (np.nan, 0, 1, 1), (0, 0, np.inf, 1), (0, 0, 0, 1)]
)
def test_a_crop_that_is_none_has_no_answers(module, crop):
    answers = module.from_examples(tf.constant([record(IMAGES[0], crop), record(IMAGES[1])]))
    assert answers["image_status"].numpy().tolist() == [Status.CROP_BEYOND_THE_IMAGE, 0]
    for name, values in answers.items():
        assert np.isfinite(values).all() and name
    assert not np.any(answers["landmarks"][0])


def test_no_images_have_no_answers(module):
    for signature in (module.from_images, module.from_examples):
        assert {len(values) for values in signature(tf.constant([], tf.string)).values()} == {0}


def test_maps_that_would_be_too_large_together_are_left_out(module, monkeypatch):
    """A long and a high image: each has a map of 2,000 pixels, both together of 2 x 1,000 x 1,000."""
    monkeypatch.setattr("components.serving.module.MAX_MAP_PIXELS", 10_000)
    long, high = (serving.image(0, size) for size in ((1000, 2), (2, 1000)))
    fresh = serving.served(serving.colours(), *COLOURS)
    answers = fresh.from_images(tf.constant([long, high, long]))
    assert answers["image_status"].numpy().tolist() == [0, Status.REQUEST_TOO_LARGE, 0]
    assert answers["parsing"].shape == (3, 2, 1000)


def test_a_photograph_is_answered_as_the_camera_was_held():
    turned = PIL.Image.Exif()
    turned[0x0112] = 6  # Orientation: to be shown turned by 90 degrees
    image = np.full((32, 64, 3), (255, 0, 0))
    image[:, 32:] = 0, 0, 255
    file = io.BytesIO()
    PIL.Image.fromarray(image.astype(np.uint8)).save(file, "JPEG", exif=turned)
    model = serving.served(serving.colours(), *COLOURS)
    labels = answers_of(model.from_images, file.getvalue())["parsing"]
    assert labels.shape == (1, 64, 32)
    assert (set(labels[0, :28].ravel()), set(labels[0, 36:].ravel())) == ({0}, {2})


@pytest.mark.parametrize(
    ("tasks", "one_by_one", "shown"),
    [(COLOURS, False, 1), (COLOURS[1:], True, 1), (COLOURS[1:], False, 8)],
    ids=["a task asks", "the system asks", "nobody asks"],
)
def test_the_network_is_shown_one_image_at_a_time_where_somebody_asks(tasks, one_by_one, shown):
    """So that memory is that of one image's logits, however many are sent."""

    def counted(age):
        return age * 0 + tf.cast(tf.shape(age)[0], tf.float32)

    model = serving.served(serving.colours(age=counted), *tasks, one_by_one=one_by_one)
    np.testing.assert_allclose(answers_of(model.from_images, *IMAGES)["age"], [100 * shown] * 8)


def test_signatures_and_contract_name_the_same(module):
    assert module.signatures().keys() == module.contract().keys() == {"serving_default", "from_examples"}
    contract = module.contract()
    assert contract["serving_default"] == contract["from_examples"]
    assert contract["serving_default"].keys() == {*OUTPUTS, "attributes_decisions", "image_status"}
    assert contract["serving_default"]["emotion"]["names"] == list(TASKS[2].names)


def test_a_network_of_some_tasks_answers_for_those(network):
    model = serving.served(network, TASKS[2], TASKS[4])
    assert answers_of(model.from_images, IMAGES[0]).keys() == {"emotion", "age"}
    assert model.network.output.keys() == {"emotion", "age"}
    assert not any("decoder" in weight.name for weight in model.network.weights), "the label maps' alone"


def test_of_a_network_that_is_all_served_nothing_is_left_out(network):
    part = served_part(network, OUTPUTS)
    assert part.output.keys() == network.output.keys()
    assert [id(weight) for weight in part.weights] == [id(weight) for weight in network.weights]


def test_an_output_whose_name_begins_like_a_tasks_is_not_served():
    image = keras.Input((4, 4, 3))
    mean = tf.reduce_mean(image, axis=(1, 2))
    names = ("emotion", "emotion_iter0", "emotion_iter12", "emotion_iter", "emotion_teacher", "an_emotion")
    part = served_part(keras.Model(image, dict.fromkeys(names, mean)), ["emotion"])
    assert part.output.keys() == {"emotion", "emotion_iter0", "emotion_iter12"}

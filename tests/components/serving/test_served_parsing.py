"""The exported model of face parsing: label maps of the pictures' own sizes, and what ServingCheck finds of them."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import tensorflow as tf
from components.serving.signatures import ServedParsing, export, label_maps, restore_trained, served_network
from PIL import Image
from tensorflow import keras
from tensorflow_serving.apis import prediction_log_pb2
from trial import PICTURES, picture, png, run_check, serialized

from components.images.decoding import decode_and_resize
from components.serving import replay
from keras_models import DMLCSR
from keras_models.dml_csr import without_edges

CLASSES = ("background", "skin", "nose", "mouth", "hair")
SIZE = (33, 33)
RED, GREEN, BLUE = 0, 1, 2


def network(seed=0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = DMLCSR((*SIZE, 3), len(CLASSES), backbone_blocks=(1, 1, 1, 1), backbone_width=8, head_width=16)
    # Logits around 0, so that several classes win somewhere.
    logits = model(tf.cast(decode_and_resize(PICTURES[0], SIZE), tf.float32)[None], training=False)["parsing"]
    model.get_layer("parsing_logits").bias.assign(-tf.reduce_mean(logits, axis=(0, 1, 2)))
    return model


class Colours(ServedParsing):
    """A model that is quickly exported and easily followed: a pixel's label is its strongest colour's."""

    def __init__(self, factor=1.0):
        image = keras.Input((*SIZE, 3))
        logits = keras.layers.DepthwiseConv2D(1, depthwise_initializer=keras.initializers.Constant(factor))(image)
        super().__init__(keras.Model(image, {"parsing": logits}), SIZE, ("red", "green", "blue"))


def flag(height: int, width: int) -> bytes:
    """The left half red, the right half blue."""
    pixels = np.zeros((height, width, 3))
    pixels[:, : width // 2, RED] = pixels[:, width // 2 :, BLUE] = 255
    return png(pixels)


def picture_size(image: bytes) -> tuple[int, int]:
    width, height = Image.open(io.BytesIO(image)).size
    return height, width


def maps_of(model, images) -> np.ndarray:
    return model.from_images(tf.constant(images))["parsing"].numpy()


@pytest.fixture(scope="module")
def trained():
    return network()


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("parsing_model") / "Format-Serving"
    export(ServedParsing(trained, SIZE, CLASSES), str(path), PICTURES[:4])
    return path


@pytest.fixture(scope="module")
def signatures(folder):
    return tf.saved_model.load(str(folder)).signatures


@pytest.fixture(scope="module")
def together(signatures):
    return signatures["serving_default"](tf.constant(PICTURES))["parsing"].numpy()


@pytest.mark.parametrize(("name", "argument"), [("serving_default", "image_bytes"), ("from_examples", "examples")])
def test_the_signatures_are_what_clients_are_told(signatures, name, argument):
    arguments, inputs = signatures[name].structured_input_signature
    assert arguments == ()
    assert inputs == {argument: tf.TensorSpec([None], tf.string, argument)}
    (output,) = signatures[name].structured_outputs.items()
    assert (output[0], output[1].dtype, output[1].shape.as_list()) == ("parsing", tf.uint8, [None, None, None])


def test_there_are_no_other_signatures(signatures):
    assert set(signatures) == {"serving_default", "from_examples", "class_names"}


def test_class_names_are_in_the_order_of_the_labels(signatures):
    names = signatures["class_names"]()["class_names"].numpy()
    assert tuple(name.decode() for name in names) == CLASSES


@pytest.mark.parametrize("image", PICTURES)
def test_a_map_has_the_size_of_its_picture(signatures, image):
    maps = signatures["serving_default"](tf.constant([image]))["parsing"]
    assert maps.shape == (1, *picture_size(image))


def test_in_a_batch_maps_lie_at_the_top_left_and_the_rest_has_no_label(signatures, together):
    sizes = [picture_size(image) for image in PICTURES]
    assert together.shape == (8, 64, 56) == (8, max(h for h, _ in sizes), max(w for _, w in sizes))
    for labels, image, (height, width) in zip(together, PICTURES, sizes, strict=True):
        alone = signatures["serving_default"](tf.constant([image]))["parsing"][0]
        np.testing.assert_array_equal(labels[:height, :width], alone)
        assert set(labels[height:].ravel()) | set(labels[:, width:].ravel()) == {255}


def test_both_signatures_agree(signatures, together):
    examples = tf.constant([serialized(image) for image in PICTURES])
    np.testing.assert_array_equal(signatures["from_examples"](examples)["parsing"], together)


def bilinear(values, size, axis):
    """Half-pixel centres, edges repeated: [..., old, ...] -> [..., size, ...]."""
    old = values.shape[axis]
    place = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    below = np.floor(place).astype(int)
    share = np.expand_dims(place - below, tuple(range(1, values.ndim - axis)))
    return np.take(values, below, axis) * (1 - share) + np.take(values, np.minimum(below + 1, old - 1), axis) * share


def test_labels_are_those_of_the_resized_logits(trained, together):
    seen = set()
    for image, labels in zip(PICTURES, together, strict=True):
        height, width = picture_size(image)
        pixels = tf.cast(decode_and_resize(image, SIZE), tf.float32)[None]
        logits = trained(pixels, training=False)["parsing"][0].numpy().astype(np.float64)
        logits = bilinear(bilinear(logits, height, 0), width, 1)
        second, first = np.sort(logits, axis=-1)[..., -2:].transpose(2, 0, 1)
        sure = first - second > 1e-3
        assert sure.mean() > 0.99
        np.testing.assert_array_equal(labels[:height, :width][sure], logits.argmax(-1)[sure])
        seen |= set(logits.argmax(-1).ravel())
    assert len(seen) > 2, "a map of one class shows little"


def test_a_picture_of_the_networks_size_has_the_labels_of_the_networks_logits(trained):
    image = picture(3, SIZE, "PNG")
    pixels = np.asarray(Image.open(io.BytesIO(image)), np.float32)[None]
    logits = trained(pixels, training=False)["parsing"]
    np.testing.assert_array_equal(label_maps(logits, SIZE)[0], np.argmax(logits[0], -1))
    np.testing.assert_array_equal(maps_of(ServedParsing(trained, SIZE, CLASSES), [image])[0], np.argmax(logits[0], -1))


@pytest.mark.parametrize("size", [(33, 34), (20, 40), (100, 66), (7, 90)])
def test_labels_lie_where_the_picture_has_them(size):
    labels = maps_of(Colours(), [flag(*size)])[0]
    half = size[1] // 2
    assert set(labels[:, :half].ravel()) == {RED}
    assert set(labels[:, half:].ravel()) == {BLUE}


def test_one_pixel_is_enough():
    np.testing.assert_array_equal(maps_of(Colours(), [png([[[0, 9, 0]]]), flag(2, 2)]), [
        [[GREEN, 255], [255, 255]],
        [[RED, BLUE], [RED, BLUE]],
    ])  # fmt: skip


def test_of_a_record_with_a_crop_the_network_sees_no_more_and_around_it_is_background():
    """The picture's left half is blue; the crop is rows 2 to 5 and columns 3 to 6 of 8 x 10 pixels."""
    image = png([[[0, 0, 255]] * 5 + [[255, 0, 0]] * 5] * 8)
    examples = [serialized(image, crop=(0.25, 0.3, 0.5, 0.4)), serialized(image)]
    model = Colours()  # a tf.function holds its model by a weak reference
    cropped, whole = model.from_examples(tf.constant(examples))["parsing"].numpy()
    np.testing.assert_array_equal(whole, [[BLUE] * 5 + [RED] * 5] * 8)
    expected = np.zeros((8, 10))
    expected[2:6, 3:5] = BLUE
    np.testing.assert_array_equal(cropped, expected)


def test_the_orientation_that_a_camera_noted_is_not_applied():
    turned = Image.Exif()
    turned[0x0112] = 6  # Orientation: to be shown turned by 90 degrees
    file = io.BytesIO()
    Image.open(io.BytesIO(flag(32, 64))).save(file, "JPEG", exif=turned)
    labels = maps_of(Colours(), [file.getvalue()])
    assert labels.shape == (1, 32, 64)
    assert set(labels[0, :, :28].ravel()) == {RED}
    assert set(labels[0, :, -28:].ravel()) == {BLUE}


def test_the_network_sees_one_picture_at_a_time():
    """So that memory is that of one picture's logits, however many are sent."""
    image = keras.Input((*SIZE, 3))
    pictures = tf.cast(tf.shape(image)[0], tf.float32)
    model = ServedParsing(keras.Model(image, {"parsing": image * (2.0 - pictures)}), SIZE, ("red", "green", "blue"))
    assert set(maps_of(model, [flag(8, 8)] * 3).ravel()) == {RED, BLUE}


def test_a_network_with_another_number_of_logits_is_refused():
    with pytest.raises(ValueError, match=r"3 logits a pixel, but the classes are 5: \('background', "):
        ServedParsing(Colours().network, SIZE, CLASSES)


def test_what_is_no_picture_is_refused(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError):
        signatures["serving_default"](tf.constant([PICTURES[0], b"no picture"]))


def test_no_edge_is_exported(trained, folder):
    assert any("edge" in weight.name for weight in trained.weights)
    program = (folder / "saved_model.pb").read_bytes()
    assert b"parsing_logits" in program
    assert b"edge" not in program  # neither a node of any function nor a variable
    variables = dict(tf.train.list_variables(str(folder / "variables" / "variables")))
    exported = sum(int(np.prod(shape)) for name, shape in variables.items() if name.startswith("network/"))
    assert exported == without_edges(trained).count_params() < trained.count_params()


def test_warm_up_requests_are_one_picture_and_all(folder):
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    logs = [prediction_log_pb2.PredictionLog.FromString(e.numpy()) for e in tf.data.TFRecordDataset(str(file))]
    sent = [tf.make_ndarray(log.predict_log.request.inputs["image_bytes"]).tolist() for log in logs]
    assert sent == [PICTURES[:1], PICTURES[:4]]


def test_weights_come_back_and_edges_stay(folder, trained):
    other = network(seed=1)
    before = {weight.name: weight.numpy() for weight in other.weights}
    restore_trained(other, str(folder))
    for weight, exported in zip(other.weights, trained.weights, strict=True):
        kept = "edge" in weight.name
        np.testing.assert_array_equal(weight, before[weight.name] if kept else exported, err_msg=weight.name)
    edges = [weight.name for weight in trained.weights if "edge" in weight.name]
    assert not {weight.name for weight in served_network(trained).weights} & set(edges)
    assert any(not np.array_equal(before[weight.name], weight) for weight in trained.weights if weight.name in edges)


def test_another_architecture_is_refused(folder):
    with pytest.raises(ValueError, match="another architecture"):
        restore_trained(Colours().network, str(folder))


class Answers(Colours):
    """Label maps that `change` has made of the right ones."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def answers(self, image_bytes, crops):
        return {"parsing": self.change(super().answers(image_bytes, crops)["parsing"])}


class Differs(Colours):
    """Signatures that don't agree."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples):
        return {"parsing": tf.reverse(super().from_examples(examples)["parsing"], [0])}


def mixed(maps):
    """Labels that depend on the other pictures of the batch: the first one's, where there are several."""
    first = tf.broadcast_to(maps[:1], tf.shape(maps))
    return tf.where((maps < 255) & (first < 255), first, maps)


def test_a_model_that_serves_is_blessed(folder, tmp_path):
    blessed, message, _ = run_check(folder.parent, tmp_path)
    assert (blessed, message) == (
        1,
        "2 warm-up requests replayed, 8 records alike by both signatures, alone and together, label maps of 5 classes",
    )


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (Differs(), "from_examples differs from serving_default: parsing at "),
        (Answers(mixed), "a picture alone differs from the same in a batch: parsing at "),
        (Answers(lambda maps: maps[:, 1:]), "the label maps are uint8 (1, 63, 20), expected uint8 (1, 64, 20)"),
        (Colours(factor=np.nan), "depthwise_kernel:0 is not finite"),
    ],
    ids=["signatures differ", "batches differ", "size", "NaN"],
)
def test_a_model_that_does_not_serve_is_not_blessed(tmp_path, broken, reason):
    model = tmp_path / "model"
    export(broken, str(model / "Format-Serving"), PICTURES)
    blessed, message, file = run_check(model, tmp_path)
    assert (blessed, file) == (0, "INFRA_NOT_BLESSED")
    assert reason in message


def two_maps() -> np.ndarray:
    """Right ones of three classes for flags of 4 x 2 and 3 x 3 pixels."""
    maps = np.full((2, 4, 3), 255, np.uint8)
    maps[0, :, :2] = RED, BLUE
    maps[1, :3] = RED, BLUE, BLUE
    return maps


def changed(place, label):
    maps = two_maps()
    maps[place] = label
    return maps


@pytest.mark.parametrize(
    ("maps", "reason"),
    [
        (two_maps(), None),
        (changed((0, 0, 0), 3), "a label is 3, of 3 classes"),
        (changed((1, 2, 2), 255), "a label is 255, of 3 classes"),
        (changed((0, 3, 2), 0), "around a picture's label map are labels other than 255"),
        (changed((1, 3, 0), 0), "around a picture's label map are labels other than 255"),
        (two_maps()[:1], r"uint8 \(1, 4, 3\), expected uint8 \(2, 4, 3\)"),
        (two_maps()[:, :, :2], r"uint8 \(2, 4, 2\), expected uint8 \(2, 4, 3\)"),
        (two_maps().astype(np.int64), r"int64 \(2, 4, 3\), expected uint8 \(2, 4, 3\)"),
    ],
)
def test_label_maps_are_checked(maps, reason):
    images, answers = [flag(4, 2), flag(3, 3)], {"parsing": tf.constant(maps)}
    with contextlib.nullcontext() if reason is None else pytest.raises(AssertionError, match=reason):
        replay._check_answers(tf, answers, images, {"parsing": 3})


def test_a_model_names_what_it_answers_with():
    with pytest.raises(AssertionError, match=r"the model names its \[\] and answers with \['parsing'\]"):
        replay._check_answers(tf, {"parsing": tf.constant(two_maps())}, [], {})

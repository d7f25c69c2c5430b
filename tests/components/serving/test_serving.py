"""What is exported: signatures, outputs, warm-up requests; and ServingCheck, which blesses only a model that serves."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from components.serving.signatures import ServedAttributes, export, restore_trained, served_network
from PIL import Image
from tensorflow import keras
from tensorflow_serving.apis import prediction_log_pb2
from trial import PICTURES, picture, png, run_check, serialized

from components.serving import check
from keras_models import DMMCNN, MGGNet
from keras_models.mgg_net import attention_maps

ATTRIBUTES = ("Male", "Smiling", "Young")
SIZE = (32, 32)
POINTS = 5
THRESHOLDS = np.array([-0.05, 0.0, 0.05], np.float32)


def network(num_landmarks=POINTS) -> keras.Model:
    keras.utils.set_random_seed(0)
    return DMMCNN(
        (*SIZE, 3),
        num_landmarks=num_landmarks,
        backbone="resnet18",
        backbone_width=8,
        attributes=ATTRIBUTES,
        subjective=("Smiling", "Young"),
        objective_units=(8,),
        subjective_units=(8,),
        landmark_units=(8,),
    )


GROUPS = {"mouth": ("Smiling",), "around head": ("Young",), "whole face": ("Male",)}


def group_network(seed=0, **options) -> keras.Model:
    """MGG-Net; its blocks 3 and 4 have 8 and 16 channels, and maps of 4 x 4 and 2 x 2."""
    keras.utils.set_random_seed(seed)
    return MGGNet((*SIZE, 3), backbone_width=4, groups=GROUPS, attributes=ATTRIBUTES, **options)


def served(model: keras.Model) -> ServedAttributes:
    return ServedAttributes(model, tf.Variable(THRESHOLDS), SIZE, ATTRIBUTES)


class Stub(ServedAttributes):
    """A model that is quickly exported: the scores are the mean colours, times `factor`."""

    def __init__(self, factor=1.0):
        image = keras.Input((*SIZE, 3))
        scores = keras.layers.GlobalAveragePooling2D()(image) * factor
        super().__init__(keras.Model(image, {"attributes": scores}), tf.Variable(THRESHOLDS), SIZE, ATTRIBUTES)


@pytest.fixture(scope="module")
def trained():
    return network()


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    """Of the exported model, where TFX's Trainer puts it in a Model artifact."""
    path = tmp_path_factory.mktemp("model") / "Format-Serving"
    export(served(trained), str(path), PICTURES[:4])
    return path


@pytest.fixture(scope="module")
def signatures(folder):
    return tf.saved_model.load(str(folder)).signatures


@pytest.fixture(scope="module")
def group_trained():
    return group_network()


@pytest.fixture(scope="module")
def group_folder(group_trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("group_model") / "Format-Serving"
    export(served(group_trained), str(path), PICTURES[:4])
    return path


@pytest.fixture(scope="module")
def group_signatures(group_folder):
    return tf.saved_model.load(str(group_folder)).signatures


@pytest.mark.parametrize(("name", "argument"), [("serving_default", "image_bytes"), ("from_examples", "examples")])
def test_the_signatures_are_what_clients_are_told(signatures, name, argument):
    arguments, inputs = signatures[name].structured_input_signature
    assert arguments == ()
    assert inputs == {argument: tf.TensorSpec([None], tf.string, argument)}
    outputs = {key: (spec.dtype, spec.shape.as_list()) for key, spec in signatures[name].structured_outputs.items()}
    assert outputs == {
        "attributes": (tf.float32, [None, 3]),
        "decisions": (tf.int64, [None, 3]),
        "landmarks": (tf.float32, [None, POINTS, 2]),
    }


def test_there_are_no_other_signatures(signatures):
    assert set(signatures) == {"serving_default", "from_examples", "attribute_names"}


def test_attribute_names_are_in_the_order_of_the_outputs(signatures):
    names = signatures["attribute_names"]()["attribute_names"].numpy()
    assert tuple(name.decode() for name in names) == ATTRIBUTES


def test_without_a_landmark_branch_there_is_no_such_output(tmp_path):
    export(Stub(), str(tmp_path), PICTURES[:2])
    outputs = tf.saved_model.load(str(tmp_path)).signatures["serving_default"].structured_outputs
    assert outputs.keys() == {"attributes", "decisions"}


def test_decisions_are_one_above_the_trained_thresholds(signatures):
    outputs = signatures["serving_default"](tf.constant(PICTURES))
    scores, decisions = outputs["attributes"].numpy(), outputs["decisions"].numpy()
    np.testing.assert_array_equal(decisions, scores > THRESHOLDS)
    assert set(decisions.ravel()) == {0, 1}, "the pictures should fall on both sides"


def test_the_served_model_is_the_network_on_the_decoded_picture(signatures, trained):
    blank = io.BytesIO()
    Image.new("RGB", SIZE, (200, 100, 50)).save(blank, "PNG")
    expected = trained(tf.fill([1, *SIZE, 1], 1.0) * tf.constant([200.0, 100.0, 50.0]), training=False)
    outputs = signatures["serving_default"](tf.constant([blank.getvalue()]))
    np.testing.assert_allclose(outputs["attributes"], expected["attributes"], atol=1e-5)
    np.testing.assert_allclose(outputs["landmarks"][0].numpy().ravel(), expected["landmarks"][0], atol=1e-5)


def test_one_picture_or_eight_and_both_signatures_agree(signatures):
    together = signatures["serving_default"](tf.constant(PICTURES))
    examples = signatures["from_examples"](tf.constant([serialized(image) for image in PICTURES]))
    for i, image in enumerate(PICTURES):
        alone = signatures["serving_default"](tf.constant([image]))
        for name in ("attributes", "landmarks"):
            np.testing.assert_allclose(together[name][i], alone[name][0], atol=1e-5)
            np.testing.assert_allclose(together[name][i], examples[name][i], atol=1e-5)


def test_of_a_record_with_a_crop_the_network_sees_no_more(signatures):
    """The crop is rows 10 to 29 and columns 5 to 44 of 40 x 50 pixels."""
    pixels = np.asarray(Image.open(io.BytesIO(picture(3, (50, 40), "PNG"))))
    record = serialized(png(pixels), crop=(0.25, 0.1, 0.5, 0.8))
    outputs = signatures["from_examples"](tf.constant([record]))
    expected = signatures["serving_default"](tf.constant([png(pixels[10:30, 5:45])]))
    np.testing.assert_allclose(outputs["attributes"], expected["attributes"], atol=1e-5)
    np.testing.assert_allclose(outputs["landmarks"], expected["landmarks"] * (0.8, 0.5) + (0.1, 0.25), atol=1e-5)


def test_what_is_no_picture_is_refused(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError):
        signatures["serving_default"](tf.constant([PICTURES[0], b"no picture"]))


def test_warm_up_requests_are_what_tensorflow_serving_replays(folder):
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    logs = [prediction_log_pb2.PredictionLog.FromString(e.numpy()) for e in tf.data.TFRecordDataset(str(file))]
    requests = [log.predict_log.request for log in logs]
    assert [tf.make_ndarray(request.inputs["image_bytes"]).tolist() for request in requests] == [
        PICTURES[:1],
        PICTURES[:4],
    ]
    assert all(request.model_spec.signature_name == "serving_default" for request in requests)


def test_weights_and_thresholds_come_back(folder, trained):
    other, thresholds = network(), tf.Variable(tf.zeros(3))
    for weight in other.weights:
        weight.assign(tf.ones_like(weight))
    restore_trained(other, str(folder), thresholds)
    np.testing.assert_array_equal(thresholds, THRESHOLDS)
    for restored, weight in zip(other.weights, trained.weights, strict=True):
        np.testing.assert_array_equal(restored, weight)


def test_another_architecture_is_refused(folder):
    with pytest.raises(ValueError, match="another architecture"):
        restore_trained(network(num_landmarks=POINTS + 1), str(folder), tf.Variable(tf.zeros(3)))


def test_a_served_network_has_the_outputs_and_weights_of_a_network_that_is_all_served(trained):
    pruned = served_network(trained)
    assert pruned.output.keys() == trained.output.keys()
    assert [id(weight) for weight in pruned.weights] == [id(weight) for weight in trained.weights]


def test_heads_that_only_training_needs_are_not_exported(group_trained, group_folder):
    heads = 3 * 8 + 3 + 3 * 16 + 3  # gal_block3, gal_block4: a weight for each attribute and channel, and the biases
    expected = group_trained.count_params() - heads
    assert served_network(group_trained).count_params() == expected
    variables = dict(tf.train.list_variables(str(group_folder / "variables" / "variables")))
    exported = sum(int(np.prod(shape)) for name, shape in variables.items() if name.startswith("network/"))
    assert exported == expected
    program = (group_folder / "saved_model.pb").read_bytes()
    assert b"gcl_block3" in program
    assert b"gal_block" not in program


@pytest.mark.parametrize("options", [{"share_heads": True}, {"graph": False}])
def test_group_heads_that_answer_are_served(options):
    weights = {weight.name for weight in served_network(group_network(**options)).weights}
    assert {"gal_block3/kernel:0", "gal_block4/kernel:0"} <= weights


def test_the_attention_signature_is_what_clients_are_told(group_signatures):
    assert set(group_signatures) == {"serving_default", "from_examples", "attribute_names", "attention"}
    _, inputs = group_signatures["attention"].structured_input_signature
    assert inputs == {"image_bytes": tf.TensorSpec([None], tf.string, "image_bytes")}
    outputs = group_signatures["attention"].structured_outputs
    assert {name: (spec.dtype, spec.shape.as_list()) for name, spec in outputs.items()} == {
        "groups": (tf.string, [3]),
        "masks_block3": (tf.float32, [None, 4, 4, 3]),
        "masks_block4": (tf.float32, [None, 2, 2, 3]),
        "affinities_block3": (tf.float32, [None, 3, 3]),
        "affinities_block4": (tf.float32, [None, 3, 3]),
    }


@pytest.mark.parametrize("count", [1, 5])
def test_attention_is_that_of_the_network_on_the_decoded_pictures(group_signatures, group_trained, count):
    pictures = [picture(seed, SIZE, "PNG") for seed in range(count)]  # of the network's size: nothing is resized
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(image)), np.float32) for image in pictures])
    answers = group_signatures["attention"](tf.constant(pictures))
    assert [name.decode() for name in answers.pop("groups").numpy()] == list(GROUPS)
    expected = attention_maps(group_trained)(pixels, training=False)
    assert answers.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(answers[name], values, atol=1e-5)
        assert np.ptp(values) > 0


def test_without_a_graph_there_are_no_affinities():
    signature = served(group_network(graph=False)).signatures()["attention"]
    outputs = signature.get_concrete_function().structured_outputs
    assert outputs.keys() == {"groups", "masks_block3", "masks_block4"}


def test_without_attention_there_is_no_such_signature():
    assert "attention" not in served(group_network(attention=None)).signatures()


def test_a_warm_start_leaves_what_was_not_exported(group_folder, group_trained):
    other, thresholds = group_network(seed=1), tf.Variable(tf.zeros(3))
    before = {weight.name: weight.numpy() for weight in other.weights}
    restore_trained(other, str(group_folder), thresholds)
    np.testing.assert_array_equal(thresholds, THRESHOLDS)
    for weight, exported in zip(other.weights, group_trained.weights, strict=True):
        kept = weight.name.startswith("gal_")
        np.testing.assert_array_equal(weight, before[weight.name] if kept else exported, err_msg=weight.name)
    assert not np.array_equal(other.get_layer("gal_block3").kernel, group_trained.get_layer("gal_block3").kernel)


class Attends(Stub):
    """Has attention, with maps of `value`."""

    def __init__(self, value=0.5, num_groups=2):
        super().__init__()
        self.value, self.num_groups = value, num_groups

    def signatures(self):
        return {**super().signatures(), "attention": self.attention}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def attention(self, image_bytes):
        masks = tf.fill([tf.size(image_bytes), 4, 4, 2], self.value)
        return {"groups": tf.constant(["a", "b", "c"][: self.num_groups]), "masks_block3": masks}


class Differs(Stub):
    """Signatures that don't agree."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples):
        answers = super().from_examples(examples)
        return {**answers, "attributes": answers["attributes"] + 0.01}


class Mixes(Stub):
    """Answers that depend on the other pictures of the batch."""

    def answers(self, image_bytes, crops):
        answers = super().answers(image_bytes, crops)
        scores = answers["attributes"]
        return {**answers, "attributes": scores - tf.reduce_mean(scores, axis=0)}


def test_a_model_that_serves_is_blessed(folder, tmp_path):
    assert run_check(folder.parent, tmp_path) == (
        1,
        "2 warm-up requests replayed, 8 records alike by both signatures, alone and together",
        "INFRA_BLESSED",
    )


def test_a_few_records_of_each_split_are_tried(folder, tmp_path):
    """The last of eight in turn from two splits, the second has no more."""
    splits = [("a_test", PICTURES), ("b_test", [*PICTURES[:3], b"no picture"])]
    blessed, message, _ = run_check(folder.parent, tmp_path / "torn", splits)
    assert not blessed and "InvalidArgumentError" in message
    splits[1] = ("b_test", PICTURES[:3])
    blessed, message, _ = run_check(folder.parent, tmp_path / "whole", splits)
    assert blessed and "8 records alike" in message


def test_attention_is_tried_too(group_folder, tmp_path):
    blessed, message, _ = run_check(group_folder.parent, tmp_path)
    assert blessed, message
    assert message.endswith("alone and together, attention maps of 3 groups")


@pytest.mark.parametrize(
    ("broken", "warmup", "reason"),
    [
        (Differs(), PICTURES, "AssertionError: from_examples differs from serving_default: attributes by 0.01"),
        (Mixes(), PICTURES, "a picture alone differs from the same in a batch: attributes by"),
        (Stub(factor=np.nan), PICTURES, "attributes is not finite"),
        (Attends(np.nan), PICTURES, "masks_block3 is not finite"),
        (Attends(num_groups=3), PICTURES, "masks_block3 has shape (8, 4, 4, 2), of 3 groups"),
        (Stub(), [b"no picture"], "InvalidArgumentError: Graph execution error: Detected at node"),
        (Stub(), None, "tf_serving_warmup_requests"),
        (None, None, "SavedModel file does not exist"),
    ],
    ids=["signatures differ", "batches differ", "NaN", "NaN masks", "groups", "bad warm-up", "no warm-up", "no model"],
)
def test_a_model_that_does_not_serve_is_not_blessed(tmp_path, broken, warmup, reason):
    model = tmp_path / "model"
    if broken is not None:
        export(broken, str(model / "Format-Serving"), warmup or PICTURES)
        if warmup is None:
            (model / "Format-Serving" / "assets.extra" / "tf_serving_warmup_requests").unlink()
    blessed, message, file = run_check(model, tmp_path)
    assert (blessed, file) == (0, "INFRA_NOT_BLESSED")
    assert reason in message


def test_a_process_that_is_killed_is_no_blessing(folder, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -9 $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(check.sys, "executable", str(python))
    blessed, message, _ = run_check(folder.parent, tmp_path)
    assert blessed == 0
    assert message == "the process ended with -9 and said nothing"

"""What the clean process finds: a model of all kinds of tasks passes, and a broken contract is named."""

from __future__ import annotations

import contextlib
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from components.images.status import STATUS
from components.serving import replay
from components.systems.base import System
from components.tasks.annotation import points
from tests.support import serving
from tests.support.serving import COLOURS, CROPS, bound, exported, learnt, replayed

pytestmark = pytest.mark.slow

ATTRIBUTES = bound("attributes", "multi_label", ("Male", "Smiling", "Young"), scores="signed")
LANDMARKS = bound("landmarks", "landmarks", points(5))
PARSING = bound("parsing", "segmentation", ("background", "skin", "nose", "mouth", "hair"))
DONE = "2 warm-up requests replayed, 8 records alike by both signatures, alone and together"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "Format-Serving"
    return exported(serving.colours(), learnt(*COLOURS), folder)


@pytest.fixture
def copied(good, tmp_path):
    """A copy to break."""
    return shutil.copytree(good, tmp_path / "Format-Serving")


def test_a_mixture_of_all_kinds_serves(good):
    """The systems' own networks serve in tests/e2e."""
    assert replayed(good, crops=CROPS) == (
        f"{DONE}, 5 of them also by their crops; parsing (label_map), landmarks (points), emotion (probabilities), "
        "clothing (probabilities), attributes (scores), attributes_decisions (decisions), age (number) keep to the "
        "contract"
    )


def edited(folder, change):
    """The SavedModel in `folder` with what `change` makes of its contract."""
    path = folder / "assets.extra" / "contract.json"
    contract = json.loads(path.read_text())
    change(contract["signatures"])
    path.write_text(json.dumps(contract))
    return folder


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.pop("from_examples"), r"the contract has the signatures \[.*\], the model \[.*'from_examples'"),
        (
            lambda s: s.update(attention={}),
            r"the contract has the signatures \['attention', .*\], the model \['contract'",
        ),
        (lambda s: s["serving_default"].pop("age"), r"the outputs are \['age', .*\], the contract has \['attributes'"),
        (lambda s: s["from_examples"].update(mood={}), r"the outputs are \[.*\], the contract has \[.*'mood'"),
        (lambda s: s["from_examples"]["emotion"].update(names=["r", "g", "b", "k"]), "gives another one than contract"),
        (lambda s: s["from_examples"]["emotion"].update(maximum=0.2), "emotion is from .* expected 0.0 to 0.2"),
        (lambda s: s["from_examples"]["parsing"].update(padding=254), "parsing are labels other than 254"),
    ],
    ids=["signature missing", "signature", "output missing", "output", "number of names", "out of range", "padding"],
)
def test_a_model_that_breaks_its_contract_is_found(copied, change, reason):
    with pytest.raises(AssertionError, match=reason):
        replayed(edited(copied, change))


class Signature(System):
    """Serves another signature in the place of one, or beside it.

    Args:
        name: of the signature.
        change: the right answers -> those that are other ones.
        **same: by the name of an answer, which one it should be the same as.
    """

    def __init__(self, name, change, **same):
        self.name, self.change, self.same = name, change, same

    def signatures(self, module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def signature(examples):
            answers = module.from_examples(examples)
            return answers | self.change(answers)

        contract = module.contract()["from_examples"]
        same = {name: {**contract[other], "same_as": other} for name, other in self.same.items()}
        return {self.name: signature}, {self.name: contract | same}


def shifted(name):
    """Landmarks that are 0.01 more, under a name."""
    return lambda answers: {name: answers["landmarks"] + 0.01}


def mixed(output):
    """Answers that depend on the other images of the batch."""
    return output - tf.reduce_mean(output, axis=0)


@pytest.mark.parametrize(
    ("network", "system", "reason"),
    [
        ({}, Signature("from_examples", shifted("landmarks")), "from_examples differs .*: landmarks by 0.01, allowed"),
        (
            {},
            Signature("iterations", shifted("landmarks_iter1"), landmarks_iter1="landmarks"),
            "iterations differs from from_examples: landmarks_iter1 by 0.01, allowed 1e-05",
        ),
        (
            {},
            Signature("iterations", shifted("landmarks"), landmarks="landmarks"),
            "iterations differs from from_examples: landmarks by 0.01",
        ),
        ({"age": mixed}, None, "an image alone differs from the same in a batch: age by "),
        ({"clothing": lambda output: output - 1}, None, "clothing is from -.* to .*, expected 0.0 to 1.0"),
        ({"age": lambda output: output / 0}, None, "age is not finite"),
    ],
    ids=["signatures", "an iteration", "the last iteration", "batches", "no probabilities", "no number"],
)
def test_a_model_that_does_not_serve_is_found(tmp_path, network, system, reason):
    tasks = [task for task in COLOURS if task.name in (network or {"landmarks"})]
    folder = exported(serving.colours(**network), learnt(*tasks), tmp_path / "model", system)
    with pytest.raises(AssertionError, match=reason):
        replayed(folder, crops=CROPS)


def test_weights_that_are_no_numbers_are_found(tmp_path):
    """Though the label maps look well."""
    folder = exported(serving.colours(factor=np.nan), learnt(COLOURS[0]), tmp_path / "model")
    with pytest.raises(AssertionError, match="pixels/depthwise_kernel:0 is not finite"):
        replayed(folder)


def test_label_maps_that_differ_are_found(tmp_path):
    """Those of the records are in another order, all of one size."""
    system = Signature("from_examples", lambda answers: {"parsing": tf.roll(answers["parsing"], 1, axis=0)})
    folder = exported(serving.colours(), learnt(COLOURS[0]), tmp_path / "model", system)
    with pytest.raises(AssertionError, match=r"differs from serving_default: parsing at \d+\.\d\d% of the pixels"):
        replayed(folder, [serving.image(seed) for seed in range(3)])


def test_a_further_signature_serves(tmp_path):
    system = Signature(
        "iterations",
        lambda answers: {"landmarks_iter1": answers["landmarks"]},
        landmarks="landmarks",
        landmarks_iter1="landmarks",
    )
    folder = exported(serving.colours(), learnt(COLOURS[1], COLOURS[-1]), tmp_path / "model", system)
    assert replayed(folder).endswith("age (number) keep to the contract; so do iterations")


def test_a_warm_up_that_fails(tmp_path):
    folder = exported(serving.colours(), learnt(COLOURS[-1]), tmp_path / "model", warmup=[b"no image"])
    with pytest.raises(AssertionError, match="should be answered are not: the file is neither JPEG nor PNG"):
        replayed(folder)


class Careless(System):
    """Answers images as `change` makes of the right answers."""

    def __init__(self, change):
        self.change = change

    def signatures(self, module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def careless(image_bytes):
            return self.change(module.from_images(image_bytes))

        return {"serving_default": careless}, {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda a: a | {STATUS: 0 * a[STATUS]},
            r"image_status is \[0, 0\] for something that is no image and an image",
        ),
        (
            lambda a: a | {"age": a["age"] + tf.reduce_max(tf.cast(a[STATUS], tf.float32), keepdims=True)},
            "an image beside something that is none differs from it alone: age",
        ),
        (lambda a: dict(a), None),
    ],
    ids=["told as answered", "spoils its neighbour", "right"],
)
def test_what_something_that_is_no_image_does_to_others(tmp_path, change, reason):
    folder = exported(serving.colours(), learnt(COLOURS[-1]), tmp_path / "model", Careless(change))
    with found(reason):
        replayed(folder)


def test_nothing_to_try(copied):
    with pytest.raises(AssertionError, match="there is no example to try the model on"):
        replayed(copied, images=[])
    requests = copied / "assets.extra" / "tf_serving_warmup_requests"
    requests.write_bytes(b"")
    with pytest.raises(AssertionError, match="the model has no warm-up requests"):
        replayed(copied)
    requests.unlink()
    with pytest.raises(tf.errors.NotFoundError, match="tf_serving_warmup_requests"):
        replayed(copied)
    (copied / "saved_model.pb").unlink()
    with pytest.raises(OSError, match="SavedModel file does not exist"):
        replayed(copied)
    (copied / "assets.extra" / "contract.json").unlink()
    with pytest.raises(tf.errors.NotFoundError, match=r"contract\.json"):
        replayed(copied)


def held(answers, images=(), **each):
    """Holds the answers, by output, to what `each` says of them."""
    answers = {name: tf.constant(values) for name, values in answers.items()}
    replay._check_outputs(tf, answers, each, list(images))


def found(reason):
    """Nothing is found where there is no reason."""
    return contextlib.nullcontext() if reason is None else pytest.raises(AssertionError, match=reason)


PROBABILITIES = {
    **{"kind": "probabilities", "dtype": "float32", "shape": [None, 2]},
    **{"minimum": 0.0, "maximum": 1.0, "sums_to_one": True},
}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([[0.2, 0.8], [1.0, 0.0]], None),
        ([[0.2, 0.80009], [0.5, 0.5]], None),
        ([[0.2, 0.8002], [0.5, 0.5]], "mood sum to 1 but for 0.0002, allowed 1e-04"),
        ([[0.2, 0.8], [1.2, -0.2]], "mood is from -0.2 to 1.2, expected 0.0 to 1.0"),
        ([[0.2, 0.8], [np.nan, 0.5]], "mood is not finite"),
        ([[0.2, 0.7, 0.1]] * 2, r"mood has shape \(2, 3\), expected \[None, 2\]"),
        ([0.2, 0.8], r"mood has shape \(2,\), expected \[None, 2\]"),
        ([[0.2, 0.8]], r"mood has shape \(1, 2\) for 2 images"),
        (np.array([[0.2, 0.8]] * 2), "mood is float64, expected float32"),
    ],
)
def test_probabilities(values, reason):
    with found(reason):
        held({"mood": values}, [b"", b""], mood=PROBABILITIES)


@pytest.mark.parametrize(
    ("each", "values", "reason"),
    [
        ({**PROBABILITIES, "sums_to_one": False}, [[0.9, 0.8], [0.0, 0.1]], None),
        ({"kind": "points", "dtype": "float32", "shape": [None, 2]}, [[-0.5, 1.5]] * 2, None),
        ({"kind": "points", "dtype": "float32", "shape": [None, 2]}, [[0.5, np.inf]] * 2, "is not finite"),
        ({"kind": "decisions", "dtype": "int64", "shape": [None], "maximum": 1}, np.array([0, 2]), "from 0 to 2"),
        ({"kind": "names", "dtype": "string", "shape": [None, 3]}, [["a", "b", "c"]] * 2, None),
        ({"kind": "names", "dtype": "string", "shape": [None, 3]}, [["a", "b"]] * 2, r"shape \(2, 2\), expected"),
    ],
)
def test_other_kinds(each, values, reason):
    with found(reason):
        held({"answer": values}, [b"", b""], answer=each)


RED, BLUE = 0, 2
FLAGS = [serving.png(np.zeros((height, width, 3))) for height, width in ((4, 2), (3, 3))]


def changed(place=None, label=255):
    """Right maps of three classes for images of 4 x 2 and 3 x 3 pixels, but for the label of one place."""
    maps = np.full((2, 4, 3), 255, np.uint8)
    maps[0, :, :2] = RED, BLUE
    maps[1, :3] = RED, BLUE, BLUE
    if place:
        maps[place] = label
    return maps


@pytest.mark.parametrize(
    ("maps", "reason"),
    [
        (changed(), None),
        (changed((0, 0, 0), 3), "parsing has the label 3, of 3 classes"),
        (changed((1, 2, 2), 255), "parsing has the label 255, of 3 classes"),
        (changed((0, 3, 2), 0), "around an image's parsing are labels other than 255"),
        (changed((1, 3, 0), 0), "around an image's parsing are labels other than 255"),
        (changed()[:1], r"shape \(1, 4, 3\) for 2 images"),
        (changed()[:, :, :2], r"shape \(2, 4, 2\), expected \(2, 4, 3\)"),
        (changed()[:, 1:], r"shape \(2, 3, 3\), expected \(2, 4, 3\)"),
        (changed().astype(np.int64), "parsing is int64, expected uint8"),
    ],
)
def test_label_maps(maps, reason):
    label_map = {"kind": "label_map", "dtype": "uint8", "shape": [None] * 3, "names": ["r", "g", "b"], "padding": 255}
    with found(reason):
        held({"parsing": maps}, FLAGS, parsing=label_map)


@pytest.mark.parametrize(
    ("values", "others", "reason"),
    [
        ({"age": [0.3, 0.400009]}, {"age": [0.3, 0.4]}, None),
        ({"age": [0.3, 0.4001]}, {"age": [0.3, 0.4]}, "so: age by 0.0001, allowed 1e-05"),
        ({"age": [3.0, 40.0003]}, {"age": [3.0, 40.0]}, None),
        ({"age": [3.0, 40.0008]}, {"age": [3.0, 40.0]}, "so: age by 2e-05, allowed 1e-05"),
        ({"years": [0.3, 0.4009]}, {"years": [0.3, 0.4]}, None),  # a network's output times 100, and so its rounding
        ({"years": [0.3, 0.402]}, {"years": [0.3, 0.4]}, "so: years by 2e-05, allowed 1e-05"),
        ({"parsing": [[[0, 1], [2, 255]]]}, {"parsing": [[[0, 1], [2, 255]]]}, None),
        ({"parsing": [[[0, 1], [2, 255]]]}, {"parsing": [[[0, 1], [1, 255]]]}, "so: parsing at 25.00% of the pixels"),
        ({"decisions": [0, 1]}, {"decisions": [1, 1]}, None),  # a score may be on the threshold
    ],
)
def test_answers_that_differ(values, others, reason):
    kinds = {
        "age": {"kind": "number"},
        "years": {"kind": "number", "scale": 100.0},
        "parsing": {"kind": "label_map"},
        "decisions": {"kind": "decisions"},
    }
    values, others = ({name: tf.constant(each) for name, each in both.items()} for both in (values, others))
    with found(reason):
        replay._check_equal(tf, kinds, values, others, 1e-5, "so")

"""A clean process that serves: loads a SavedModel, replays its warm-up requests and holds its answers to its contract.

Run as a script, with TensorFlow, its serving API and Pillow:
`python -S replay.py SITE_PACKAGES SAVED_MODEL EXAMPLES...`.
Prints one line; exits with 1 and the reason if the model doesn't serve.
"""

import importlib.util
import io
import json
import sys

# Of numbers up to 1, and relative beyond: as float32 rounds, and as what bfloat16 rounds adds up over the layers.
TOLERANCES = {"float32": 1e-5, "bfloat16": 0.05}
SUM_TOLERANCE = 1e-4  # of probabilities
NUM_EXAMPLES = 8
CROP = "image/crop"  # of a record: the part of the image that from_examples shows the network


def main(site_packages: str, saved_model: str, *example_files: str) -> str:
    """Returns what was checked; raises AssertionError, or what loading and calling raise."""
    sys.path[0] = site_packages  # in the place of this script's folder
    for package in ("components", "keras_models", "pipeline"):
        assert importlib.util.find_spec(package) is None, f"{package} is on the path: this is no clean process"
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    with tf.io.gfile.GFile(f"{saved_model}/assets.extra/contract.json") as file:
        written = json.load(file)
    contract, tolerance = written["signatures"], TOLERANCES[written["precision"]]
    model = tf.saved_model.load(saved_model)
    assert contract.keys() == model.signatures.keys(), (
        f"the contract has the signatures {sorted(contract)}, the model {sorted(model.signatures)}"
    )
    # A label map is finite whatever it was made from.
    for variable in model.signatures["serving_default"].variables:
        _check_finite(tf, variable.name, variable)

    def ask(signature, values, images):
        answers = model.signatures[signature](tf.constant(values))
        _check_outputs(tf, answers, contract[signature], images)
        return answers

    requests = 0
    for log in tf.data.TFRecordDataset(f"{saved_model}/assets.extra/tf_serving_warmup_requests"):
        request = prediction_log_pb2.PredictionLog.FromString(log.numpy()).predict_log.request
        images = tf.make_ndarray(request.inputs["image_bytes"]).tolist()
        ask("serving_default", images, images)
        requests += 1
    assert requests, "the model has no warm-up requests"

    files = tf.data.Dataset.from_tensor_slices(tf.constant(example_files, tf.string))
    in_turn = files.interleave(lambda file: tf.data.TFRecordDataset(file, "GZIP"), cycle_length=NUM_EXAMPLES)
    examples = [e.numpy() for e in in_turn.take(NUM_EXAMPLES)]
    assert examples, "there is no example to try the model on"
    records = [tf.train.Example.FromString(e) for e in examples]
    images = [record.features.feature["image/encoded"].bytes_list.value[0] for record in records]
    # serving_default shows the network whole images, so that records are compared without their crops.
    crops = [record.features.feature for record in records if CROP in record.features.feature]
    for features in crops:
        del features[CROP]
    together = ask("serving_default", images, images)
    of_whole_images = ask("from_examples", [record.SerializeToString() for record in records], images)
    served = contract["serving_default"]
    _check_equal(tf, served, together, of_whole_images, tolerance, "from_examples differs from serving_default")
    for i, image in enumerate(images):
        alone = ask("serving_default", [image], [image])
        row = {name: _row(served[name], values, i, alone[name]) for name, values in together.items()}
        _check_equal(tf, served, row, alone, tolerance, "an image alone differs from the same in a batch")
    _check_bad_image(tf, model, served, images[0], tolerance)
    of_records = ask("from_examples", examples, images)
    inputs = {"image_bytes": images, "examples": examples}
    further = []
    for name, signature in model.signatures.items():
        if name not in ("serving_default", "from_examples", "contract"):
            (argument,) = signature.structured_input_signature[1]
            ask(name, inputs[argument][:1], images[:1])
            answers = ask(name, inputs[argument], images)
            same = {key: each["same_as"] for key, each in contract[name].items() if "same_as" in each}
            for key, other in same.items():
                message = f"{name} differs from from_examples"
                pair = {key: answers[key]}, {key: of_records[other]}
                _check_equal(tf, {key: served[other]}, *pair, tolerance, message)
            further.append(name)
    told = json.loads(model.signatures["contract"](tf.constant([""]))["contract"].numpy()[0])
    assert told == written, "the signature `contract` gives another one than contract.json"
    line = f"{requests} warm-up requests replayed, {len(examples)} records alike by both signatures, alone and together"
    if crops:
        line += f", {len(crops)} of them also by their crops"
    kinds = ", ".join(f"{name} ({each['kind']})" for name, each in served.items() if each["kind"] != "status")
    line += f"; {kinds} keep to the contract"
    return f"{line}; so do {', '.join(further)}" if further else line


def _check_outputs(tf, answers, outputs, images):
    """All outputs of the contract and no others, each as it says."""
    assert answers.keys() == outputs.keys(), f"the outputs are {sorted(answers)}, the contract has {sorted(outputs)}"
    # What isn't answered breaks the rest of the contract, too: the reason comes first.
    for name, values in sorted(answers.items(), key=lambda answer: outputs[answer[0]]["kind"] != "status"):
        each, shape = outputs[name], tuple(values.shape)
        assert values.dtype.name == each["dtype"], f"{name} is {values.dtype.name}, expected {each['dtype']}"
        fits = len(shape) == len(each["shape"]) and all(
            expected in (None, side) for side, expected in zip(shape, each["shape"], strict=True)
        )
        assert fits, f"{name} has shape {shape}, expected {each['shape']}"
        if images:
            assert shape[0] == len(images), f"{name} has shape {shape} for {len(images)} images"
        if each["kind"] == "names":
            continue
        if each["kind"] == "status":
            reasons = ", ".join(each["codes"][str(code)] for code in values.numpy() if code)
            assert not reasons, f"images that should be answered are not: {reasons}"
            continue
        if each["kind"] == "label_map":
            _check_label_maps(tf, name, values.numpy(), images, each)
            continue
        _check_finite(tf, name, values)
        lowest, highest = float(tf.reduce_min(values)), float(tf.reduce_max(values))
        assert lowest >= each.get("minimum", lowest) and highest <= each.get("maximum", highest), (
            f"{name} is from {lowest:.3g} to {highest:.3g}, expected {each.get('minimum')} to {each.get('maximum')}"
        )
        if each.get("sums_to_one"):
            off = float(tf.reduce_max(tf.abs(tf.reduce_sum(values, axis=-1) - 1)))
            assert off <= SUM_TOLERANCE, f"{name} sum to 1 but for {off:.2g}, allowed {SUM_TOLERANCE:.0e}"


def _check_label_maps(tf, name, maps, images, each):
    """Each at the top left of the batch's, of its image's size, and padding around it."""
    sizes = [_size(image) for image in images]
    expected = (len(sizes), *(max(sides) for sides in zip(*sizes, strict=True)))
    assert maps.shape == expected, f"{name} has shape {maps.shape}, expected {expected}"
    classes, padding = len(each["names"]), each["padding"]
    for labels, (height, width) in zip(maps, sizes, strict=True):
        highest = labels[:height, :width].max()
        assert highest < classes, f"{name} has the label {highest}, of {classes} classes"
        around = (labels[height:] == padding).all() and (labels[:height, width:] == padding).all()
        assert around, f"around an image's {name} are labels other than {padding}"


def _size(encoded):
    """(height, width) of an image file, turned as its Exif data say."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(encoded)) as image:
        width, height = ImageOps.exif_transpose(image).size
    return height, width


def _check_bad_image(tf, model, served, image, tolerance):
    """An image beside something that is none is answered as if it were alone, and a request without images is."""
    answer = model.signatures["serving_default"]
    alone, beside = answer(tf.constant([image])), answer(tf.constant([b"no image", image]))
    (status,) = (name for name, each in served.items() if each["kind"] == "status")
    found = beside[status].numpy().tolist()
    assert found[0] != 0 and found[1] == 0, f"{status} is {found} for something that is no image and an image"
    second = {name: _row(served[name], values, 1, alone[name]) for name, values in beside.items()}
    _check_equal(tf, served, second, alone, tolerance, "an image beside something that is none differs from it alone")
    empty = answer(tf.constant([], tf.string))
    assert not any(len(values) for values in empty.values()), "no images have answers"


def _row(each, values, i, alone):
    """One image's answer in a batch, of the size that it has alone."""
    row = values[i : i + 1]
    return row[:, : alone.shape[1], : alone.shape[2]] if each["kind"] == "label_map" else row


def _check_finite(tf, name, values):
    assert bool(tf.reduce_all(tf.math.is_finite(tf.cast(values, tf.float32)))), f"{name} is not finite"


def _check_equal(tf, outputs, answers, others, tolerance, message):
    for name, values in answers.items():
        kind = outputs[name]["kind"]
        if kind in ("decisions", "status"):
            # Whole numbers: a score within the tolerance of its threshold may fall on either side.
            continue
        if kind == "label_map":
            share = float(tf.reduce_mean(tf.cast(values != others[name], tf.float32)))
            assert share == 0, f"{message}: {name} at {share:.2%} of the pixels"
            continue
        sizes = tf.maximum(outputs[name].get("scale", 1.0), tf.abs(others[name]))
        difference = float(tf.reduce_max(tf.abs(values - others[name]) / sizes))
        assert difference <= tolerance, f"{message}: {name} by {difference:.2g}, allowed {tolerance:.0e}"


if __name__ == "__main__":
    try:
        print(main(*sys.argv[1:]))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")

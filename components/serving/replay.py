"""A clean process that serves: loads a SavedModel, replays its warm-up requests and holds answers to its contract.

Run as a script, with TensorFlow and its serving API alone: `python -S replay.py SITE_PACKAGES SAVED_MODEL EXAMPLES...`.
Prints one line; exits with 1 and the reason if the model doesn't serve.

The contract, assets.extra/contract.json, has "version" and "signatures": by signature and output "kind", "dtype" and
"shape" (null for what varies, first the batch), and where they apply "names" (the values, where the kind is "names"; of
the labels, where it is "label_map"; else of the last axis), "minimum", "maximum", "sums_to_one" (along the last axis)
and "equals": the signature and the output that give the same for the same images.
"""

import importlib.util
import json
import sys

VERSION = 1
TOLERANCE = 1e-5
SUM_TOLERANCE = 1e-4  # of probabilities
NUM_EXAMPLES = 8
IMAGE, CROP = "image/encoded", "image/crop"  # of a record; from_examples shows the network the crop of the image
NO_LABEL = 255  # around a label map, in a batch with larger images
IMAGES, EXAMPLES = "image_bytes", "examples"  # what signatures take


def main(site_packages: str, saved_model: str, *example_files: str) -> str:
    """Returns what was checked; raises AssertionError, or what loading and calling raise."""
    sys.path[0] = site_packages  # in the place of this script's folder
    for package in ("components", "keras_models", "pipeline"):
        assert importlib.util.find_spec(package) is None, f"{package} is on the path: this is no clean process"
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    model = tf.saved_model.load(saved_model)
    with tf.io.gfile.GFile(f"{saved_model}/assets.extra/contract.json") as file:
        contract = json.load(file)
    assert contract["version"] == VERSION, f"the contract is of version {contract['version']}, expected {VERSION}"
    asked = Asked(tf, model.signatures, contract["signatures"])

    requests = 0
    for log in tf.data.TFRecordDataset(f"{saved_model}/assets.extra/tf_serving_warmup_requests"):
        request = prediction_log_pb2.PredictionLog.FromString(log.numpy()).predict_log.request
        asked.check(request.model_spec.signature_name, tf.make_ndarray(request.inputs[IMAGES]).tolist())
        requests += 1
    assert requests, "the model has no warm-up requests"

    files = tf.data.Dataset.from_tensor_slices(tf.constant(example_files, tf.string))
    in_turn = files.interleave(lambda file: tf.data.TFRecordDataset(file, "GZIP"), cycle_length=NUM_EXAMPLES)
    examples = [example.numpy() for example in in_turn.take(NUM_EXAMPLES)]
    assert examples, "there is no example to try the model on"
    records = [tf.train.Example.FromString(example) for example in examples]
    images = [record.features.feature[IMAGE].bytes_list.value[0] for record in records]
    # Signatures of images show the network whole ones, so that records are compared with them without their crops.
    crops = [record.features.feature for record in records if CROP in record.features.feature]
    for features in crops:
        del features[CROP]
    whole = [record.SerializeToString() for record in records]

    asked.check_all(images, whole)
    if crops:
        asked.check_all(images, examples)
    asked.check_alone(images)
    message = f"{requests} warm-up requests replayed, {len(examples)} records answered alike alone and together"
    if crops:
        message += f", {len(crops)} of them also by their crops"
    return f"{message}; checked: {', '.join(sorted(contract['signatures']))}"


class Asked:
    """The signatures of a model, whose answers are checked against their contracts."""

    def __init__(self, tf, signatures, contracts):
        assert signatures.keys() == contracts.keys(), (
            f"the signatures are {sorted(signatures)}, by the contract {sorted(contracts)}"
        )
        self.tf, self.signatures, self.contracts = tf, signatures, contracts
        for signature in signatures.values():
            # A label map is finite whatever it was made from.
            for variable in signature.variables:
                check_finite(tf, variable.name, variable)

    def takes(self, name):
        """The signature's argument, None if it has none."""
        return next(iter(self.signatures[name].structured_input_signature[1]), None)

    def check(self, name, images, inputs=None):
        """The answers of a signature to `inputs`, which are `images` unless they are records of these."""
        signature, contract = self.signatures[name], self.contracts[name]
        argument = self.takes(name)
        inputs = images if inputs is None else inputs
        answers = signature() if argument is None else signature(**{argument: self.tf.constant(inputs)})
        assert answers.keys() == contract.keys(), f"{name} gives {sorted(answers)}, by the contract {sorted(contract)}"
        for output, values in answers.items():
            check_output(self.tf, output, values, contract[output], images)
        return answers

    def check_all(self, images, examples):
        """Every signature, and what is to be equal; signatures of images only against records without crops."""
        answers = {
            name: self.check(name, images, examples if self.takes(name) == EXAMPLES else images)
            for name in self.contracts
        }
        cropped = any(CROP.encode() in example for example in examples)
        for name, outputs in self.contracts.items():
            for output, contract in outputs.items():
                if "equals" not in contract:
                    continue
                other, other_output = contract["equals"]
                if not cropped or self.takes(name) == self.takes(other):
                    values, others = answers[name][output], answers[other][other_output]
                    check_equal(self.tf, output, values, others, contract, f"{name} differs from {other}")

    def check_alone(self, images):
        """An image is answered alone as it is in a batch."""
        for name in (name for name in self.contracts if self.takes(name) == IMAGES):
            together = self.check(name, images)
            for i, image in enumerate(images):
                for output, alone in self.check(name, [image]).items():
                    values, contract = together[output], self.contracts[name][output]
                    if contract["shape"][0] is None:
                        values = values[i : i + 1]
                    if contract["kind"] == "label_map":
                        values = values[:, : alone.shape[1], : alone.shape[2]]
                    message = "an image alone differs from the same in a batch"
                    check_equal(self.tf, output, values, alone, contract, message)


def check_output(tf, output, values, contract, images):
    """An answer to as many images has its contract's type and shape, and possible values."""
    kind, names = contract["kind"], contract.get("names")
    shape = contract["shape"]
    expected = [len(images) if shape[0] is None else shape[0], *shape[1:]]
    fits = len(expected) == len(values.shape) and all(
        side in (None, received) for side, received in zip(expected, values.shape, strict=True)
    )
    assert (values.dtype.name, fits) == (contract["dtype"], True), (
        f"{output} is {values.dtype.name} {tuple(values.shape)}, expected {contract['dtype']} {tuple(expected)}"
    )
    if kind == "names":
        received = [name.decode() for name in values.numpy()]
        assert received == names, f"{output} gives the names {received}, by the contract {names}"
        return
    if kind == "label_map":
        check_label_maps(tf, output, values.numpy(), images, len(names))
        return
    assert names is None or values.shape[-1] == len(names), (
        f"{output} has shape {tuple(values.shape)}, but there are {len(names)} names"
    )
    check_finite(tf, output, values)
    lowest, highest = float(tf.reduce_min(values)), float(tf.reduce_max(values))
    low, high = contract.get("minimum", lowest), contract.get("maximum", highest)
    assert low <= lowest and highest <= high, (
        f"{output} is from {lowest:.3g} to {highest:.3g}, expected {kind} from {low:.3g} to {high:.3g}"
    )
    if contract.get("sums_to_one"):
        off = float(tf.reduce_max(tf.abs(tf.reduce_sum(values, axis=-1) - 1)))
        assert off <= SUM_TOLERANCE, f"{output} sums to 1 but for {off:.2g}, allowed {SUM_TOLERANCE:.0e}"


def check_label_maps(tf, output, maps, images, num_classes):
    """Each at the top left of the batch's, of its image's size, and NO_LABEL around it."""
    sizes = [tuple(tf.io.decode_image(image, channels=3, expand_animations=False).shape[:2]) for image in images]
    expected = (len(sizes), *(max(sides) for sides in zip(*sizes, strict=True)))
    assert maps.shape == expected, f"{output} has shape {maps.shape}, expected {expected}"
    for labels, (height, width) in zip(maps, sizes, strict=True):
        highest = labels[:height, :width].max()
        assert highest < num_classes, f"{output} has the label {highest}, of {num_classes} classes"
        around = (labels[height:] == NO_LABEL).all() and (labels[:height, width:] == NO_LABEL).all()
        assert around, f"around an image's {output} are labels other than {NO_LABEL}"


def check_finite(tf, name, values):
    """No infinity, and no NaN."""
    assert bool(tf.reduce_all(tf.math.is_finite(tf.cast(values, tf.float32)))), f"{name} is not finite"


def check_equal(tf, output, values, others, contract, message):
    """The same but for rounding, label maps and names exactly."""
    if contract["kind"] == "decisions":
        return  # A score within the tolerance of its threshold may fall on either side.
    assert values.shape == others.shape, f"{message}: {output} has shapes {values.shape} and {others.shape}"
    if contract["kind"] in ("label_map", "names"):
        share = float(tf.reduce_mean(tf.cast(values != others, tf.float32)))
        assert share == 0, f"{message}: {output} at {share:.2%} of the places"
        return
    difference = float(tf.reduce_max(tf.abs(values - others)))
    assert difference <= TOLERANCE, f"{message}: {output} by {difference:.2g}, allowed {TOLERANCE:.0e}"


if __name__ == "__main__":
    try:
        print(main(*sys.argv[1:]))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")

"""A clean process that serves: loads a SavedModel, replays its warm-up requests and compares the signatures.

Run as a script, with TensorFlow and its serving API alone: `python -S replay.py SITE_PACKAGES SAVED_MODEL EXAMPLES...`.
Prints one line; exits with 1 and the reason if the model doesn't serve.
"""

import importlib.util
import sys

TOLERANCE = 1e-5
SUM_TOLERANCE = 1e-4  # of probabilities
NUM_EXAMPLES = 8
# By output: the signature that gives the names of its scores or labels.
NAMES = {
    "attributes": "attribute_names",
    "clothing": "clothing_names",
    "emotion": "emotion_names",
    "parsing": "class_names",
}
ITERATIONS = "iterations_from_examples"
CROP = "image/crop"  # of a record: the part of the picture that from_examples shows the network
NO_LABEL = 255  # around a label map, in a batch with larger pictures


def main(site_packages: str, saved_model: str, *example_files: str) -> str:
    """Returns what was checked; raises AssertionError, or what loading and calling raise."""
    sys.path[0] = site_packages  # in the place of this script's folder
    for package in ("components", "keras_models", "pipeline"):
        assert importlib.util.find_spec(package) is None, f"{package} is on the path: this is no clean process"
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    model = tf.saved_model.load(saved_model)
    from_images, from_examples = (model.signatures[name] for name in ("serving_default", "from_examples"))
    counts = {output: len(model.signatures[n]()[n]) for output, n in NAMES.items() if n in model.signatures}
    # A label map is finite whatever it was made from.
    _check_finite(tf, {variable.name: variable for variable in from_images.variables})

    def answers_to(images):
        answers = from_images(tf.constant(images))
        _check_answers(tf, answers, images, counts)
        return answers

    requests = 0
    for log in tf.data.TFRecordDataset(f"{saved_model}/assets.extra/tf_serving_warmup_requests"):
        request = prediction_log_pb2.PredictionLog.FromString(log.numpy()).predict_log.request
        answers_to(tf.make_ndarray(request.inputs["image_bytes"]).tolist())
        requests += 1
    assert requests, "the model has no warm-up requests"

    files = tf.data.Dataset.from_tensor_slices(tf.constant(example_files, tf.string))
    in_turn = files.interleave(lambda file: tf.data.TFRecordDataset(file, "GZIP"), cycle_length=NUM_EXAMPLES)
    examples = [e.numpy() for e in in_turn.take(NUM_EXAMPLES)]
    assert examples, "there is no example to try the model on"
    records = [tf.train.Example.FromString(e) for e in examples]
    images = [record.features.feature["image/encoded"].bytes_list.value[0] for record in records]
    # serving_default shows the network whole pictures, so that records are compared without their crops.
    crops = [record.features.feature for record in records if CROP in record.features.feature]
    for features in crops:
        del features[CROP]
    of_whole_pictures = from_examples(tf.constant([record.SerializeToString() for record in records]))
    together = answers_to(images)
    _check_equal(tf, together, of_whole_pictures, "from_examples differs from serving_default")
    for i, image in enumerate(images):
        alone = answers_to([image])
        row = {name: values[i : i + 1] for name, values in together.items()}
        if "parsing" in row:
            _, height, width = alone["parsing"].shape
            row["parsing"] = row["parsing"][:, :height, :width]
        _check_equal(tf, row, alone, "a picture alone differs from the same in a batch")
    of_records = from_examples(tf.constant(examples))
    _check_answers(tf, of_records, images, counts)
    said = f"{requests} warm-up requests replayed, {len(examples)} records alike by both signatures, alone and together"
    if crops:
        said += f", {len(crops)} of them also by their crops"
    if "parsing" in counts:
        said += f", label maps of {counts['parsing']} classes"
    if "emotion" in counts:
        said += f", probabilities of {counts['emotion']} emotions"
    if "clothing" in counts:
        said += f", probabilities of {counts['clothing']} categories of clothing"
    if ITERATIONS in model.signatures:
        by_iteration = model.signatures[ITERATIONS](tf.constant(examples))
        said += f", {_check_iterations(tf, by_iteration, of_records, images, counts)} iterations"
    if "attention" in model.signatures:
        said += f", attention maps of {_check_attention(tf, model.signatures['attention'], images)} groups"
    return said


def _check_answers(tf, answers, images, counts):
    """The names are as many as the outputs have scores or labels, and all of those are possible ones."""
    assert counts.keys() == NAMES.keys() & answers.keys(), (
        f"the model names its {sorted(counts)} and answers with {sorted(answers)}"
    )
    _check_finite(tf, answers)
    if "attributes" in counts:
        scores = answers["attributes"].shape[1]
        assert scores == counts["attributes"], "the names are not as many as the attributes"
    if "emotion" in counts:
        _check_probabilities(tf, answers["emotion"], counts["emotion"], "emotions")
        _check_sums(tf, answers["emotion"])
    if "clothing" in counts:  # each category has a probability of its own
        _check_probabilities(tf, answers["clothing"], counts["clothing"], "clothing")
    if "parsing" in counts:
        _check_label_maps(tf, answers["parsing"].numpy(), images, counts["parsing"])


def _check_probabilities(tf, probabilities, count, what):
    assert probabilities.shape[1] == count, f"the names are not as many as the {what}"
    lowest, highest = float(tf.reduce_min(probabilities)), float(tf.reduce_max(probabilities))
    assert lowest >= 0 and highest <= 1, f"probabilities of {what} are from {lowest:.3g} to {highest:.3g}"


def _check_sums(tf, probabilities):
    off = float(tf.reduce_max(tf.abs(tf.reduce_sum(probabilities, axis=1) - 1)))
    assert off <= SUM_TOLERANCE, f"probabilities of emotions sum to 1 but for {off:.2g}, allowed {SUM_TOLERANCE:.0e}"


def _check_iterations(tf, by_iteration, last, images, counts):
    """Each output at every iteration from 0 on, the last of which gives `last`; returns how many there are."""
    names = sorted(last)
    num_iterations = len(by_iteration) // len(names) - 1
    numbered = {f"{name}_iter{i}" for name in names for i in range(num_iterations)}
    assert numbered and by_iteration.keys() == numbered | set(names), (
        f"{ITERATIONS} gives {sorted(by_iteration)}, expected {names} and each of them at every iteration"
    )
    message = f"{ITERATIONS} differs from from_examples"
    _check_equal(tf, last, {name: by_iteration[name] for name in names}, message)
    for i in range(num_iterations):
        answers = {name: by_iteration[f"{name}_iter{i}"] for name in names}
        _check_answers(tf, answers, images, counts)
    _check_equal(tf, last, answers, f"{message} at the last iteration")
    return num_iterations


def _check_label_maps(tf, maps, images, num_classes):
    """Each at the top left of the batch's, of its picture's size, and NO_LABEL around it."""
    sizes = [tuple(tf.io.decode_image(image, channels=3, expand_animations=False).shape[:2]) for image in images]
    expected = (len(sizes), *(max(sides) for sides in zip(*sizes, strict=True)))
    assert (maps.dtype, maps.shape) == ("uint8", expected), (
        f"the label maps are {maps.dtype} {maps.shape}, expected uint8 {expected}"
    )
    for labels, (height, width) in zip(maps, sizes, strict=True):
        highest = labels[:height, :width].max()
        assert highest < num_classes, f"a label is {highest}, of {num_classes} classes"
        around = (labels[height:] == NO_LABEL).all() and (labels[:height, width:] == NO_LABEL).all()
        assert around, f"around a picture's label map are labels other than {NO_LABEL}"


def _check_attention(tf, attention, images):
    """Masks and affinities of a batch and of a picture alone; returns the number of groups."""
    for pictures in (images, images[:1]):
        maps = dict(attention(tf.constant(pictures)))
        groups = len(maps.pop("groups"))
        assert maps, "attention gives no maps"
        _check_finite(tf, maps)
        for name, values in maps.items():
            ends = (values.shape[0], values.shape[-1])
            assert ends == (len(pictures), groups), f"{name} has shape {values.shape}, of {groups} groups"
    return groups


def _check_finite(tf, outputs):
    for name, values in outputs.items():
        assert bool(tf.reduce_all(tf.math.is_finite(tf.cast(values, tf.float32)))), f"{name} is not finite"


def _check_equal(tf, outputs, others, message):
    assert outputs.keys() == others.keys(), f"{message}: {sorted(outputs)} and {sorted(others)}"
    for name, values in outputs.items():
        if name == "decisions":
            # Whole numbers: a score within the tolerance of its threshold may fall on either side.
            continue
        if name == "parsing":
            share = float(tf.reduce_mean(tf.cast(values != others[name], tf.float32)))
            assert share == 0, f"{message}: {name} at {share:.2%} of the pixels"
            continue
        difference = float(tf.reduce_max(tf.abs(values - others[name])))
        assert difference <= TOLERANCE, f"{message}: {name} by {difference:.2g}, allowed {TOLERANCE:.0e}"


if __name__ == "__main__":
    try:
        print(main(*sys.argv[1:]))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")

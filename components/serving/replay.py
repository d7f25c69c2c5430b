"""A clean process that serves: loads a SavedModel, replays its warm-up requests and compares the signatures.

Run as a script, with TensorFlow and its serving API alone: `python -S replay.py SITE_PACKAGES SAVED_MODEL EXAMPLES...`.
Prints one line; exits with 1 and the reason if the model doesn't serve.
"""

import importlib.util
import sys

TOLERANCE = 1e-5
NUM_EXAMPLES = 8


def main(site_packages: str, saved_model: str, *example_files: str) -> str:
    """Returns what was checked; raises AssertionError, or what loading and calling raise."""
    sys.path[0] = site_packages  # in the place of this script's folder
    for package in ("components", "keras_models", "pipeline"):
        assert importlib.util.find_spec(package) is None, f"{package} is on the path: this is no clean process"
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    model = tf.saved_model.load(saved_model)
    from_images, from_examples = (model.signatures[name] for name in ("serving_default", "from_examples"))
    names = model.signatures["attribute_names"]()["attribute_names"]

    requests = 0
    for log in tf.data.TFRecordDataset(f"{saved_model}/assets.extra/tf_serving_warmup_requests"):
        request = prediction_log_pb2.PredictionLog.FromString(log.numpy()).predict_log.request
        _check_finite(tf, from_images(tf.constant(tf.make_ndarray(request.inputs["image_bytes"]))))
        requests += 1
    assert requests, "the model has no warm-up requests"

    examples = [e.numpy() for e in tf.data.TFRecordDataset(list(example_files), "GZIP").take(NUM_EXAMPLES)]
    assert examples, "there is no example to try the model on"
    images = [tf.train.Example.FromString(e).features.feature["image/encoded"].bytes_list.value[0] for e in examples]
    together = from_images(tf.constant(images))
    assert together["attributes"].shape[1] == len(names), "the names are not as many as the attributes"
    _check_equal(tf, together, from_examples(tf.constant(examples)), "from_examples differs from serving_default")
    for i, image in enumerate(images):
        row = {name: values[i : i + 1] for name, values in together.items()}
        _check_equal(tf, row, from_images(tf.constant([image])), "a picture alone differs from the same in a batch")
    said = f"{requests} warm-up requests replayed, {len(examples)} records alike by both signatures, alone and together"
    if "attention" in model.signatures:
        said += f", attention maps of {_check_attention(tf, model.signatures['attention'], images)} groups"
    return said


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
        difference = float(tf.reduce_max(tf.abs(values - others[name])))
        assert difference <= TOLERANCE, f"{message}: {name} by {difference:.2g}, allowed {TOLERANCE:.0e}"


if __name__ == "__main__":
    try:
        print(main(*sys.argv[1:]))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")

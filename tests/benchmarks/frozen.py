"""What a change of shape must not change: the five drawn experiments, trained for an epoch or two, as figures.

    python -m tests.benchmarks.frozen run FOLDER              before; and again after, into another folder
    python -m tests.benchmarks.frozen compare BEFORE AFTER [--names NAMES.json] [--tolerance 1e-6]

`run` takes each `<system>/synthetic` through the real pipeline at seed 0 and stores its signatures, what the pushed
model answers on 16 images, the history of its epochs and the figures of results.json. `compare` prints the largest
difference of each kind and exits with 1 above the tolerance. NAMES.json maps names of before to names of after (null:
gone on purpose), for what was renamed.
"""

import argparse
import json
import os
import pathlib
import sys
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from pipeline import experiments, local_runner
from pipeline.console import ComponentProgress
from pipeline.experiments.registry import REGISTERED
from pipeline.request import read_request

SYSTEMS = ("dmm_cnn", "mgg_net", "dml_csr", "ifan", "branching")
NUM_IMAGES = 16
UNSTABLE = ("minutes", "training minutes")  # differ from run to run


def shortened(experiment):
    """The experiment for an epoch or two, in float32."""
    training = replace(experiment.training, precision="float32", epochs=2)
    if hasattr(training, "tasks"):  # each task alone, then turns
        tasks = tuple(replace(task, pretraining_epochs=1) for task in training.tasks)
        training = replace(training, tasks=tasks, plain_epochs=1, epochs=1, steps=4)
    elif hasattr(training, "steps"):  # a round is no pass over the data
        training = replace(training, steps=10)
    elif training.callbacks and "cycle_epochs" in training.callbacks[-1].kwargs:
        cycles = {"first_epochs": 1, "cycle_epochs": 1}
        training = replace(training, callbacks=(replace(training.callbacks[-1], kwargs=cycles),))
    return replace(experiment, training=training)


def answers(model, images):
    """By signature and output, what a model answers on encoded images."""
    found = {}
    for name, signature in model.signatures.items():
        if signature.structured_input_signature[1]:
            (argument,) = signature.structured_input_signature[1]
            inputs = images if argument == "image_bytes" else [example(image) for image in images]
            outputs = signature(**{argument: tf.constant(inputs)})
        else:
            outputs = signature()
        found.update({f"{name}/{output}": values.numpy() for output, values in outputs.items()})
    return found


def example(image):
    """A face record of an image alone."""
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
    return tf.train.Example(features=tf.train.Features(feature={"image/encoded": feature})).SerializeToString()


def images(pipeline_root):
    """The first images of a test split."""
    files = sorted(pathlib.Path(pipeline_root).glob("FacesExampleGen/examples/*/Split-*test/*.gz"))
    records = tf.data.TFRecordDataset([str(file) for file in files], "GZIP").take(NUM_IMAGES)
    examples = (tf.train.Example.FromString(record.numpy()) for record in records)
    return [each.features.feature["image/encoded"].bytes_list.value[0] for each in examples]


def run(system, folder):
    """Stores one system's figures."""
    output, name = folder / system, f"frozen/{system}"
    REGISTERED[name] = shortened(experiments.get(f"{system}/synthetic"))
    pipeline = local_runner.local_pipeline(read_request({"EXPERIMENT": name, "OUTPUT_DIR": str(output)}))
    with ComponentProgress(pipeline):
        LocalDagRunner().run(pipeline)
    (model_folder,) = (output / "pipeline").glob("Trainer-*/model/*/Format-Serving")
    (training_file,) = (output / "pipeline").glob("Trainer-*/model_run/*/training.json")
    model = tf.saved_model.load(str(model_folder))
    signatures = {
        f"{name}/{key}": [spec.dtype.name, [int(s) if s else None for s in spec.shape.as_list()]]
        for name, signature in model.signatures.items()
        for key, spec in signature.structured_outputs.items()
    }
    found = json.loads((output / "reports" / f"frozen-{system}" / "results.json").read_text())
    frozen = {
        "signatures": signatures,
        "epochs": json.loads(training_file.read_text())["epochs"],
        "parameters": found["figures"]["parameters"],
        "verdict": found["verdict"],
        "figures": found["figures"],
        "details": {key: value for key, value in found.items() if isinstance(value, dict) and key not in NOT_DETAILS},
    }
    (folder / f"{system}.json").write_text(json.dumps(frozen, indent=1))
    np.savez_compressed(folder / f"{system}.npz", **answers(model, images(output / "pipeline")))


NOT_DETAILS = ("figures", "places")


def flat(value, prefix=""):
    """Nested dicts and lists as {path: leaf}."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        items = enumerate(value)
    else:
        return {prefix: value}
    return {path: leaf for key, each in items for path, leaf in flat(each, f"{prefix}/{key}").items()}


def renamed(path, names):
    """The path with each of its parts as `names` has it; None if one is gone."""
    if path in names:
        return names[path]
    parts = [names.get(part, part) for part in path.split("/")]
    return None if None in parts else "/".join(parts)


def difference(before, after):
    """Largest absolute difference of numbers (relative above 1); inf where they can't be compared."""
    if isinstance(before, np.ndarray) and before.dtype.kind in "SUO":
        return 0.0 if before.tolist() == after.tolist() else float("inf")
    try:
        one, other = np.asarray(before, np.float64), np.asarray(after, np.float64)
    except (TypeError, ValueError):
        return 0.0 if before == after else float("inf")
    if one.shape != other.shape or (np.isnan(one) != np.isnan(other)).any():
        return float("inf")
    return float(np.nanmax(np.abs(one - other) / np.maximum(np.abs(one), 1), initial=0.0))


def compare(before, after, names, tolerance):
    """Prints the differences; returns whether all are within the tolerance."""
    fine = True
    for system in SYSTEMS:
        if not ((before / f"{system}.json").exists() and (after / f"{system}.json").exists()):
            print(f"{system}: not there")
            fine = False
            continue
        one, other = (flat(json.loads((folder / f"{system}.json").read_text())) for folder in (before, after))
        for folder, found in ((before, one), (after, other)):
            with np.load(folder / f"{system}.npz", allow_pickle=True) as arrays:  # strings are objects
                found.update({f"/answers/{key}": arrays[key] for key in arrays.files})
        worst, missing = {}, []
        for path, value in one.items():
            now = renamed(path, names)
            if now is None or path.rsplit("/", 1)[-1] in UNSTABLE:
                continue
            if now not in other:
                missing.append(f"{path} -> {now}")
                continue
            kind = path.split("/")[1]
            worst[kind] = max(worst.get(kind, (0.0, "")), (difference(value, other[now]), path))
        fine &= not missing and all(value <= tolerance for value, _ in worst.values())
        print(
            system, {kind: f"{value:.2g} {path if value > tolerance else ''}" for kind, (value, path) in worst.items()}
        )
        for path in missing:
            print(f"  missing: {path}")
    return fine


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("folder", type=pathlib.Path)
    running.add_argument("systems", nargs="*", default=SYSTEMS)
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=pathlib.Path)
    comparing.add_argument("after", type=pathlib.Path)
    comparing.add_argument("--names", type=pathlib.Path)
    comparing.add_argument("--tolerance", type=float, default=1e-6)
    options = parser.parse_args()
    if options.command == "compare":
        names = json.loads(options.names.read_text()) if options.names else {}
        sys.exit(not compare(options.before, options.after, names, options.tolerance))
    options.folder.mkdir(parents=True, exist_ok=True)
    for system in options.systems:
        run(system, options.folder.absolute())


if __name__ == "__main__":
    main()

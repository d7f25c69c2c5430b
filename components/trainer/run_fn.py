"""What TFX's Trainer calls: experiment in, SavedModel and history out."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow import keras
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.utils import io_utils
from tqdm import tqdm

from components.config import from_json
from components.drift.reference import NUM_IMAGES, Values, label_statistics, measured, outputs_of, write_reference
from components.schema_gen.frames import read_frames
from components.serving.checksums import write_checksums
from components.serving.export import export
from components.serving.lite import convert, lite_network
from components.serving.module import ServingModule, served_network
from components.serving.precision import alike, figures, in_bfloat16
from components.systems.base import system_of
from components.tasks.annotation import BoundTask
from components.tasks.base import labels_of, learning_of
from components.trainer import inputs
from components.trainer.join import write_request
from components.trainer.loop import Trained, train
from components.trainer.own_process import run_in_own_process
from components.trainer.recipe import all_files, check_export
from components.trainer.workers import num_machines, told_chief

TRAINING_FILE = "training.json"
_SPLIT = "Split-"  # before the name of a split, in the name of its folder
_WARMUP_IMAGES = 4
_DONE = "done"  # beside the checkpoints of a run that ended
_VALIDATION_BATCH = 8
_POLL_SECONDS, _LONGEST_WAIT = 2.0, 2 * 3600.0


def run_fn(fn_args: FnArgs) -> None:
    """`train_and_export`; of several machines in TF_CONFIG in a process of its own."""
    if num_machines() > 1:
        run_in_own_process(fn_args)
    else:
        train_and_export(fn_args)


def train_and_export(fn_args: FnArgs) -> None:
    """Trains, exports to fn_args.serving_model_dir, and leaves training.json in fn_args.model_run_dir.

    Of several machines in TF_CONFIG (components/trainer/workers.py) one exports, and those that run this, too, wait for
    it: TFX looks for the model when this returns. Others take part by components/trainer/join.py.

    fn_args.custom_config: {"experiment": JSON, "tasks": BoundTasks as JSON, "checkpoints": folder for stopped runs,
    "code_version": a hash}.

    Raises:
        ValueError: if the experiment starts from another's model and there is none; and as of `check_export`.
    """
    config = fn_args.custom_config
    experiment, tasks = from_json(config["experiment"]), from_json(config["tasks"])
    check_export(experiment.export, tasks)
    warm_start = experiment.training.warm_start
    if warm_start and not fn_args.base_model:
        raise ValueError(
            f"This experiment starts from the model of {warm_start!r}, of which there is no blessed one yet. "
            f"First: make run EXPERIMENT={warm_start}"
        )
    checkpoints = os.path.join(config["checkpoints"], _run_key(config, fn_args.transform_output, fn_args.base_model))
    if told_chief():
        remove_done(config["checkpoints"], checkpoints)
    train_files, validation_files = files_by_split(fn_args.train_files), files_by_split(fn_args.eval_files)
    files = {"train_files": train_files, "validation_files": validation_files}
    places = {
        "checkpoint_folder": checkpoints,
        "log_folder": fn_args.model_run_dir,
        "warm_start": fn_args.base_model,
    }
    if num_machines() > 1 and told_chief():
        write_request(checkpoints, experiment=config["experiment"], tasks=config["tasks"], **files, **places)
    trained = train(experiment, tasks, **files, **places)
    if not trained.chief:
        _wait_for(os.path.join(fn_args.model_run_dir, TRAINING_FILE))
        return
    print("  Exporting the model ...", file=sys.stderr, flush=True)
    validation = inputs.evaluation_examples(all_files(validation_files), tasks, experiment.data.image_size)
    validation = validation.batch(_VALIDATION_BATCH)
    fast, precision = chosen_precision(experiment.export.precision, trained, validation)
    lite, lite_record = lite_file(experiment.export.lite, trained)
    frames = read_frames(io_utils.parse_pbtxt_file(fn_args.schema_path, schema_pb2.Schema()))
    module = export(
        trained.network,
        trained.tasks,
        experiment.data.image_size,
        system_of(experiment),
        fn_args.serving_model_dir,
        inputs.example_images(all_files(train_files), _WARMUP_IMAGES),
        fast,
        {task.name: frames[task.dataset] for task in tasks if task.dataset in frames},
        lite,
        experiment.export.flip_average,
    )
    splits = experiment.data.splits(experiment.training.validation_split)
    known = {
        dataset: reference_values(
            module,
            [task for task in tasks if task.dataset == dataset],
            validation_files[split],
            experiment.data.image_size,
        )
        for dataset, split in splits.items()
    }
    write_reference(fn_args.serving_model_dir, known)
    write_checksums(fn_args.serving_model_dir)
    training = {
        "epochs": trained.epochs,
        "parameters": module.network.count_params(),
        "minutes": trained.minutes,
        "processor_minutes": trained.processor_minutes,
        "precision": precision,
        "lite": lite_record,
        **trained.record,
    }
    with tf.io.gfile.GFile(os.path.join(fn_args.model_run_dir, TRAINING_FILE), "w") as f:
        json.dump(training, f)
    # Kept until another run begins: a kill before TFX has noted down this one repeats no epoch.
    with tf.io.gfile.GFile(os.path.join(checkpoints, _DONE), "w") as file:
        file.write("This run has ended; the next one removes its checkpoints.\n")


def _wait_for(path):
    """Until the chief has left what it leaves last; RuntimeError if that takes too long: it may have ended."""
    print("  The training has ended; another machine exports.", file=sys.stderr, flush=True)
    end = time.monotonic() + _LONGEST_WAIT
    while not tf.io.gfile.exists(path):
        if time.monotonic() > end:
            raise RuntimeError(f"The machine that exports has left no {path!r} in {_LONGEST_WAIT / 3600:g} hours.")
        time.sleep(_POLL_SECONDS)


def chosen_precision(
    precision: str, trained: Trained, validation: tf.data.Dataset
) -> tuple[keras.Model | None, dict[str, Any]]:
    """The network in bfloat16 if it is asked for and answers as well on the validation split, else None.

    Returns:
        It; and which precision is "served", with the "figures" of each, if they were compared.
    """
    if precision == "float32":
        return None, {"served": precision, "figures": {}}
    fast = in_bfloat16(trained.network, trained.build, trained.tasks)
    # Not the trained tasks: their metrics belong to the strategy that they were trained under.
    tasks = {name: learning_of(task.task, task.image_size) for name, task in trained.tasks.items()}
    for name, task in trained.tasks.items():
        for key, variable in task.state().items():
            tasks[name].state()[key].assign(variable.numpy())
    networks = {"float32": trained.network, "bfloat16": fast}
    found = {name: figures(network, tasks, validation) for name, network in networks.items()}
    kept = alike(*found.values())
    where = "bfloat16 where that is faster" if kept else "float32"
    compared = "; ".join(f"{name} {', '.join(f'{k} {v:.4f}' for k, v in each.items())}" for name, each in found.items())
    print(f"  Served in {where}: {compared}.", file=sys.stderr)
    return fast if kept else None, {"served": "bfloat16" if kept else "float32", "figures": found}


def reference_values(
    module: ServingModule, tasks: Sequence[BoundTask], files: Sequence[str], image_size: tuple[int, int]
) -> Values:
    """What the served model sees in a validation split's images and answers, and what they are annotated with.

    Args:
        tasks: that learn from the data set.
        files: of the split.
    """
    images, names = inputs.sampled_images(list(files), NUM_IMAGES), [task.name for task in tasks]
    what = f"{len(images)} validation images, which new ones will be held against ({', '.join(names)})"
    print(f"  Answering {what} ...", file=sys.stderr, flush=True)
    with tqdm(total=len(images), unit=" images", leave=False, disable=None) as bar:  # on a terminal

        def answer(files):
            answers = module.from_images(tf.constant(files, tf.string))
            bar.update(len(files))
            return {name: values.numpy() for name, values in answers.items()}

        outputs = outputs_of(module.contract()["serving_default"], names)
        values, _ = measured(answer, outputs, image_size, images)
    annotated = inputs.numeric_labels(list(files), tasks)
    for task in tasks:
        if task.name in annotated:
            values |= label_statistics(labels_of(task.name, task.annotation), annotated[task.name])
    return values


def lite_file(precision: str, trained: Trained) -> tuple[bytes | None, dict[str, Any]]:
    """What is served of the network as a file of TensorFlow Lite, if it is asked for and possible.

    Returns:
        It, or None; and its "bytes", or the "error" that says why there is none. Nothing if it isn't asked for.
    """
    if not precision:
        return None, {}
    network = served_network(trained.network, trained.tasks)
    size = next(iter(trained.tasks.values())).image_size
    try:
        model = convert(network, size, precision)
        lite_network(model)(tf.zeros([1, *size, 3]))
    except (ValueError, RuntimeError, tf.errors.OpError) as error:  # what was trained is worth more
        print(f"  No file of TensorFlow Lite: {error}", file=sys.stderr)
        return None, {"error": str(error)}
    print(f"  As TensorFlow Lite: {len(model) / 1e6:.1f} MB.", file=sys.stderr)
    return model, {"bytes": len(model)}


def remove_done(folder: str, kept: str) -> None:
    """Removes the checkpoints of runs that ended, but those in the folder `kept`."""
    for mark in tf.io.gfile.glob(os.path.join(folder, "*", _DONE)):
        if os.path.dirname(mark) != kept:
            tf.io.gfile.rmtree(os.path.dirname(mark))


def files_by_split(patterns: Sequence[str]) -> dict[str, list[str]]:
    """The files of patterns such as FnArgs has, ".../Split-<name>/*", by the split's name; ValueError for others."""
    files = {}
    for pattern in patterns:
        folder = os.path.basename(os.path.dirname(pattern))
        if not folder.startswith(_SPLIT):
            raise ValueError(f"{pattern!r} should be the files of a split, .../{_SPLIT}<name>/*.")
        files[folder.removeprefix(_SPLIT)] = sorted(tf.io.gfile.glob(pattern))
    return files


def _run_key(config, transform_output, base_model):
    """The same for a run and its continuation: same experiment, code, data and model to start from."""
    parts = [config, transform_output, base_model]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

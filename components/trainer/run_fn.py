"""What TFX's Trainer calls: experiment in, SavedModel and history out."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence

import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.config import HybridTraining, WideningTraining, from_json
from components.datasets import source_class
from components.datasets.annotation import annotated_names
from components.serving.branch_tree import write_tree
from components.serving.people import ServedPeople
from components.serving.signatures import ServedAttributes, ServedParsing, export
from components.serving.tasks import ServedTasks
from components.trainer import hybrid, supervised, widening
from components.trainer.edge_maps import EDGES_FILE, write_edge_maps
from components.trainer.inputs import evaluation_examples, example_images
from keras_models.branched_network import BranchedNetwork
from keras_models.folding import fold_batch_norm

TRAINING_FILE = "training.json"
_SPLIT = "Split-"  # before the name of a split, in the name of its folder
_WARMUP_IMAGES = 4


def run_fn(fn_args: FnArgs) -> None:
    """Trains, exports to fn_args.serving_model_dir, and leaves training.json in fn_args.model_run_dir.

    Beside it lies edges.npz, what the edge branches of a network for parsing see, which are not exported.

    fn_args.custom_config: {"experiment": JSON, "checkpoints": folder for stopped runs, "code_version": a hash}.

    Raises:
        ValueError: if the experiment starts from another's model and there is none.
    """
    config = fn_args.custom_config
    experiment = from_json(config["experiment"])
    warm_start = experiment.training.warm_start
    if warm_start and not fn_args.base_model:
        raise ValueError(
            f"This experiment starts from the model of {warm_start!r}, of which there is no blessed one yet. "
            f"First: make run EXPERIMENT={warm_start}"
        )
    checkpoints = os.path.join(config["checkpoints"], _run_key(config, fn_args.transform_output, fn_args.base_model))
    started = time.monotonic()
    recipe = _fit_several_tasks if isinstance(experiment.training, HybridTraining) else _fit
    trained, served = recipe(experiment, fn_args, checkpoints)
    warmup_images = example_images(_files(fn_args.train_files), _WARMUP_IMAGES)
    folder = fn_args.serving_model_dir
    if isinstance(trained.network, BranchedNetwork):
        export(served, folder, warmup_images, trained.network, trained.thresholds)
        write_tree(trained.network.tree, folder)
    else:
        export(served, folder, warmup_images)
    training = {
        "epochs": trained.epochs,
        "parameters": served.network.count_params(),
        "minutes": (time.monotonic() - started) / 60,
        **({} if trained.branching is None else {"branching": trained.branching}),
    }
    with tf.io.gfile.GFile(os.path.join(fn_args.model_run_dir, TRAINING_FILE), "w") as f:
        json.dump(training, f)
    tf.io.gfile.rmtree(checkpoints)


def _fit(experiment, fn_args, checkpoints):
    """(Trained, what is served) of the plain recipe and of widening; of a network with edge branches, leaves edges.npz.

    The pictures of several data sets come in the same batches.
    """
    data = experiment.data
    builder = source_class(data.sources[0])
    validation_files = _files(fn_args.eval_files)
    recipe = widening if isinstance(experiment.training, WideningTraining) else supervised
    trained = recipe.fit(
        experiment,
        builder,
        train_files=_files(fn_args.train_files),
        validation_files=validation_files,
        checkpoint_folder=checkpoints,
        log_folder=fn_args.model_run_dir,
        warm_start=fn_args.base_model,
    )
    if isinstance(trained.network, BranchedNetwork):
        return trained, _served_people(trained, data)
    if not data.parsing:
        attributes = annotated_names(data, "attributes")
        return trained, ServedAttributes(trained.network, trained.thresholds, data.image_size, attributes)
    examples = evaluation_examples(validation_files, data)
    write_edge_maps(trained.network, examples, os.path.join(fn_args.model_run_dir, EDGES_FILE))
    return trained, ServedParsing(trained.network, data.image_size, annotated_names(data, "parsing"))


def _served_people(trained, data):
    """A network with a sigmoid for each task, its batch norm folded."""
    names = {label: annotated_names(data, label) for label in data.labels}
    thresholds = None
    if data.attributes:
        of_attributes = trained.thresholds[: len(names["attributes"])]
        thresholds = tf.Variable(of_attributes, trainable=False, name="thresholds")
    return ServedPeople(fold_batch_norm(trained.network), data.image_size, names, thresholds)


def _fit_several_tasks(experiment, fn_args, checkpoints):
    """(Trained, what is served) of hybrid training."""
    trained = hybrid.fit(
        experiment,
        train_files=files_by_split(fn_args.train_files),
        validation_files=files_by_split(fn_args.eval_files),
        checkpoint_folder=checkpoints,
        log_folder=fn_args.model_run_dir,
        warm_start=fn_args.base_model,
    )
    names = {label: annotated_names(experiment.data, label) for label in experiment.data.labels}
    return trained, ServedTasks(trained.network, experiment.data.image_size, names)


def files_by_split(patterns: Sequence[str]) -> dict[str, list[str]]:
    """The files of patterns such as FnArgs has, ".../Split-<name>/*", by the split's name; ValueError for others."""
    files = {}
    for pattern in patterns:
        folder = os.path.basename(os.path.dirname(pattern))
        if not folder.startswith(_SPLIT):
            raise ValueError(f"{pattern!r} should be the files of a split, .../{_SPLIT}<name>/*.")
        files[folder.removeprefix(_SPLIT)] = _files([pattern])
    return files


def _files(patterns):
    return sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern))


def _run_key(config, transform_output, base_model):
    """The same for a run and its continuation: same experiment, code, data and model to start from."""
    parts = [config, transform_output, base_model]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

"""What TFX's Trainer calls: experiment in, SavedModel and history out."""

from __future__ import annotations

import hashlib
import json
import os
import time

import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.config import from_json
from components.datasets import builder_class
from components.serving.signatures import ServedAttributes, ServedParsing, export
from components.trainer import supervised
from components.trainer.edge_maps import EDGES_FILE, write_edge_maps
from components.trainer.inputs import evaluation_examples, example_images

TRAINING_FILE = "training.json"
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
    builder = builder_class(experiment.data.dataset)
    train_files, validation_files = _files(fn_args.train_files), _files(fn_args.eval_files)
    checkpoints = os.path.join(config["checkpoints"], _run_key(config, fn_args.transform_output))
    started = time.monotonic()
    trained = supervised.fit(
        experiment,
        builder,
        train_files=train_files,
        validation_files=validation_files,
        checkpoint_folder=checkpoints,
        log_folder=fn_args.model_run_dir,
        warm_start=fn_args.base_model,
    )
    if experiment.data.parsing:
        served = ServedParsing(trained.network, experiment.data.image_size, builder.LABELS)
        examples = evaluation_examples(validation_files, experiment.data, builder)
        write_edge_maps(trained.network, examples, os.path.join(fn_args.model_run_dir, EDGES_FILE))
    else:
        served = ServedAttributes(trained.network, trained.thresholds, experiment.data.image_size, builder.ATTRIBUTES)
    export(served, fn_args.serving_model_dir, example_images(train_files, _WARMUP_IMAGES))
    training = {
        "epochs": trained.epochs,
        "parameters": served.network.count_params(),
        "minutes": (time.monotonic() - started) / 60,
    }
    with tf.io.gfile.GFile(os.path.join(fn_args.model_run_dir, TRAINING_FILE), "w") as f:
        json.dump(training, f)
    tf.io.gfile.rmtree(checkpoints)


def _files(patterns):
    return sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern))


def _run_key(config, transform_output):
    """The same for a run and its continuation: same experiment, code and data."""
    return hashlib.sha256(json.dumps([config, transform_output], sort_keys=True).encode()).hexdigest()[:16]

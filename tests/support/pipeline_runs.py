"""Small experiments through the real pipeline, as `make run` does it."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import numpy as np
import tensorflow as tf
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from components.config import Bar, Data, DatasetConfig, configured
from components.images.status import STATUS, Status
from components.overrides import slug
from pipeline import experiments, local_runner
from pipeline.console import ComponentProgress, print_results
from pipeline.experiments.registry import REGISTERED
from pipeline.request import read_request

DATA_NODES = {"FacesExampleGen", "StatisticsGen", "RecordSchemaGen", "ExampleValidator", "Transform"}
FACES = {"num_train": 32, "num_validation": 8, "num_test": 16, "image_size": 64}
DRAWN = Data((DatasetConfig("synthetic_faces", FACES),), image_size=(32, 32))


def with_low_bars(tasks, **bounds):
    """The tasks with bars that any model passes; `bounds`: of a task instead."""

    def low(bar):
        return replace(bar, at_least=bar.at_least and 1e-6, at_most=bar.at_most and 100.0)

    return tuple(replace(task, bar=bounds.get(task.name, low(task.bar)) if task.bar else None) for task in tasks)


def dmm_cnn():
    """DMM-CNN as small as it goes, for an epoch."""
    base = experiments.get("dmm_cnn/synthetic")
    return replace(
        base,
        data=DRAWN,
        tasks=with_low_bars(base.tasks, attributes=Bar("mean_balanced_accuracy", at_least=0.1)),
        model=configured(
            "keras_models.DMMCNN",
            num_landmarks=68,
            backbone="resnet10",
            backbone_width=8,
            objective_units=[8],
            subjective_units=[8],
            landmark_units=[8],
        ),
        training=replace(base.training, epochs=1, batch_size=8, precision="float32"),
    )


def run(experiment, output, name, settings=(), data_dir=""):
    """Runs the experiment under a name; returns the nodes that ran and were not found in the cache.

    Resolvers, which look into the metadata anew each time, are left out.
    """
    REGISTERED[name] = experiment
    asked = {"EXPERIMENT": name, "DATA_DIR": data_dir, "OUTPUT_DIR": str(output), "SET": shlex.join(settings)}
    request = read_request(asked)
    pipeline = local_runner.local_pipeline(request)
    with ComponentProgress(pipeline) as progress:
        LocalDagRunner().run(pipeline)
    print_results(request, progress)
    ran = set(progress.minutes) - progress.cached
    return {node for node in ran if not node.startswith(("LastBlessed-", "WarmStart-", "Teacher-"))}


def own(name, *nodes):
    """The ids of an experiment's nodes."""
    return {f"{node}-{slug(name)}" for node in nodes or ("Trainer", "Evaluator", "ServingCheck", "Pusher", "Report")}


def results(output, name):
    """The latest results.json of an experiment."""
    return json.loads((output / "reports" / slug(name) / "results.json").read_text())


def page(output, name):
    """The latest report of an experiment."""
    return (output / "reports" / slug(name) / "index.html").read_text()


def served(output, name):
    """The pushed model, and its answers for two images of 50 x 40 pixels: shapes by output."""
    model = tf.saved_model.load(results(output, name)["places"]["model"])
    image = tf.io.encode_png(tf.constant(np.full([50, 40, 3], 99, np.uint8)))
    outputs = model.signatures["serving_default"](image_bytes=tf.stack([image, image]))
    assert outputs.pop(STATUS).numpy().tolist() == [Status.ANSWERED] * 2
    return model, {output: tuple(values.shape) for output, values in outputs.items()}

"""What TensorBoard shows of an ended run: test figures beside hyperparameters, precision and recall, the graph."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.pr_curve.summary import raw_data_pb

from components.config import Experiment, ObjectConfig
from components.report.collect import SIGNATURE, RunArtifacts
from components.tasks.scores import BINS, precision_and_recall

_POOLED = "all together"


def write_summaries(artifacts: RunArtifacts, folder: str) -> None:
    """Writes an event file: hyperparameters, test figures, curves of all scores, the served graph."""
    with tf.summary.create_file_writer(folder).as_default(step=len(artifacts.training["epochs"])):
        trial = f"{artifacts.name}, seed {artifacts.experiment.training.seed}"
        _write(hparams.hparams_pb(hyperparameters(artifacts.experiment), trial_id=trial))
        for task in artifacts.tasks:
            for figure in artifacts.evaluation.figures(task.name):
                tf.summary.scalar(f"test/{figure.name}", figure.value)
            counts = artifacts.evaluation.value(task.name, "histogram")
            if counts is not None:
                _write(_curve(f"{task.name}/{_POOLED}", counts.sum(axis=1)))
                for index, name in enumerate(task.names):
                    _write(_curve(f"{task.name}/{name}", counts[:, index]))
        tf.summary.graph(artifacts.model.signatures[SIGNATURE].graph)


def hyperparameters(experiment: Experiment) -> dict[str, bool | float | str]:
    """What an experiment sets of data, network and training, by its path as SET has it."""
    found = {"data.image_size": "{} x {}".format(*experiment.data.image_size), "model": experiment.model.path}
    found |= _flat("model", experiment.model.kwargs)
    training = experiment.training
    return found | _flat("training", {f.name: getattr(training, f.name) for f in dataclasses.fields(training)})


def _flat(path: str, values: Mapping[str, Any]) -> dict[str, bool | float | str]:
    """Numbers and texts as they are; what is built as its path, with its arguments below; of several their paths."""
    found: dict[str, bool | float | str] = {}
    for name, value in values.items():
        key = f"{path}.{name}"
        if isinstance(value, ObjectConfig):
            found |= {key: value.path, **_flat(key, value.kwargs)}
        elif isinstance(value, (str, bool, numbers.Real)):
            found[key] = value
        elif isinstance(value, tuple) and all(isinstance(each, ObjectConfig) for each in value):
            found[key] = ", ".join(each.path.rsplit(".", 1)[-1] for each in value)
        else:
            found[key] = str(value)
    return found


def _curve(name: str, counts: np.ndarray) -> tf.compat.v1.Summary:
    """Precision and recall at each threshold of a histogram [2, BINS] of `components.tasks.scores`."""
    # TensorBoard draws thresholds from 0 to 1: above 1 is nothing.
    false, true = (np.append(each[::-1].cumsum()[::-1], 0) for each in counts)
    precision, recall = (
        np.append(np.nan_to_num(values[0, ::-1]), 0) for values in precision_and_recall(counts[:, np.newaxis])
    )
    totals = counts.sum(axis=-1)
    return raw_data_pb(
        name, true, false, totals[0] - false, totals[1] - true, precision, recall, num_thresholds=BINS + 1
    )


def _write(summary):
    tf.summary.experimental.write_raw_pb(summary.SerializeToString())

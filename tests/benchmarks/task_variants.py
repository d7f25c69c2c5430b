"""iFAN's tables in one command: experiments side by side, each task's figure at each iteration, several seeds.

    make run EXPERIMENT=ifan/3t-tiny DATA_DIR=...
    python -m tests.benchmarks.task_variants out ifan/3t-tiny ifan/3t-shared_bn-tiny ifan/parsing-tiny --seeds 0 1 2

Trains through the same recipe as the pipeline and measures with the evaluator's formulas on each task's test split, by
the model as it is served; what the pipeline adds (checks, report) is left out. The data is what the latest run under
OUTPUT_DIR prepared of several data sets. Rows are appended to OUTPUT_DIR/task_variants.jsonl, and what stands there
already is not trained again.
"""

import argparse
import json
import os
import pathlib
import statistics
import tempfile
import time
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from components.datasets.annotation import annotated_names
from components.evaluator import landmark_metrics, parsing_metrics
from components.record import FaceRecord
from components.serving.tasks import ServedTasks
from components.trainer import hybrid
from pipeline import experiments
from tests.benchmarks.variants import done, latest_files

FIGURES = {"parsing": "mean F1", "landmarks": "NME", "emotion": "accuracy"}
_REQUEST = 16


def prepared_files(output, node, data, split):
    """By the experiment's names of splits, the files that a run of all data sets left."""
    return {own: latest_files(output, node, f"{source}_{split}") for source, own in data.splits(split).items()}


def measured(label, records, answers, num_classes):
    """The evaluator's figure of a task."""
    if label == "parsing":
        counts = 0
        for record, predicted in zip(records, answers, strict=True):
            truth = tf.io.decode_png(record.parsing).numpy()[..., 0]
            height, width = truth.shape
            counts += parsing_metrics.confusion(truth, predicted[:height, :width], num_classes)
        return parsing_metrics.mean_f1(counts)
    if label == "landmarks":
        sizes = (landmark_metrics.image_size(record.image) for record in records)
        errors = (
            landmark_metrics.point_errors(record.landmarks, points, size)
            for record, points, size in zip(records, answers, sizes, strict=True)
        )
        return float(np.mean([error.mean() for error in errors if error is not None]))
    return float(
        np.mean([record.emotion == np.argmax(scores) for record, scores in zip(records, answers, strict=True)])
    )


def train(output, experiment):
    """{"<task>_iter<I>": figure on the test split, "minutes": of training}."""
    data, training = experiment.data, experiment.training
    transformed = "Transform/transformed_examples"
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        trained = hybrid.fit(
            experiment,
            prepared_files(output, transformed, data, "train"),
            prepared_files(output, transformed, data, training.validation_split),
            f"{folder}/checkpoints",
            f"{folder}/logs",
        )
        minutes = (time.monotonic() - started) / 60
    names = {label: annotated_names(data, label) for label in data.labels}
    served = ServedTasks(trained.network, data.image_size, names)
    row = {"minutes": minutes}
    for label in data.labels:
        source = data.source_of(label).name
        files = latest_files(output, "FacesExampleGen/examples", f"{source}_{experiment.evaluation.split}")
        serialized = [example.numpy() for example in tf.data.TFRecordDataset(sorted(files), "GZIP")]
        records = [FaceRecord.from_example(tf.train.Example.FromString(example)) for example in serialized]
        answers = {}
        for start in range(0, len(serialized), _REQUEST):
            for name, values in served.iterations_from_examples(
                tf.constant(serialized[start : start + _REQUEST])
            ).items():
                if name.startswith(f"{label}_iter"):
                    answers.setdefault(name, []).extend(values.numpy())
        row.update(
            {name: measured(label, records, given, len(names[label])) for name, given in sorted(answers.items())}
        )
    return row


def main():
    """Trains what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path, help="OUTPUT_DIR of the run that prepared the data")
    parser.add_argument("experiments", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    file = options.output / "task_variants.jsonl"
    for seed in options.seeds:
        for name in options.experiments:
            key = {"experiment": name, "seed": seed}
            if not any(key.items() <= row.items() for row in done(file)):
                print(f"{name}, seed {seed}", flush=True)
                experiment = experiments.get(name)
                row = {
                    **key,
                    **train(options.output, replace(experiment, training=replace(experiment.training, seed=seed))),
                }
                with file.open("a") as lines:
                    lines.write(json.dumps(row) + "\n")
    for name in options.experiments:
        rows = [row for row in done(file) if row["experiment"] == name]
        minutes = statistics.mean(row["minutes"] for row in rows)
        print(f"{name}: {len(rows)} seeds, {minutes:.1f} minutes of training each")
        for figure in (figure for figure in rows[0] if "_iter" in figure):
            values = [100 * row[figure] for row in rows]
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            label, iteration = figure.split("_iter")
            print(f"  {label} {FIGURES[label]}, iteration {iteration}: {statistics.mean(values):.2f}{spread} %")


if __name__ == "__main__":
    main()

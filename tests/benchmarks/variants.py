"""Experiments side by side, several seeds each, on data that a run has prepared: a table of a paper in one command.

    make run EXPERIMENT=mgg_net/celeb_a-tiny DATA_DIR=...
    python -m tests.benchmarks.variants out mgg_net/celeb_a-baseline-tiny mgg_net/celeb_a-gal-tiny mgg_net/celeb_a-tiny

Trains through the same recipe as the pipeline and measures with the evaluator's formulas on the test split; what the
pipeline adds (export, checks, report) is left out. The latest data in OUTPUT_DIR is taken, so it has to be of a run
whose data is the experiments' own. Results are appended to OUTPUT_DIR/variants.jsonl, and what stands there already is
not trained again: several processes can share the seeds, and a stopped one goes on.
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

from components.datasets import builder_class
from components.evaluator.attribute_metrics import outcomes, summarize
from components.preprocessing.images import decode_and_resize_batch
from components.trainer import supervised
from pipeline import experiments

FIGURES = ("mean_accuracy", "mean_balanced_accuracy")


def changed(name, seed, epochs, width):
    """The experiment with another seed, and where given with other epochs and another width of its backbone."""
    base = experiments.get(name)
    model = base.model if width is None else replace(base.model, kwargs={**base.model.kwargs, "backbone_width": width})
    return replace(base, model=model, training=replace(base.training, seed=seed, epochs=epochs or base.training.epochs))


def latest_files(output, node, split):
    """Those of the split in what the node wrote last."""
    folder = max(output.glob(f"pipeline/{node}/*"), key=lambda folder: int(folder.name))
    return [str(file) for file in (folder / f"Split-{split}").iterdir()]


def test_results(trained, attributes, image_size, files):
    """`summarize` on the split."""
    spec = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "attributes": tf.io.FixedLenFeature([len(attributes)], tf.int64),
    }
    counts = 0
    for batch in tf.data.TFRecordDataset(files, "GZIP").batch(100):
        features = tf.io.parse_example(batch, spec)
        image = tf.cast(decode_and_resize_batch(features["image/encoded"], image_size), tf.float32)
        scores = trained.network(image, training=False)["attributes"]
        decisions = (scores > trained.thresholds).numpy()
        counts += sum(outcomes(*row) for row in zip(features["attributes"].numpy(), decisions, strict=True))
    return summarize(np.asarray(counts))


def train(output, experiment):
    """Figures on the test split, and the minutes of training."""
    data, training = experiment.data, experiment.training
    attributes = builder_class(data.dataset).ATTRIBUTES
    transformed = "Transform/transformed_examples"
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        trained = supervised.fit(
            experiment,
            attributes,
            latest_files(output, transformed, "train"),
            latest_files(output, transformed, training.validation_split),
            f"{folder}/checkpoints",
            f"{folder}/logs",
        )
        minutes = (time.monotonic() - started) / 60
    raw = latest_files(output, "FacesExampleGen/examples", experiment.evaluation.split)
    results = test_results(trained, attributes, data.image_size, raw)
    return {**{figure: results[figure] for figure in FIGURES}, "minutes": minutes}


def done(file):
    """The rows of earlier runs."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def main():
    """Trains what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path, help="OUTPUT_DIR of the run that prepared the data")
    parser.add_argument("experiments", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="instead of the experiments' own")
    parser.add_argument("--width", type=int, help="channels of the backbone's first stage, instead of its own")
    options = parser.parse_args()
    file = options.output / "variants.jsonl"
    for seed in options.seeds:
        for name in options.experiments:
            experiment = changed(name, seed, options.epochs, options.width)
            key = {"experiment": name, "seed": seed, "epochs": experiment.training.epochs, "width": options.width}
            if any(key.items() <= row.items() for row in done(file)):
                continue
            print(f"{name}, seed {seed}", flush=True)
            row = {**key, **train(options.output, experiment)}
            with file.open("a") as lines:
                lines.write(json.dumps(row) + "\n")
    print(f"{'experiment':36} epochs  seeds  mean accuracy      balanced accuracy  minutes")
    for name in options.experiments:
        epochs = changed(name, 0, options.epochs, options.width).training.epochs
        key = {"experiment": name, "epochs": epochs, "width": options.width}
        rows = [row for row in done(file) if key.items() <= row.items()]
        cells = []
        for figure in FIGURES:
            values = [100 * row[figure] for row in rows]
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.2f}{spread}".ljust(18))
        minutes = statistics.mean(row["minutes"] for row in rows)
        print(f"{name:36} {epochs:<7} {len(rows):<6} {' '.join(cells)} {minutes:.1f}")


if __name__ == "__main__":
    main()

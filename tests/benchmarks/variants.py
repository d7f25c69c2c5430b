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

import tensorflow as tf

from components.config import Factory
from components.datasets import source_class
from components.evaluator import attribute_metrics, parsing_metrics
from components.record import FaceRecord
from components.serving.signatures import ServedAttributes, ServedParsing
from components.trainer import supervised
from pipeline import experiments

ATTRIBUTE_FIGURES = ("mean_accuracy", "mean_balanced_accuracy")
PARSING_FIGURES = ("mean_f1", "pixel_accuracy")


def changed(name, seed, epochs, width):
    """The experiment with another seed, and where given with other epochs and another width of its backbone."""
    base = experiments.get(name)
    model = base.model if width is None else replace(base.model, kwargs={**base.model.kwargs, "backbone_width": width})
    training = replace(base.training, seed=seed)
    return replace(base, model=model, training=training if epochs is None else with_epochs(training, epochs))


def with_epochs(training, epochs):
    """Another number of epochs; of a regulated training those of the first phase change, and the cycles stay."""
    rate = training.learning_rate
    if not (isinstance(rate, Factory) and "schedules" in rate.kwargs):
        return replace(training, epochs=epochs)
    lengths = [epochs - rate.kwargs["lengths"][1], rate.kwargs["lengths"][1]]
    (regulation,) = training.callbacks
    return replace(
        training,
        epochs=epochs,
        learning_rate=replace(rate, kwargs={**rate.kwargs, "lengths": lengths}),
        callbacks=(replace(regulation, kwargs={**regulation.kwargs, "first_epochs": lengths[0]}),),
    )


def latest_files(output, node, split):
    """Those of the split in what the node wrote last."""
    folder = max(output.glob(f"pipeline/{node}/*"), key=lambda folder: int(folder.name))
    return [str(file) for file in (folder / f"Split-{split}").iterdir()]


def attribute_results(trained, image_size, builder, records):
    """The evaluator's figures of attributes, by the model as it is served."""
    served = ServedAttributes(trained.network, trained.thresholds, image_size, builder.ATTRIBUTES)
    counts = 0
    for start in range(0, len(records), 100):
        batch = records[start : start + 100]
        decisions = served.from_images(tf.constant([record.image for record in batch]))["decisions"].numpy()
        counts += sum(attribute_metrics.outcomes(r.attributes, d) for r, d in zip(batch, decisions, strict=True))
    return attribute_metrics.summarize(counts)


def parsing_results(trained, image_size, builder, records):
    """The evaluator's figures of face parsing, at the pictures' own size, by the model as it is served."""
    served, classes = ServedParsing(trained.network, image_size, builder.LABELS), len(builder.LABELS)
    counts = 0
    for record in records:
        truth = tf.io.decode_png(record.parsing).numpy()[..., 0]
        predicted = served.from_images(tf.constant([record.image]))["parsing"].numpy()[0]
        counts += parsing_metrics.confusion(truth, predicted, classes)
    return {"mean_f1": parsing_metrics.mean_f1(counts), "pixel_accuracy": parsing_metrics.pixel_accuracy(counts)}


def train(output, experiment):
    """Figures on the test split, and the minutes of training."""
    data, training = experiment.data, experiment.training
    builder = source_class(data.sources[0])
    transformed = "Transform/transformed_examples"
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        trained = supervised.fit(
            experiment,
            builder,
            latest_files(output, transformed, "train"),
            latest_files(output, transformed, training.validation_split),
            f"{folder}/checkpoints",
            f"{folder}/logs",
        )
        minutes = (time.monotonic() - started) / 60
    files = latest_files(output, "FacesExampleGen/examples", experiment.evaluation.split)
    examples = (tf.train.Example.FromString(e.numpy()) for e in tf.data.TFRecordDataset(files, "GZIP"))
    measure = parsing_results if data.parsing else attribute_results
    results = measure(trained, data.image_size, builder, [FaceRecord.from_example(example) for example in examples])
    return {**{figure: results[figure] for figure in figures(experiment)}, "minutes": minutes}


def figures(experiment):
    """What is told of an experiment."""
    return PARSING_FIGURES if experiment.data.parsing else ATTRIBUTE_FIGURES


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
    told = figures(experiments.get(options.experiments[0]))
    print(f"{'experiment':40} epochs  seeds  {' '.join(figure.replace('_', ' ').ljust(24) for figure in told)} minutes")
    for name in options.experiments:
        epochs = changed(name, 0, options.epochs, options.width).training.epochs
        key = {"experiment": name, "epochs": epochs, "width": options.width}
        rows = [row for row in done(file) if key.items() <= row.items()]
        cells = []
        for figure in told:
            values = [100 * row[figure] for row in rows]
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.2f}{spread}".ljust(24))
        minutes = statistics.mean(row["minutes"] for row in rows)
        print(f"{name:40} {epochs:<7} {len(rows):<6} {' '.join(cells)} {minutes:.1f}")


if __name__ == "__main__":
    main()

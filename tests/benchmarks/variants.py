"""Table 1 of DMM-CNN at equal, small cost: every variant from several seeds on data that a run has prepared.

    make run EXPERIMENT=dmm_cnn/celeb_a-tiny DATA_DIR=...
    python -m tests.benchmarks.table1 out --epochs 4 --width 32

Trains through the same recipe as the pipeline and measures with the evaluator's formulas on the test split; what the
pipeline adds (export, checks, report) is left out. Results are appended to OUTPUT_DIR/table1.jsonl, and what stands
there already is not trained again, so that several processes can share the seeds.
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

from components.evaluator.attribute_metrics import outcomes, summarize
from components.preprocessing.images import decode_and_resize_batch
from components.trainer import supervised
from keras_models.attributes import CELEBA_ATTRIBUTES
from pipeline import experiments

VARIANTS = ("baseline", "fac", "eq_fix", "eq_at", "dw_fix", "spp", "full", "literal")


def experiment(variant, seed, epochs, width):
    """The tiny form of a variant with a backbone of `width` and fewer epochs."""
    name = "dmm_cnn/celeb_a-tiny" if variant == "full" else f"dmm_cnn/celeb_a-{variant}-tiny"
    base = experiments.get(name)
    model = replace(base.model, kwargs={**base.model.kwargs, "backbone_width": width})
    return replace(base, model=model, training=replace(base.training, seed=seed, epochs=epochs))


def latest(output, pattern):
    return max(output.glob(f"pipeline/{pattern}/*"), key=lambda folder: int(folder.name))


def test_results(trained, image_size, files):
    spec = {"image/encoded": tf.io.FixedLenFeature([], tf.string), "attributes": tf.io.FixedLenFeature([40], tf.int64)}
    counts = 0
    for batch in tf.data.TFRecordDataset(files, "GZIP").batch(100):
        features = tf.io.parse_example(batch, spec)
        image = tf.cast(decode_and_resize_batch(features["image/encoded"], image_size), tf.float32)
        scores = trained.network(image, training=False)["attributes"]
        decisions = (scores > trained.thresholds).numpy()
        counts += sum(outcomes(*row) for row in zip(features["attributes"].numpy(), decisions, strict=True))
    return summarize(np.asarray(counts))


def train(output, variant, seed, epochs, width):
    config = experiment(variant, seed, epochs, width)
    transformed = latest(output, "Transform/transformed_examples")
    files = {s: [str(f) for f in (transformed / f"Split-{s}").iterdir()] for s in ("train", "eval")}
    raw = latest(output, "LandmarkAnnotator/annotated_examples") / f"Split-{config.evaluation.split}"
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        trained = supervised.fit(
            config, CELEBA_ATTRIBUTES, files["train"], files["eval"], f"{folder}/checkpoints", f"{folder}/logs"
        )
        minutes = (time.monotonic() - started) / 60
    results = test_results(trained, config.data.image_size, [str(f) for f in raw.iterdir()])
    return {
        "variant": variant,
        "seed": seed,
        "epochs": epochs,
        "width": width,
        "mean_accuracy": results["mean_accuracy"],
        "mean_balanced_accuracy": results["mean_balanced_accuracy"],
        "minutes": minutes,
    }


def done(file):
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=pathlib.Path, help="OUTPUT_DIR of the run that prepared the data")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--width", type=int, default=32, help="channels of ResNet-18's first stage (standard: 64)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    options = parser.parse_args()
    file = options.output / "table1.jsonl"
    scale = {"epochs": options.epochs, "width": options.width}
    for seed in options.seeds:
        for variant in options.variants:
            key = {"variant": variant, "seed": seed, **scale}
            if any(key.items() <= row.items() for row in done(file)):
                continue
            print(f"{variant}, seed {seed}", flush=True)
            row = train(options.output, variant, seed, **scale)
            with file.open("a") as lines:
                lines.write(json.dumps(row) + "\n")
    rows = [row for row in done(file) if scale.items() <= row.items()]
    print("variant     seeds  mean accuracy      balanced accuracy  minutes")
    for variant in dict.fromkeys(row["variant"] for row in rows):
        mine = [row for row in rows if row["variant"] == variant]
        cells = []
        for figure in ("mean_accuracy", "mean_balanced_accuracy"):
            values = [100 * row[figure] for row in mine]
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.2f}{spread}".ljust(18))
        print(f"{variant:11} {len(mine):<6} {' '.join(cells)} {statistics.mean(row['minutes'] for row in mine):.1f}")


if __name__ == "__main__":
    main()

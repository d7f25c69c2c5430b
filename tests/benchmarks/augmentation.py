"""Whether training waits for its images: images a second of the input pipeline beside those of a training step.

    python -m tests.benchmarks.augmentation [EXPERIMENT] [--batch N] [--repetitions 5]

Drawn faces with label maps, transformed in memory and written to a temporary folder, go through `training_batches`: as
they are, mirrored and shifted, and turned and enlarged as DML-CSR does. The step is the experiment's, with its network,
objective and optimizer, on a batch in memory. All take turns, and the figures are medians.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from tensorflow import keras

from components.config import DatasetConfig, Experiment, Training, to_json
from components.datasets import build_dataset
from components.datasets.binding import bound_tasks
from components.preprocessing.transform import preprocessing_fn
from components.tasks.annotation import BoundTask
from components.tasks.base import learning_of
from components.trainer.inputs import training_batches
from components.trainer.optimizers import build_optimizer
from components.trainer.task_model import TaskModel
from pipeline import experiments

FACES = DatasetConfig("synthetic_faces")
AUGMENTATIONS = {
    "decoded only": {"flip": False, "max_shift": 0.0, "max_rotation": 0.0, "scale": (1.0, 1.0)},
    "mirrored and shifted": {"flip": True, "max_shift": 0.1, "max_rotation": 0.0, "scale": (1.0, 1.0)},
    "turned and enlarged": {"flip": False, "max_shift": 0.0, "max_rotation": 30.0, "scale": (0.75, 1.25)},
    "all of it": {"flip": True, "max_shift": 0.1, "max_rotation": 30.0, "scale": (0.75, 1.25)},
}
STEP = "training step"


def transformed_faces(folder: str, size: tuple[int, int], task: BoundTask, count: int) -> str:
    """Writes `count` drawn faces as Transform leaves them; the file's name."""
    options = {"num_train": count, "num_validation": 0, "num_test": 0, "image_size": max(size)}
    builder = build_dataset(DatasetConfig("synthetic_faces", options), None)
    config = {"tasks": to_json((task.prepared,)), "image_size": list(size)}
    name = f"{folder}/transformed.gz"
    with tf.io.TFRecordWriter(name, "GZIP") as writer:
        for reference in builder.references():
            record = builder.load(reference)
            features = {
                "image/encoded": tf.constant([[record.image]]),
                "image/id": tf.constant([[record.id]]),
                "image/crop": tf.sparse.SparseTensor(tf.zeros([0, 2], tf.int64), [], [1, 0]),
                "parsing/encoded": tf.sparse.from_dense(tf.constant([[record.labels[task.name]]])),
            }
            outputs = preprocessing_fn(features, config)
            example = tf.train.Example()
            for key, values in outputs.items():
                example.features.feature[key].bytes_list.value.extend(values.numpy())
            writer.write(example.SerializeToString())
    return name


def drawn_batches(file: str, size: tuple[int, int], task: BoundTask, training: Training, steps: int) -> tf.data.Dataset:
    """The input pipeline of a run of `training`."""
    return training_batches([file], [task], size, training, steps, training.epochs, training.seed)


def input_rates(
    file: str, size: tuple[int, int], task: BoundTask, training: Training, steps: int, batches: int
) -> Iterator[float]:
    """Images a second of the pipeline, each over `batches` batches after as many that aren't counted."""
    while True:
        drawn = iter(drawn_batches(file, size, task, training, steps))
        for _ in range(batches):
            next(drawn)
        started = time.perf_counter()
        for _ in range(batches):
            next(drawn)
        yield batches * training.batch_size / (time.perf_counter() - started)


def step_rates(experiment: Experiment, images: tf.Tensor, labels: dict[str, tf.Tensor]) -> Iterator[float]:
    """Images a second of one training step each."""
    keras.mixed_precision.set_global_policy(experiment.training.precision)
    size = experiment.data.image_size
    tasks = {task.name: learning_of(task, size) for task in bound_tasks(experiment)}
    model = TaskModel(experiment.model.build(input_shape=(*size, 3)), tasks, experiment.training.loss.build())
    model.compile(build_optimizer(experiment.training.optimizer, 1e-3), weighted_metrics=[])
    step = tf.function(lambda: model.train_step((images, labels))["loss"])
    float(step())  # traces
    while True:
        started = time.perf_counter()
        float(step())
        yield len(images) / (time.perf_counter() - started)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default="dml_csr/celebamask_hq-tiny", help="one of 19 classes")
    parser.add_argument("--batch", type=int, help="instead of the experiment's own")
    parser.add_argument("--batches", type=int, default=40, help="batches that a rate of the input is measured over")
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()

    experiment = experiments.get(arguments.experiment)
    data = dataclasses.replace(experiment.data, datasets=(FACES,))
    experiment = dataclasses.replace(experiment, data=data)
    (task,), size = bound_tasks(experiment), data.image_size
    batch = arguments.batch or experiment.training.batch_size
    steps = max(1, 64 // batch)
    plain = dataclasses.replace(
        experiment.training,
        epochs=1 + 2 * arguments.batches // steps,
        batch_size=batch,
        **AUGMENTATIONS["decoded only"],
    )
    with tempfile.TemporaryDirectory() as folder:
        file = transformed_faces(folder, size, task, steps * batch)
        rates = {
            name: input_rates(file, size, task, dataclasses.replace(plain, **settings), steps, arguments.batches)
            for name, settings in AUGMENTATIONS.items()
        }
        images, labels = next(iter(drawn_batches(file, size, task, plain, steps)))
        rates[STEP] = step_rates(experiment, images, labels)
        measured = {name: [] for name in rates}
        for _, name in itertools.product(range(arguments.repetitions), rates):
            measured[name].append(next(rates[name]))
    medians = {name: statistics.median(values) for name, values in measured.items()}
    print(f"{'':22}{'images/s':>9}  {'lowest to highest':18}{'x decoded only':>15}{'x training step':>16}")
    for name, values in measured.items():
        spread = f"{min(values):.4g} to {max(values):.4g}"
        ratios = medians[name] / medians["decoded only"], medians[name] / medians[STEP]
        print(f"{name:22}{medians[name]:9.4g}  {spread:18}{ratios[0]:15.3f}{ratios[1]:16.1f}")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"load {load} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()

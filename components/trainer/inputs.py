"""The training input pipeline: transformed examples to augmented batches, in an order that a restart repeats."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import sys
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from components.config import InputConfig, from_json, to_json
from components.tasks.annotation import BoundTask
from components.tasks.base import labels_of
from components.trainer.augmentation import augment
from components.trainer.sampling import draws

_SHUFFLE_BUFFER = 16_384


def training_batches(
    files: list[str],
    tasks: Sequence[BoundTask],
    image_size: tuple[int, int],
    config: InputConfig,
    steps: int,
    epochs: int | None,
    seed: int,
    first_step: int = 0,
) -> tf.data.Dataset:
    """The batches of a run from the `first_step`-th on.

    Order and augmentation follow from the seed and the position in the run: one that is stopped and continues with any
    batch sees what an unbroken run sees.

    Args:
        files: gzipped TFRecords of transformed examples, those of a split in a folder of its own. Several splits are
            mixed evenly: any stretch of an epoch has as large a share of each as the whole.
        tasks: whose labels are read.
        image_size: (H, W).
        config: the batches' size, and how their images are augmented.
        steps: batches an epoch; what is left over is drawn into other epochs.
        epochs: of the whole run; None for a run without end.
        first_step: counted from the start of the run.

    Returns:
        (image [batch, H, W, 3] uint8, labels): a dict of what `Labels` of the tasks' kinds have in a batch, by the
        tasks' names. With a teacher also "<task>_soft": [batch, N] float32, its scores, -1 = none.
    """

    def prepare(index, example):
        image, labels = parse(example, tasks, image_size)
        return augment(image, labels, tasks, config, tf.stack([tf.constant(seed, tf.int64), index]))

    splits = [
        _Split(names, _draws(names, to_json(tasks), image_size, config.repeat_threshold))
        for names in (tuple(group) for _, group in itertools.groupby(sorted(files), os.path.dirname))
    ]
    # Counting reads all: of one split nobody needs to know.
    sizes = [count_examples(split.files) for split in splits] if len(splits) > 1 else []
    first_pass, first_step = divmod(first_step, steps)

    def one_pass(number):
        """What earlier passes read is not read again: a pass is shuffled by its number, not by its predecessors."""
        # Of this function's graph alone: `shuffle` takes no tensor as its seed where the global one is 0.
        tf.compat.v1.set_random_seed(1)
        skipped = tf.where(number == first_pass, tf.constant(first_step * config.batch_size, tf.int64), 0)
        shuffled = _shuffled(splits, sizes, tf.stack([tf.constant(seed, tf.int64), number]))
        numbered = shuffled.take(steps * config.batch_size).enumerate(number * steps * config.batch_size)
        return numbered.skip(skipped)

    passes = tf.data.Dataset.counter(first_pass)
    return (
        (passes if epochs is None else passes.take(epochs - first_pass))
        .flat_map(one_pass)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(config.batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def _shuffled(splits, sizes, seed):
    """The examples of a pass in an order that follows from the seed, [2] int64; splits are mixed by their sizes."""
    if not sizes:
        return splits[0].shuffled(seed, _SHUFFLE_BUFFER)
    streams = []
    for number, (split, size) in enumerate(zip(splits, sizes, strict=True)):
        # All buffers together are as large as that of a single split.
        buffer = max(1, _SHUFFLE_BUFFER * size // max(1, sum(sizes)))
        own_seed = tf.random.experimental.stateless_fold_in(seed, number)
        streams.append(split.shuffled(own_seed, buffer))
    return tf.data.Dataset.choose_from_datasets(streams, tf.data.Dataset.from_tensor_slices(interleaving(sizes)))


@dataclasses.dataclass(frozen=True, eq=False)
class _Split:
    """The files of a split, and how often each of its examples is drawn in a pass; None for once."""

    files: tuple[str, ...]
    draws: np.ndarray | None

    def shuffled(self, seed, buffer):
        """A pass, of at least as many examples as there are, in an order that follows from the seed, [2]."""
        if self.draws is None:
            return _examples(self.files).shuffle(buffer, seed=_drawn(seed))

        # Of a fraction chance says whether it counts.
        def repeated(index, example, draws):
            drawn = tf.random.stateless_uniform([], tf.random.experimental.stateless_fold_in(seed, index))
            return tf.data.Dataset.from_tensors(example).repeat(tf.cast(tf.floor(draws + drawn), tf.int64))

        numbers = tf.data.Dataset.range(len(self.draws))
        draws = tf.data.Dataset.from_tensor_slices(self.draws.astype(np.float32))
        drawn = tf.data.Dataset.zip((numbers, _examples(self.files), draws)).flat_map(repeated)
        # Chance may also make a pass a few short: what is missing comes from another.
        return drawn.shuffle(buffer, seed=_drawn(seed)).repeat(2)


@functools.cache
def _draws(files, tasks, image_size, threshold):
    """`sampling.draws` of the examples in stored order; None for a threshold of 0. `tasks` as JSON, to be hashed."""
    if not threshold:
        return None
    print("  Looking for images of rare classes in the training split.", file=sys.stderr, flush=True)
    tasks = from_json(tasks)
    kinds = [labels_of(task.name, task.annotation) for task in tasks]

    def shown(example):
        _, labels = parse(example, tasks, image_size)
        return tf.concat([kind.shown(labels[kind.name]) for kind in kinds], axis=0)

    of_examples = _examples(files).map(shown, num_parallel_calls=tf.data.AUTOTUNE)
    return draws(np.array(list(of_examples.as_numpy_iterator())), threshold)


def _drawn(seed):
    """One number from a seed [2], for what takes one."""
    return tf.random.stateless_uniform([], seed, maxval=2**31, dtype=tf.int64)


def interleaving(sizes: Sequence[int]) -> np.ndarray:
    """Which split each of sum(sizes) examples is from, so that splits of these sizes are spread evenly: int64."""
    places = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes])
    return np.repeat(np.arange(len(sizes)), sizes)[np.argsort(places, kind="stable")]


def evaluation_examples(files: list[str], tasks: Sequence[BoundTask], image_size: tuple[int, int]) -> tf.data.Dataset:
    """Single examples in stored order, not augmented; elements as of `training_batches` without the batch axis."""
    return _examples(files).map(lambda each: parse(each, tasks, image_size), num_parallel_calls=tf.data.AUTOTUNE)


def count_examples(files: list[str]) -> int:
    """Number of records in the files."""
    return int(_examples(files).reduce(tf.constant(0, tf.int64), lambda n, _: n + 1))


def example_images(files: list[str], count: int) -> list[bytes]:
    """The first `count` encoded images."""
    spec = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    return [tf.io.parse_single_example(e, spec)["image/encoded"].numpy() for e in _examples(files).take(count)]


def sampled_images(files: list[str], count: int) -> list[bytes]:
    """`count` of the encoded images, or all, evenly from the first to the last: lists are often sorted by class."""
    spec = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    total = count_examples(files)
    wanted = set(np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist())
    serialized = (example for index, example in enumerate(_examples(files)) if index in wanted)
    return [tf.io.parse_single_example(example, spec)["image/encoded"].numpy() for example in serialized]


def numeric_labels(files: list[str], tasks: Sequence[BoundTask]) -> dict[str, np.ndarray]:
    """The labels of a split's records by task, [N, ...], without label maps."""
    specs = {task.name: labels_of(task.name, task.annotation).parsing_spec() for task in tasks}
    spec = {name: features[name] for name, features in specs.items() if name in features}
    if not spec:
        return {}
    batches = list(_examples(files).batch(1024).map(lambda batch: tf.io.parse_example(batch, spec)).as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in batches]) for name in spec}


def _examples(files):
    return tf.data.TFRecordDataset(sorted(files), compression_type="GZIP")


def parse(
    example: tf.Tensor, tasks: Sequence[BoundTask], image_size: tuple[int, int]
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """One serialized transformed example to (image [H, W, 3] uint8, labels): elements as of `training_batches`."""
    of_tasks = [labels_of(task.name, task.annotation) for task in tasks]
    spec = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    for task, labels in zip(tasks, of_tasks, strict=True):
        spec |= labels.parsing_spec()
        if task.taught:
            spec[f"{task.name}/soft"] = tf.io.FixedLenFeature([len(task.names)], tf.float32)
    features = tf.io.parse_single_example(example, spec)
    # The accurate transform: what training sees is then as near to what serving decodes as Transform's JPEG allows.
    image = tf.io.decode_jpeg(features["image/encoded"], channels=3, dct_method="INTEGER_ACCURATE")
    parsed = {name: value for labels in of_tasks for name, value in labels.parse(features, image_size).items()}
    parsed |= {f"{task.name}_soft": features[f"{task.name}/soft"] for task in tasks if task.taught}
    return tf.ensure_shape(image, [*image_size, 3]), parsed

"""How fast FacesExampleGen and Transform are, against a plain loop in one process that does the same to each image.

    .venv/bin/python -m tests.benchmarks.ingestion ../shared/data/celeba
    .venv/bin/python -m tests.benchmarks.ingestion ../shared/data/celeba --limit 5000 --size 96
    .venv/bin/python -m tests.benchmarks.ingestion ../shared/data/celeba --limit 2000 --times 16
    .venv/bin/python -m tests.benchmarks.ingestion ../shared/data/celeba --profile ingestion.prof

The loop (Pillow) reads, decodes, resizes, encodes as JPEG 95 and writes gzipped TFRecords with the labels. It checks no
label, keeps no original and counts nothing. Both run here, one after the other, on the first images of the lists;
both write the train split alone. Beam runs as in pipeline/local_runner.py; other Beam options may follow.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import io
import os
import resource
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from google.protobuf import text_format  # noqa: E402
from PIL import Image  # noqa: E402
from tfx.components import Transform  # noqa: E402
from tfx.components.transform.executor import Executor as TransformExecutor  # noqa: E402
from tfx.proto import transform_pb2  # noqa: E402
from tfx.types import artifact_utils, channel_utils, standard_artifacts  # noqa: E402
from tfx.types.experimental import simple_artifacts  # noqa: E402

from components.config import Data, DatasetConfig, Task, to_json  # noqa: E402
from components.datasets.binding import bind  # noqa: E402
from components.example_gen import FacesExampleGen  # noqa: E402
from components.example_gen.executor import Executor as ExampleGenExecutor  # noqa: E402
from components.record import FaceRecord  # noqa: E402
from components.schema_gen.executor import record_schema  # noqa: E402

_ATTRIBUTES, _PARTITION, _IMAGES = "list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba"


def cut(source: Path, target: Path, limit: int, times: int = 1) -> int:
    """A CelebA folder with the first `limit` images of `source`, all in train, each `times` times. Returns how many."""
    count, header, *rows = (source / _ATTRIBUTES).read_text().splitlines()
    rows = rows[: min(limit, int(count))]
    names = [row.split()[0] for row in rows]
    (target / _IMAGES).mkdir(parents=True)
    for name in names:
        shutil.copy(source / _IMAGES / name, target / _IMAGES / name)
    once = list(zip(names, rows, strict=True))
    for number in range(1, times):
        for name, row in once:
            names.append(f"{number}_{name}")
            rows.append(row.replace(name, names[-1], 1))
            os.link(target / _IMAGES / name, target / _IMAGES / names[-1])
    (target / _ATTRIBUTES).write_text("\n".join([str(len(rows)), header, *rows]) + "\n")
    (target / _PARTITION).write_text("".join(f"{name} 0\n" for name in names))
    return len(rows)


def plain_loop(source: Path, file: Path, size: tuple[int, int]) -> None:
    """One process, one image after another."""
    attributes = [row.split() for row in (source / _ATTRIBUTES).read_text().splitlines()[2:]]
    options = tf.io.TFRecordOptions("GZIP")
    with tf.io.TFRecordWriter(str(file), options) as writer:
        for name, *labels in attributes:
            with Image.open(source / _IMAGES / name) as image:
                resized = image.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR)
            encoded = io.BytesIO()
            resized.save(encoded, "JPEG", quality=95)
            attributes = [int(label == "1") for label in labels]
            record = FaceRecord(name, "celeb_a", encoded.getvalue(), {"attributes": attributes})
            writer.write(record.to_example().SerializeToString())


def pipeline_steps(source: Path, scratch: Path, data: Data, beam_args: list[str]) -> dict[str, np.ndarray]:
    """[seconds, CPU seconds] of each component's executor."""
    examples = _artifact(standard_artifacts.Examples, scratch / "examples")
    ingestion = _artifact(simple_artifacts.Metrics, scratch / "ingestion")
    example_gen = FacesExampleGen(data.datasets, str(source), fingerprint="", code_version="")
    times = {}
    with _timed(times, "FacesExampleGen"):
        ExampleGenExecutor(ExampleGenExecutor.Context(beam_pipeline_args=beam_args)).Do(
            {}, {"examples": [examples], "ingestion": [ingestion]}, example_gen.exec_properties
        )

    schema = _artifact(standard_artifacts.Schema, scratch / "schema")
    Path(schema.uri, "schema.pbtxt").write_text(text_format.MessageToString(record_schema(data)))
    transform = Transform(
        examples=channel_utils.as_channel([examples]),
        schema=channel_utils.as_channel([schema]),
        preprocessing_fn="components.preprocessing.transform.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train"]),
        custom_config={
            "tasks": to_json((bind(data, Task("attributes", "multi_label")),)),
            "image_size": list(data.image_size),
        },
        disable_statistics=True,
        disable_analyzer_cache=True,
    )
    outputs = {name: [_artifact(channel.type, scratch / name)] for name, channel in transform.outputs.items()}
    with _timed(times, "Transform"):
        TransformExecutor(TransformExecutor.Context(beam_pipeline_args=beam_args)).Do(
            {"examples": [examples], "schema": [schema]}, outputs, transform.exec_properties
        )
    assert _count(examples) == _count(outputs["transformed_examples"][0]) == _lines(source)
    return times


@contextlib.contextmanager
def _timed(times: dict[str, np.ndarray], name: str):
    started = _now()
    yield
    times[name] = _now() - started


def _now() -> np.ndarray:
    return np.array([time.perf_counter(), sum(os.times()[:4])])


def _artifact(kind, folder: Path):
    folder.mkdir(parents=True)
    artifact = kind()
    artifact.uri = str(folder)
    return artifact


def _count(examples) -> int:
    files = tf.io.gfile.glob(os.path.join(artifact_utils.get_split_uri([examples], "train"), "*"))
    return sum(1 for _ in tf.data.TFRecordDataset(files, "GZIP"))


def _lines(source: Path) -> int:
    return len((source / _PARTITION).read_text().splitlines())


def main() -> None:
    """Reads the command line; what it doesn't know is for Beam."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="CelebA's official files, the images unpacked")
    parser.add_argument("--limit", type=int, default=2000, help="so many images")
    parser.add_argument("--times", type=int, default=1, help="read each so many times: what memory does")
    parser.add_argument("--size", type=int, default=224, help="height and width that images are brought to")
    parser.add_argument("--profile", type=Path, help="write the executors' cProfile statistics there")
    options, beam_args = parser.parse_known_args()
    sys.argv = sys.argv[:1]  # TFX's executors read the command line, too
    data = Data((DatasetConfig("celeb_a", {"landmarks": False}),), (options.size, options.size))
    bind(data, Task("attributes", "multi_label"))  # imported before anything is timed

    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "celeba")
        count = cut(options.folder, source, options.limit, options.times)
        times = {}
        with _timed(times, "plain loop"):
            plain_loop(source, Path(scratch, "plain.gz"), data.image_size)
        with cProfile.Profile() if options.profile else contextlib.nullcontext() as profile:
            steps = pipeline_steps(source, Path(scratch), data, beam_args)
    if profile:
        profile.dump_stats(options.profile)

    times.update(steps, pipeline=sum(steps.values()))
    print(f"{'':18}{'images/s':>10}{'seconds':>10}{'CPU s':>10}")
    for name, (seconds, cpu) in times.items():
        print(f"{name:18}{count / seconds:10.1f}{seconds:10.1f}{cpu:10.1f}")
    ratio = times["pipeline"] / times["plain loop"]
    print(f"The pipeline takes {ratio[0]:.2f} times as long as the loop, and {ratio[1]:.2f} times its CPU time.")
    print(
        f"{count} images to {options.size} x {options.size}; {os.cpu_count()} CPUs, load {load:.1f} before and "
        f"{os.getloadavg()[0]:.1f} after; peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB"
    )


if __name__ == "__main__":
    main()

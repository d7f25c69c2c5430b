"""All Beam steps on several runners: the same records, the same figures of one model, seconds side by side.

    .venv/bin/python -m tests.benchmarks.beam_runners
    .venv/bin/python -m tests.benchmarks.beam_runners --flink out/flink/job-server.jar --images 2000

Each runner reads a table of drawn faces, one of which is damaged and one has 20 megapixels, finds their landmarks,
describes and transforms them, evaluates the model that the first one trained, asks it for soft labels, and for answers
for photographs. On one machine an engine only costs; what this shows is that nothing depends on where it runs.
`make flink` makes the jar; `make cluster` does the same on a standalone cluster (tests/flink/cluster.py).
"""

from __future__ import annotations

import argparse
import csv
import glob
import itertools
import json
import os
import pathlib
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import tensorflow as tf  # noqa: E402
from PIL import Image  # noqa: E402
from tfx.components.evaluator.executor import Executor as Evaluator  # noqa: E402
from tfx.dsl.components.base.base_node import BaseNode  # noqa: E402
from tfx.orchestration.local.local_dag_runner import LocalDagRunner  # noqa: E402
from tfx.orchestration.pipeline import Pipeline, RunOptions  # noqa: E402
from tfx.types import artifact_utils, channel_utils, standard_artifacts  # noqa: E402
from tfx.types.experimental import simple_artifacts  # noqa: E402

from components.config import Bar, Data, DatasetConfig, Experiment, Task, Teacher, configured  # noqa: E402
from components.datasets import build_dataset  # noqa: E402
from components.datasets.binding import bound_tasks  # noqa: E402
from components.evaluator.results import Evaluation, read_evaluation  # noqa: E402
from components.soft_labels.component import SoftLabeler  # noqa: E402
from components.soft_labels.executor import Executor as SoftLabelerExecutor  # noqa: E402
from pipeline import experiments, local_runner, predict  # noqa: E402
from pipeline.console import ComponentProgress  # noqa: E402
from pipeline.experiments.plain import TRAINING  # noqa: E402
from pipeline.experiments.registry import REGISTERED  # noqa: E402
from pipeline.request import read_request  # noqa: E402

NAME = "benchmarks/beam"
DIRECT = "direct"
PROCESSES = "--direct_running_mode=multi_processing --direct_num_workers=2"
TOLERANCE = 1e-6
SPLITS = ("train", "validation", "test")
PHOTOGRAPHS = 64


def write_table(folder: str, images: int) -> tuple[str, ...]:
    """Drawn faces as a user would bring them, a damaged and a very large image among them -> the labels' names."""
    numbers = {"num_train": images, "num_validation": 100, "num_test": max(images // 4, 64)}
    faces = build_dataset(DatasetConfig("synthetic_faces", {**numbers, "image_size": 64}), None)
    names = faces.annotations["attributes"].names
    os.makedirs(f"{folder}/images")
    with open(f"{folder}/labels.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "split", *names])
        for number, reference in enumerate(faces.references()):
            record, image = faces.load(reference), f"{number:06}.png"
            pathlib.Path(folder, "images", image).write_bytes(record.image)
            table.writerow([image, reference.split, *record.labels["attributes"]])
        table.writerow(["damaged.png", "train", *[0] * len(names)])
        table.writerow(["large.png", "train", *[0] * len(names)])
    pathlib.Path(folder, "images", "damaged.png").write_bytes(record.image[: len(record.image) // 2])
    Image.linear_gradient("L").resize((5000, 4000)).save(f"{folder}/images/large.png", compress_level=1)
    return names


def experiment(names: tuple[str, ...]) -> Experiment:
    """A small network on that table, which gives probabilities, as teachers do; landmarks by dlib."""
    options = {"images": "images", "yes_no": {"attributes": list(names)}, "split": "split"}
    return Experiment(
        summary="A small network, to try Beam's runners.",
        target="",
        data=Data((DatasetConfig("table", options),), image_size=(32, 32), annotate_landmarks="landmarks"),
        tasks=(Task("attributes", "multi_label", {"scores": "probabilities"}, Bar("mean_accuracy", at_least=1e-6)),),
        model=configured("keras_models.ThinVGG16", width=4, num_tasks=len(names), outputs={"attributes": len(names)}),
        training=replace(TRAINING, epochs=1, batch_size=16, precision="float32"),
    )


def pipeline_of(output: str, table: str, beam_args: str) -> Pipeline:
    """The experiment's."""
    asked = {"EXPERIMENT": NAME, "OUTPUT_DIR": output, "DATA_DIR": table, "BEAM_ARGS": beam_args}
    return local_runner.local_pipeline(read_request(asked))


def node_of(pipeline: Pipeline, kind: str) -> BaseNode:
    """The node whose id begins with `kind`."""
    return next(node for node in pipeline.components if node.id.startswith(kind))


def run(pipeline: Pipeline, last: str) -> dict[str, float]:
    """Runs the nodes up to `last` -> the seconds that each took."""
    with ComponentProgress(pipeline) as progress:
        LocalDagRunner().run(pipeline, RunOptions(to_nodes=[node_of(pipeline, last).id]))
    return {node: 60 * minutes for node, minutes in progress.minutes.items()}


def made(output: str, node: str, kind, splits=()):
    """What a node left under an output folder, as an artifact."""
    artifact = kind()
    (artifact.uri,) = glob.glob(f"{output}/pipeline/{node}/*")
    if splits:
        artifact.split_names = artifact_utils.encode_split_names(list(splits))
    return artifact


def evaluate(folder: str, trained: str, pipeline: Pipeline) -> Evaluation:
    """Evaluates the model under `trained` where the pipeline's Beam steps run."""
    inputs = {
        "examples": [made(trained, "LandmarkAnnotator/annotated_examples", standard_artifacts.Examples, ["test"])],
        "schema": [made(trained, "RecordSchemaGen/schema", standard_artifacts.Schema)],
        "model": [made(trained, "Trainer-*/model", standard_artifacts.Model)],
    }
    outputs = {"evaluation": [standard_artifacts.ModelEvaluation()], "blessing": [standard_artifacts.ModelBlessing()]}
    for name, (artifact,) in outputs.items():
        artifact.uri = os.path.join(folder, name)
    context = Evaluator.Context(beam_pipeline_args=pipeline.beam_pipeline_args, tmp_dir=folder, unique_id="1")
    Evaluator(context).Do(inputs, outputs, node_of(pipeline, "Evaluator-").exec_properties)
    return read_evaluation(outputs["evaluation"][0].uri, bound_tasks(experiments.get(NAME)))


def label_softly(folder: str, trained: str, pipeline: Pipeline) -> list[bytes]:
    """Every second training record without its attributes, which the model under `trained` answers for -> records."""
    examples, labelled = standard_artifacts.Examples(), standard_artifacts.Examples()
    counts = simple_artifacts.Metrics()
    for name, artifact in (("in", examples), ("out", labelled), ("counts", counts)):
        artifact.uri = os.path.join(folder, name)
    examples.split_names = artifact_utils.encode_split_names(["train"])
    os.makedirs(f"{folder}/in/Split-train")
    with tf.io.TFRecordWriter(f"{folder}/in/Split-train/data_tfrecord-00000-of-00001.gz", "GZIP") as writer:
        for number, record in enumerate(records(trained, "FacesExampleGen", "train")):
            example = tf.train.Example.FromString(record)
            if number % 2:
                del example.features.feature["attributes"]
            writer.write(example.SerializeToString(deterministic=True))
    teacher = made(trained, "Trainer-*/model", standard_artifacts.Model)
    labeler = SoftLabeler(
        examples=channel_utils.as_channel([examples]),
        teachers=(Teacher("attributes", NAME),),
        models={"attributes": channel_utils.as_channel([teacher])},
        lengths={"attributes": len(_attributes().names)},
        splits=["train"],
        code_version="",
    )
    context = SoftLabelerExecutor.Context(beam_pipeline_args=pipeline.beam_pipeline_args, tmp_dir=folder, unique_id="1")
    SoftLabelerExecutor(context).Do(
        {"examples": [examples], "attributes_teacher": [teacher]},
        {"labelled_examples": [labelled], "counts": [counts]},
        labeler.exec_properties,
    )
    return _records(f"{folder}/out/Split-train/*")


def answer(folder: str, trained: str, table: str, beam_args: str) -> pd.DataFrame:
    """What the model under `trained` says of the first images, the damaged and the large one."""
    (model,) = glob.glob(f"{trained}/pipeline/Trainer-*/model/*")
    images = sorted(glob.glob(f"{table}/images/0*"))[:PHOTOGRAPHS] + glob.glob(f"{table}/images/[dl]*")
    out = f"{folder}/answers.csv"
    predict.main([*images, "--model", f"{model}/Format-Serving", "--out", out, "--as-is", f"--beam={beam_args}"])
    return pd.read_csv(out)


def records(output: str, node: str, split: str) -> list[bytes]:
    """Of a node's examples, in an order that doesn't depend on shards."""
    return _records(f"{output}/pipeline/{node}/*examples/*/Split-{split}/*")


def _records(pattern):
    return sorted(example.numpy() for example in tf.data.TFRecordDataset(sorted(glob.glob(pattern)), "GZIP"))


def _attributes():
    return next(task for task in bound_tasks(experiments.get(NAME)) if task.name == "attributes")


def differences(expected: Evaluation, found: Evaluation) -> list[str]:
    """The values that are further apart than TOLERANCE, by task and metric."""
    return [
        " ".join(key[:2])
        for key, value in expected.values.items()
        if not np.allclose(found.values[key], value, rtol=0, atol=TOLERANCE, equal_nan=True)
    ]


def soft_scores_agree(expected: list[bytes], found: list[bytes]) -> bool:
    """Whether the same records have the same labels, and soft ones within TOLERANCE: batches are others elsewhere."""

    def parted(record):
        example = tf.train.Example.FromString(record)
        soft = example.features.feature.pop("attributes/soft", None)
        return example.SerializeToString(deterministic=True), soft.float_list.value if soft else []

    pairs = zip(*(sorted(map(parted, each), key=lambda pair: pair[0]) for each in (expected, found)), strict=True)
    return all(a == b and len(x) == len(y) and np.allclose(x, y, rtol=0, atol=TOLERANCE) for (a, x), (b, y) in pairs)


def answers_agree(expected: pd.DataFrame, found: pd.DataFrame) -> bool:
    """Whether two tables of answers are alike, numbers within TOLERANCE."""
    try:
        pd.testing.assert_frame_equal(expected, found, rtol=0, atol=TOLERANCE)
    except AssertionError:
        return False
    return True


def _timed(seconds: dict[str, float], what: str, step: Callable, *arguments):
    start = time.perf_counter()
    result = step(*arguments)
    seconds[what] = time.perf_counter() - start
    return result


def compare(runners: Mapping[str, str], images: int) -> bool:
    """Runs everything on every runner and prints seconds and what differs.

    Args:
        runners: Beam's arguments by what the runner is called; DIRECT comes first.
        images: drawn faces to train on.

    Returns:
        Whether all agree.
    """
    experiments.names()
    with tempfile.TemporaryDirectory() as folder:
        table = f"{folder}/table"
        REGISTERED[NAME] = experiment(write_table(table, images))
        seconds, found, labelled, answers = {}, {}, {}, {}
        for name, beam_args in runners.items():
            print(f"== {name}", file=sys.stderr)
            output, trained = f"{folder}/{name}", f"{folder}/{DIRECT}"
            pipeline = pipeline_of(output, table, beam_args)
            seconds[name] = taken = run(pipeline, "Trainer-" if name == DIRECT else "Transform")
            found[name] = _timed(taken, "Evaluator", evaluate, f"{output}/evaluated", trained, pipeline)
            labelled[name] = _timed(taken, "SoftLabeler", label_softly, f"{output}/soft", trained, pipeline)
            answers[name] = _timed(taken, "make predict", answer, output, trained, table, beam_args)
        quarantine = [_quarantined(f"{folder}/{name}") for name in runners]
        nodes = [node for node in seconds[DIRECT] if not node.startswith("Trainer-")]
        print(f"{'seconds':20}{''.join(f'{name:>12}' for name in runners)}")
        for node in nodes:
            print(f"{node:20}{''.join(f'{seconds[name][node]:12.1f}' for name in runners)}")
        print(f"quarantined: {'; '.join(quarantine[0])}")
        right = True
        for name, put_aside in zip(runners, quarantine, strict=True):
            apart = differences(found[DIRECT], found[name]) + [
                f"{split} of {node}"
                for node, split in itertools.product(("FacesExampleGen", "LandmarkAnnotator"), SPLITS)
                if records(f"{folder}/{name}", node, split) != records(f"{folder}/{DIRECT}", node, split)
            ]
            checks = {
                f"records the same byte for byte, figures within {TOLERANCE}": not apart,
                "the same in quarantine": put_aside == quarantine[0],
                f"soft labels within {TOLERANCE}": soft_scores_agree(labelled[DIRECT], labelled[name]),
                f"answers within {TOLERANCE}": answers_agree(answers[DIRECT], answers[name]),
            }
            print(f"{name}: {'; '.join(what if true else f'NOT {what}' for what, true in checks.items())}", *apart)
            right &= all(checks.values())
    return right


def _quarantined(output):
    rows = [
        json.loads(line)
        for file in glob.glob(f"{output}/pipeline/FacesExampleGen/ingestion/*/quarantine*")
        for line in pathlib.Path(file).read_text().splitlines()
    ]
    return sorted(f"{row['id']}: {row['reason']}" for row in rows)


def flink(jar: str) -> str:
    """Arguments for the Flink in Beam's job server."""
    return f"--runner=FlinkRunner --flink_job_server_jar={os.path.abspath(jar)} --parallelism=2"


def main() -> None:
    """Runs and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flink", metavar="JAR", help="Beam's Flink job server; with it FlinkRunner runs, too")
    parser.add_argument("--images", type=int, default=400, help="drawn faces to train on; default 400")
    asked = parser.parse_args()
    runners = {DIRECT: "", "processes": PROCESSES, **({"Flink": flink(asked.flink)} if asked.flink else {})}
    sys.exit(not compare(runners, asked.images))


if __name__ == "__main__":
    main()

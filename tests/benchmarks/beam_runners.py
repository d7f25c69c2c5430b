"""The pipeline's Beam steps on several runners: the same records, the same figures of one model, seconds side by side.

    .venv/bin/python -m tests.benchmarks.beam_runners
    .venv/bin/python -m tests.benchmarks.beam_runners --flink out/flink/job-server.jar --images 2000

Each runner reads, describes and transforms the same drawn faces and evaluates the model that the first one trained. On
one machine an engine only costs; what this shows is that nothing depends on where it runs. `make flink` makes the jar.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import sys
import tempfile
import time
import warnings
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tfx.components.evaluator.executor import Executor as Evaluator  # noqa: E402
from tfx.dsl.components.base.base_node import BaseNode  # noqa: E402
from tfx.orchestration.local.local_dag_runner import LocalDagRunner  # noqa: E402
from tfx.orchestration.pipeline import Pipeline, RunOptions  # noqa: E402
from tfx.types import standard_artifacts  # noqa: E402

from components.config import DatasetConfig  # noqa: E402
from components.datasets.binding import bound_tasks  # noqa: E402
from components.evaluator.results import Evaluation, read_evaluation  # noqa: E402
from pipeline import experiments, local_runner  # noqa: E402
from pipeline.console import ComponentProgress  # noqa: E402
from pipeline.experiments.registry import REGISTERED  # noqa: E402
from pipeline.request import read_request  # noqa: E402
from tests.support.pipeline_runs import dmm_cnn, with_low_bars  # noqa: E402

NAME = "benchmarks/beam"
DIRECT = "direct"
PROCESSES = "--direct_running_mode=multi_processing --direct_num_workers=2"
TOLERANCE = 1e-6


def experiment(images: int):
    """A small DMM-CNN on drawn faces."""
    small = dmm_cnn()
    faces = DatasetConfig("synthetic_faces", {"num_train": images, "num_validation": 100, "num_test": images // 4})
    return replace(small, data=replace(small.data, datasets=(faces,)), tasks=with_low_bars(small.tasks))


def pipeline_of(output: str, beam_args: str) -> Pipeline:
    """The experiment's."""
    return local_runner.local_pipeline(read_request({"EXPERIMENT": NAME, "OUTPUT_DIR": output, "BEAM_ARGS": beam_args}))


def node_of(pipeline: Pipeline, kind: str) -> BaseNode:
    """The node whose id begins with `kind`."""
    return next(node for node in pipeline.components if node.id.startswith(kind))


def run(pipeline: Pipeline, last: str) -> dict[str, float]:
    """Runs the nodes up to `last` -> the seconds that each took."""
    with ComponentProgress(pipeline) as progress:
        LocalDagRunner().run(pipeline, RunOptions(to_nodes=[node_of(pipeline, last).id]))
    return {node: 60 * minutes for node, minutes in progress.minutes.items()}


def evaluate(folder: str, trained: str, beam_args: str) -> tuple[float, Evaluation]:
    """Evaluates the model under `trained` -> the seconds that it took, and what was found."""
    pipeline = pipeline_of(trained, beam_args)
    properties = node_of(pipeline, "Evaluator-").exec_properties
    inputs = {}
    for name, kind, place in (
        ("examples", standard_artifacts.Examples, "FacesExampleGen/examples"),
        ("schema", standard_artifacts.Schema, "RecordSchemaGen/schema"),
        ("model", standard_artifacts.Model, "Trainer-*/model"),
    ):
        inputs[name] = [kind()]
        (inputs[name][0].uri,) = glob.glob(f"{trained}/pipeline/{place}/*")
    inputs["examples"][0].split_names = json.dumps(["test"])
    outputs = {"evaluation": [standard_artifacts.ModelEvaluation()], "blessing": [standard_artifacts.ModelBlessing()]}
    for name, (artifact,) in outputs.items():
        artifact.uri = os.path.join(folder, name)
    context = Evaluator.Context(beam_pipeline_args=pipeline.beam_pipeline_args, tmp_dir=folder, unique_id="1")
    start = time.perf_counter()
    Evaluator(context).Do(inputs, outputs, properties)
    return time.perf_counter() - start, read_evaluation(
        outputs["evaluation"][0].uri, bound_tasks(experiments.get(NAME))
    )


def records(output: str, node: str, split: str) -> list[bytes]:
    """Of a node's examples, in an order that doesn't depend on shards."""
    files = sorted(glob.glob(f"{output}/pipeline/{node}/*examples/*/Split-{split}/*"))
    return sorted(example.numpy() for example in tf.data.TFRecordDataset(files, "GZIP"))


def differences(expected: Evaluation, found: Evaluation) -> list[str]:
    """The values that are further apart than TOLERANCE, by task and metric."""
    return [
        " ".join(key[:2])
        for key, value in expected.values.items()
        if not np.allclose(found.values[key], value, rtol=0, atol=TOLERANCE, equal_nan=True)
    ]


def main() -> None:
    """Runs and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flink", metavar="JAR", help="Beam's Flink job server; with it FlinkRunner runs, too")
    parser.add_argument("--images", type=int, default=400, help="drawn faces to train on; default 400")
    asked = parser.parse_args()
    runners = {DIRECT: "", "processes": PROCESSES}
    if asked.flink:
        jar = os.path.abspath(asked.flink)
        runners["Flink"] = f"--runner=FlinkRunner --flink_job_server_jar={jar} --parallelism=2"
    experiments.names()
    REGISTERED[NAME] = experiment(asked.images)
    with tempfile.TemporaryDirectory() as folder:
        outputs = {name: os.path.join(folder, name) for name in runners}
        seconds, found = {}, {}
        for name, beam_args in runners.items():
            print(f"== {name}", file=sys.stderr)
            last = "Trainer-" if name == DIRECT else "Transform"
            seconds[name] = run(pipeline_of(outputs[name], beam_args), last)
            seconds[name]["Evaluator"], found[name] = evaluate(f"{outputs[name]}/evaluated", outputs[DIRECT], beam_args)
        print(f"{'seconds':20}{''.join(f'{name:>12}' for name in runners)}")
        for node in seconds["processes"]:
            print(f"{node:20}{''.join(f'{seconds[name][node]:12.1f}' for name in runners)}")
        failed = False
        for name in runners:
            same = all(
                records(outputs[name], "FacesExampleGen", split) == records(outputs[DIRECT], "FacesExampleGen", split)
                for split in ("train", "validation", "test")
            )
            apart = differences(found[DIRECT], found[name])
            print(f"{name}: records {'the same byte for byte' if same else 'DIFFER'}", end="; ")
            print(f"figures {'DIFFER: ' + ', '.join(apart) if apart else f'within {TOLERANCE}'}")
            failed |= bool(apart) or not same
    sys.exit(int(failed))


if __name__ == "__main__":
    main()

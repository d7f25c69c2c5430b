"""Tasks by hand, and runs of TFX's Evaluator on examples and models that tests made."""

import json
import pathlib

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.evaluator.executor import Executor
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from components.config import Task
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.base import labels_of

_EVERY_RECORD = pathlib.Path(__file__).parents[3] / "schemas" / "face_record.pbtxt"


def bound(name, kind, names, bar=None, merged_parts=None, **options):
    """A task with its annotation."""
    return BoundTask(Task(name, kind, options, bar), Annotation(kind, tuple(names), merged_parts or {}), "by_hand")


def _artifact(kind, path):
    path.mkdir(parents=True, exist_ok=True)
    artifact = kind()
    artifact.uri = str(path)
    return artifact


def write_examples(root, splits):
    """Serialized examples, by split a list of shards -> Examples artifact."""
    for split, shards in splits.items():
        folder = root / f"Split-{split}"
        folder.mkdir()
        for number, shard in enumerate(shards):
            with tf.io.TFRecordWriter(f"{folder}/data-{number:05}-of-{len(shards):05}.gz", "GZIP") as writer:
                for example in shard:
                    writer.write(example)
    artifact = _artifact(standard_artifacts.Examples, root)
    artifact.split_names = json.dumps(list(splits))
    return artifact


def write_model(root, module, signatures):
    """tf.Module -> Model artifact."""
    artifact = _artifact(standard_artifacts.Model, root)
    tf.saved_model.save(module, f"{artifact.uri}/Format-Serving", signatures=signatures)
    return artifact


def _schema(folder, tasks):
    """What every record has and the tasks' labels -> Schema artifact."""
    artifact = _artifact(standard_artifacts.Schema, folder)
    schema = text_format.Parse(_EVERY_RECORD.read_text(), schema_pb2.Schema())
    schema.feature.extend(labels_of(task.name, task.annotation).schema() for task in tasks)
    (folder / "schema.pbtxt").write_text(text_format.MessageToString(schema))
    return artifact


def run_evaluator(root, examples, tasks, splits, model, config, baseline=None):
    """-> uri of the evaluation, and whether the blessing that Pusher looks at was given.

    Args:
        tasks: those that the examples have labels of.
    """
    evaluation = _artifact(standard_artifacts.ModelEvaluation, root / "evaluation")
    blessing = _artifact(standard_artifacts.ModelBlessing, root / "blessing")
    schema = _schema(root / "schema", tasks)
    inputs = {"examples": [examples], "model": [model], "schema": [schema]}
    if baseline:
        inputs["baseline_model"] = [baseline]
    properties = {
        "eval_config": proto_utils.proto_to_json(config),
        "example_splits": json.dumps(splits),
        "module_path": "components.evaluator.slicing",
    }
    Executor().Do(inputs, {"evaluation": [evaluation], "blessing": [blessing]}, properties)
    return evaluation.uri, (root / "blessing" / "BLESSED").exists()

"""Labels records with teachers' predictions, with Beam, and writes the records and the counts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler, RunInference
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils
from tfx_bsl.public.beam.run_inference import CreateModelHandler
from tfx_bsl.public.proto import model_spec_pb2

from components.beam_progress import ShowProgress
from components.config import Teacher, from_json
from components.example_files import ReadSplits, WriteSplits, copy_format, count_records, split_files
from components.images.status import STATUS, WORDS, Status

COUNTS_FILE = "soft_labels.json"
LABELLED, ANNOTATED = OUTCOMES = ("labelled", "annotated")

SIGNATURE = "from_examples"
# Always the same, so that a run repeated gives the same scores to the last bit; Beam's own batches grow with the speed
# of the machine, to thousands of images.
BATCH_SIZE = 64


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor of SoftLabeler."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:
        """Writes the splits and the counts; component.py says what they are and when this fails."""
        self._log_startup(input_dict, output_dict, exec_properties)
        source = artifact_utils.get_single_instance(input_dict["examples"])
        target = artifact_utils.get_single_instance(output_dict["labelled_examples"])
        counts_file = os.path.join(artifact_utils.get_single_uri(output_dict["counts"]), COUNTS_FILE)
        copy_format(source, target)
        taught = json.loads(exec_properties["splits"])
        lengths = json.loads(exec_properties["lengths"])
        handlers = {
            teacher.task: SoftLabels(teacher, _saved_model(teacher, input_dict), lengths[teacher.task])
            for teacher in from_json(exec_properties["teachers"])
        }

        for split in artifact_utils.decode_split_names(source.split_names):
            if split not in taught:
                folders = (artifact_utils.get_split_uri([artifact], split) for artifact in (source, target))
                io_utils.copy_dir(*folders)
        files = split_files(source, taught)
        there = {split: count_records(files[split]) for split in taught}
        with (
            ShowProgress("Soft labels", sum(there.values()), unit="images") as progress,
            self._make_beam_pipeline() as pipeline,
        ):
            records = pipeline | ReadSplits(files)
            for label, handler in handlers.items():
                records |= f"Ask[{label}]" >> RunInference(handler).with_output_types(tuple[str, bytes])
            records |= progress.count()
            _ = records | WriteSplits(target, taught)
            _ = (
                records
                | "Outcomes" >> beam.FlatMap(outcomes, list(handlers))
                | beam.combiners.Count.PerElement()
                | beam.combiners.ToDict()
                | "WriteCounts" >> beam.Map(_write_counts, taught, list(handlers), counts_file)
            )
        with tf.io.gfile.GFile(counts_file) as file:
            counts = json.load(file)
        check_counts(counts, there)
        print(counts_summary(counts), file=sys.stderr, flush=True)


class SoftLabels(ModelHandler):
    """(split, serialized tf.Example) -> the pair, in its place, with a teacher's scores if it lacks the label.

    The scores become the feature "<label>/soft". All else is TFX's in-process inference.

    Args:
        teacher: who answers for what.
        saved_model: its folder.
        length: how many scores a record gets.

    Raises:
        ValueError: if the model has no such output for records, or, when asked, it answers with other than `length`
            scores in [0, 1].
    """

    def __init__(self, teacher: Teacher, saved_model: str, length: int):
        super().__init__()
        check_signature(teacher, saved_model)
        spec = model_spec_pb2.SavedModelSpec(model_path=saved_model, signature_name=[SIGNATURE])
        self._model = CreateModelHandler(model_spec_pb2.InferenceSpecType(saved_model_spec=spec))
        self._teacher = teacher
        self._length = length

    def load_model(self):
        """Once for each worker."""
        return self._model.load_model()

    def batch_elements_kwargs(self) -> Mapping[str, int]:
        """BATCH_SIZE records, those that need no label among them."""
        return {"min_batch_size": BATCH_SIZE, "max_batch_size": BATCH_SIZE}

    def run_inference(self, batch: Sequence[tuple[str, bytes]], model, inference_args=None):
        label = self._teacher.task
        examples = [tf.train.Example.FromString(record) for _, record in batch]
        lacking = [index for index, example in enumerate(examples) if not has_label(example, label)]
        result = list(batch)
        if lacking:
            logs = self._model.run_inference([batch[index][1] for index in lacking], model)
            for index, log in zip(lacking, logs, strict=True):
                answers = log.predict_log.response.outputs
                if STATUS in answers and (status := int(tf.make_ndarray(answers[STATUS])[0])):
                    raise ValueError(
                        f"{self._teacher.experiment!r} can't answer for a record: {WORDS[Status(status)]}."
                    )
                scores = tf.make_ndarray(answers[label])[0]
                self._check(scores)
                examples[index].features.feature[f"{label}/soft"].float_list.value[:] = scores
                result[index] = batch[index][0], examples[index].SerializeToString(deterministic=True)
        return result

    def get_num_bytes(self, batch: Sequence[tuple[str, bytes]]) -> int:
        """Of the records."""
        return sum(len(record) for _, record in batch)

    def _check(self, scores: np.ndarray) -> None:
        label, experiment = self._teacher.task, self._teacher.experiment
        if scores.shape != (self._length,):
            raise ValueError(
                f"The model of {experiment!r} answers with {label} of shape {scores.shape} for a record; the data has "
                f"{self._length} {label}. A teacher has to be trained on the same {label}, in the same order."
            )
        if not np.all((scores >= 0) & (scores <= 1)):  # also if they are no numbers
            raise ValueError(
                f"The model of {experiment!r} answers with {label} from {scores.min()} to {scores.max()}; expected "
                "probabilities, in [0, 1]. Name an experiment in data.teachers whose network ends in a sigmoid."
            )


def check_signature(teacher: Teacher, saved_model: str) -> None:
    """ValueError if a SavedModel doesn't give the teacher's label for records."""
    content = SavedModel()
    with tf.io.gfile.GFile(os.path.join(saved_model, tf.saved_model.SAVED_MODEL_FILENAME_PB), "rb") as file:
        content.ParseFromString(file.read())
    signatures = {name: signature for graph in content.meta_graphs for name, signature in graph.signature_def.items()}
    if SIGNATURE not in signatures:
        raise ValueError(
            f"The model of {teacher.experiment!r} has no signature {SIGNATURE!r}, but {_listed(signatures)}. "
            "A teacher has to answer for face records: train it with this version of the project."
        )
    outputs = signatures[SIGNATURE].outputs
    if teacher.task not in outputs:
        raise ValueError(
            f"The model of {teacher.experiment!r} has no output {teacher.task!r}, but {_listed(outputs)}. "
            f"Name an experiment in data.teachers that learns {teacher.task}."
        )


def model_input(task: str) -> str:
    """The component's input for the model of a task's teacher."""
    return f"{task}_teacher"


def no_teacher(teacher: Teacher) -> ValueError:
    """The error for a teacher without a blessed model."""
    return ValueError(
        f"The records that lack {teacher.task} are labelled by {teacher.experiment!r}. There is no blessed model of "
        f"{teacher.experiment!r} yet. First: make run EXPERIMENT={teacher.experiment}"
    )


def has_label(example: tf.train.Example, label: str) -> bool:
    """Whether a record is annotated with a multi-label or class label; a label without values is none."""
    feature = example.features.feature
    return label in feature and bool(feature[label].int64_list.value)


def outcomes(element: tuple[str, bytes], labels: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(split, record) -> (split, label, one of OUTCOMES) for each of the labels that it is annotated or labelled with.

    A soft label counts only beside no annotation.
    """
    split, record = element
    example = tf.train.Example.FromString(record)
    for label in labels:
        if has_label(example, label):
            yield split, label, ANNOTATED
        elif example.features.feature[f"{label}/soft"].float_list.value:
            yield split, label, LABELLED


def check_counts(counts: Mapping[str, Mapping[str, Mapping[str, int]]], there: Mapping[str, int]) -> None:
    """RuntimeError if not every record of a split came out with each of the labels.

    Args:
        counts: {split: {label: {outcome: n}}}.
        there: records by split.
    """
    for split, by_label in counts.items():
        for label, count in by_label.items():
            if sum(count.values()) != there[split]:
                raise RuntimeError(
                    f"Split {split!r} has {there[split]:,} records, of which {sum(count.values()):,} came out with "
                    f"{label} of either kind. Were its files written to meanwhile? Run it again."
                )


def counts_summary(counts: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    """One line a split for the person who waits."""
    return "\n".join(
        f"  {split}: "
        + "; ".join(
            f"{label}: {count[LABELLED]:,} labelled, {count[ANNOTATED]:,} annotated"
            for label, count in by_label.items()
        )
        for split, by_label in counts.items()
    )


def _saved_model(teacher: Teacher, input_dict) -> str:
    models = input_dict.get(model_input(teacher.task))
    if not models:
        raise no_teacher(teacher)
    return path_utils.serving_model_path(artifact_utils.get_single_uri(models))


def _listed(names) -> str:
    return ", ".join(sorted(names)) or "none"


def _write_counts(
    counts: Mapping[tuple[str, str, str], int], splits: Sequence[str], labels: Sequence[str], path: str
) -> None:
    """`counts` as {split: {label: {outcome: n}}}; what never happened is 0."""
    table = {
        split: {label: {outcome: counts.get((split, label, outcome), 0) for outcome in OUTCOMES} for label in labels}
        for split in splits
    }
    io_utils.write_string_file(path, json.dumps(table, indent=2))

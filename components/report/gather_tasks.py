"""From an evaluation, records and a served model to the report's part of several tasks together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from components.evaluator.config import SIGNATURE
from components.evaluator.results import EvaluationResult, IterationResult
from components.record import FaceRecord
from components.report.data import IterationRow, StageHistory, TaskPicture, TaskPictures
from components.report.gather_parsing import REQUEST, decoded, label_map
from components.report.run_page import Part
from components.report.tasks import tasks_part

_NUM_PICTURES = 4  # of each data set
# By what training has of an epoch: the figure as `make compare` has it.
_STAGE_FIGURES = {
    "val_parsing_mean_f1": "parsing mean F1",
    "val_landmarks_nme": "landmark NME",
    "val_emotion_accuracy": "emotion accuracy",
    "val_attributes_accuracy": "mean accuracy",
}


def gathered_tasks(evaluation: EvaluationResult, model, tested: Sequence[FaceRecord], epochs: Sequence[dict]) -> Part:
    """The part of all tasks together.

    Args:
        model: as served. tested: of all data sets, the first few of each of which are shown.
        epochs: what training left of each.
    """
    shown = [
        record
        for dataset in dict.fromkeys(record.dataset for record in tested)
        for record in [record for record in tested if record.dataset == dataset][:_NUM_PICTURES]
    ]
    told = {"emotion": evaluation.emotion, "clothing": evaluation.clothing}
    title, classes = next(((name, each.classes) for name, each in told.items() if each is not None), ("emotion", ()))
    return tasks_part(
        pictures=TaskPictures(
            evaluation.parsing.classes if evaluation.parsing is not None else (),
            tuple(task_pictures(model, shown, title, classes)),
            title,
        ),
        iterations=tuple(map(_iteration_row, evaluation.iterations)),
        stages=stage_history(epochs),
        count=evaluation.count,
    )


def task_pictures(model, records: Sequence[FaceRecord], title: str, classes: Sequence[str]) -> Iterator[TaskPicture]:
    """Records with all that the served model says of them, or of their crops, asked for a few at a time.

    Args:
        title: what one of `classes` is told of, "emotion" or "clothing", as the model and the records call it.
    """
    for start in range(0, len(records), REQUEST):
        asked = records[start : start + REQUEST]
        serialized = tf.constant([record.to_example().SerializeToString() for record in asked])
        answers = {name: values.numpy() for name, values in model.signatures[SIGNATURE](serialized).items()}
        for index, record in enumerate(asked):
            yield _task_picture(record, {name: values[index] for name, values in answers.items()}, title, classes)


def _task_picture(record, answer, title, classes):
    image = decoded(record.image)
    said = {"landmarks": answer.get("landmarks")}
    if "parsing" in answer:
        said["parsing"] = answer["parsing"][: image.shape[0], : image.shape[1]]  # the rest is another picture's size
    label = getattr(record, title)
    if title in answer:
        most = int(np.argmax(answer[title]))
        said |= {"class_name": classes[most], "class_probability": float(answer[title][most])}
    return TaskPicture(
        image=image,
        id=record.id,
        dataset=record.dataset,
        true_landmarks=record.landmarks if "landmarks" in answer else None,
        true_parsing=label_map(record) if "parsing" in answer else None,
        true_class_name=classes[label] if title in answer and label is not None else None,
        **said,
    )


def _iteration_row(measured: IterationResult) -> IterationRow:
    figures = {}
    if measured.attributes is not None:
        figures["mean accuracy"] = measured.attributes.mean_accuracy
        figures["mean balanced accuracy"] = measured.attributes.mean_balanced_accuracy
    if measured.parsing is not None:
        figures["parsing mean F1"] = measured.parsing.mean_f1
        if measured.parsing.overall_f1 is not None:
            figures["overall F1"] = measured.parsing.overall_f1
    if measured.landmarks is not None:
        figures["landmark NME"] = measured.landmarks.nme
        figures["landmark failure rate"] = measured.landmarks.failure_rate
    if measured.emotion is not None:
        figures["emotion accuracy"] = measured.emotion.accuracy
        figures["emotion mean recall"] = measured.emotion.mean_recall
    return IterationRow(measured.iteration, figures)


def stage_history(epochs: Sequence[dict]) -> StageHistory | None:
    """How the tasks fared on validation; None if the training had no stages."""
    stages = stages_of(epochs)
    if not stages:
        return None
    return StageHistory(
        {
            name: np.array([epoch.get(key, np.nan) for epoch in epochs], np.float64)
            for key, name in _STAGE_FIGURES.items()
            if any(key in epoch for epoch in epochs)
        },
        stages,
    )


def stages_of(epochs: Sequence[dict]) -> tuple[tuple[str, int], ...]:
    """(name, number of epochs) of each stage; none if the training had none."""
    if not any("stage" in epoch for epoch in epochs):
        return ()
    names = (epoch["stage"] for epoch in epochs)
    return tuple((name, len(list(group))) for name, group in itertools.groupby(names))

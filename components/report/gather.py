"""From a run's artifacts to what the report shows."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import io
import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import io_utils, path_utils

from components.config import Experiment
from components.evaluator import parsing_metrics
from components.evaluator.config import SIGNATURE
from components.evaluator.landmark_metrics import FAILURE_THRESHOLD
from components.evaluator.results import (
    ClassResult,
    EvaluationResult,
    IterationResult,
    LandmarkResult,
    ParsingResult,
    SliceResult,
    read_blessing,
    read_evaluation,
    side,
)
from components.landmark_annotator.executor import COUNTS_FILE
from components.record import FaceRecord
from components.report.attributes import attribute_part
from components.report.classes import class_part
from components.report.data import (
    AnnotationCount,
    Attention,
    AttributeResults,
    AttributeSlice,
    ClassResults,
    ComponentTime,
    DataSummary,
    EdgeMaps,
    History,
    IterationRow,
    LandmarkResults,
    ParsingPicture,
    ParsingPictures,
    ParsingResults,
    Picture,
    Pictures,
    Run,
    SplitCount,
    StageHistory,
    TaskPicture,
    TaskPictures,
    Verdict,
)
from components.report.landmarks import landmark_part
from components.report.parsing import parsing_part
from components.report.run_page import Part
from components.report.tasks import tasks_part
from components.trainer.edge_maps import EDGES_FILE
from components.trainer.run_fn import TRAINING_FILE

_NUM_TESTED = 64  # pictures over which affinities are averaged, and masks must be zero to count as dead
_NUM_PICTURES = 12  # of them shown with attributes
_NUM_ATTENTION_IMAGES = 4  # of them shown with masks
_NUM_PARSED = 32  # of them parsed, to choose from
_NUM_TASK_PICTURES = 4  # of each data set shown with all tasks' answers
_REQUEST = 16  # pictures: forty masks of a batch are large
_PARSING_REQUEST = 4  # pictures: label maps are as large as they are
_NUM_QUARANTINE_SAMPLES = 20
_SERVING_COMMANDS = """docker run -p 8501:8501 -v {model}:/models/faces/1 -e MODEL_NAME=faces tensorflow/serving
echo '{{"inputs": {{"image_bytes": [{{"b64": "'$(base64 -w0 face.jpg)'"}}]}}}}' |
  curl {output}--data @- localhost:8501/v1/models/faces:predict"""
_TERM = re.compile(r"val_(\w+_loss)")
_POINT_NAMES = {5: ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")}  # as in the picture
# By what training has of an epoch: the figure as `make compare` has it.
_STAGE_FIGURES = {
    "val_parsing_mean_f1": "parsing mean F1",
    "val_landmarks_nme": "landmark NME",
    "val_emotion_accuracy": "emotion accuracy",
    "val_attributes_accuracy": "mean accuracy",
}


def gather(name: str, experiment: Experiment, artifacts: dict[str, Artifact]) -> dict:
    """Arguments of `run_page`.

    Args:
        name: the experiment's.
        artifacts: by the names of RunReportSpec.INPUTS.
    """
    evaluation = read_evaluation(artifacts["evaluation"].uri)
    model_run = artifacts["model_run"].uri
    training = json.loads(_read(model_run, TRAINING_FILE))
    saved_model = path_utils.serving_model_path(artifacts["model"].uri)
    model = tf.saved_model.load(saved_model)
    verdict = _verdict(artifacts)
    data = _data(artifacts)
    tested = [
        record
        for split in experiment.data.splits(experiment.evaluation.split).values()
        for record in _records(artifacts["examples"], split, _NUM_TESTED)
    ]

    def of(label):
        """The data set that has a label, and its tested records."""
        dataset = experiment.data.source_of(label).name
        return dataset, [record for record in tested if record.dataset == dataset]

    parts = []
    if _shows_tasks_together(evaluation):
        parts.append(_tasks_part(evaluation, model, tested, training["epochs"]))
    if evaluation.overall is not None:
        parts.append(_attribute_part(evaluation, model, of("attributes")[1], data))
    if evaluation.parsing is not None:
        parts.append(_parsing_part(evaluation.parsing, *of("parsing"), model, model_run))
    if evaluation.landmarks is not None and (evaluation.overall is None or evaluation.iterations):
        parts.append(_landmark_part(evaluation, of("landmarks")[0]))
    if evaluation.emotion is not None:
        parts.append(_emotion_part(evaluation, of("emotion")[0]))
    return {
        "run": _run(name, experiment, training, verdict.pushed_path or saved_model, model_run),
        "parts": parts,
        "data": data,
        "history": _history(training["epochs"], evaluation),
        "verdict": verdict,
    }


def results_json(
    run: Run, parts: Sequence[Part], data: DataSummary, history: History, verdict: Verdict, report: str
) -> str:
    """The figures of a run for programs: what the console prints and `make compare` compares."""
    figures = {
        "images tested": max((part.count for part in parts), default=0),
        **{name: value for part in parts for name, value in part.figures.items()},
        "training minutes": run.components["Trainer"].minutes,
        "epochs": len(history.loss),
        "records quarantined": sum(split.quarantined for split in data.splits.values()),
    }
    places = {"model": run.model_location, "report": report, "logs": run.log_location}
    values = {
        "experiment": run.experiment,
        "seed": run.seed,
        "verdict": "blessed and pushed" if verdict.pushed_path else "not pushed",
        "reasons": [*verdict.reasons, *([] if verdict.serving_ok else [verdict.serving_message])],
        "figures": {name: value for name, value in figures.items() if value is not None},
        "places": places,
        **{title: values for part in parts for title, values in part.details.items()},
    }
    return json.dumps(values, indent=1)


def _run(name, experiment, training, model_location, log_location):
    return Run(
        experiment=name,
        description=experiment.summary,
        created=datetime.datetime.now(),
        target=experiment.target,
        seed=experiment.training.seed,
        components={"Trainer": ComponentTime(training["minutes"])},
        parameters=training["parameters"],
        image_size=tuple(experiment.data.image_size),
        model_location=model_location,
        log_location=log_location,
        tensorboard_command=f"tensorboard --logdir {log_location}",
        serving_commands=_SERVING_COMMANDS.format(
            model=model_location,
            # A number for each pixel is too much for a terminal.
            output="--output answer.json " if experiment.data.parsing else "",
        ),
    )


def _data(artifacts):
    counts = json.loads(_read(artifacts["ingestion"].uri, "counts.json"))
    quarantine = [
        json.loads(line)
        for file in sorted(tf.io.gfile.glob(os.path.join(artifacts["ingestion"].uri, "quarantine*.jsonl")))
        for line in tf.io.gfile.GFile(file)
    ]
    annotations = None
    if "annotation" in artifacts:
        annotations = {
            split: AnnotationCount(**counted)
            for split, counted in json.loads(_read(artifacts["annotation"].uri, COUNTS_FILE)).items()
        }
    return DataSummary(
        splits={split: SplitCount(**counted) for split, counted in counts.items()},
        quarantine_reasons=collections.Counter(row["reason"] for row in quarantine),
        quarantine_samples=tuple((row["id"], row["reason"]) for row in quarantine[:_NUM_QUARANTINE_SAMPLES]),
        annotations=annotations,
        anomalies=_anomalies(artifacts["anomalies"]),
    )


def _anomalies(artifact):
    """One sentence a feature and split, of what ExampleValidator found."""
    found = []
    for split in artifact_utils.decode_split_names(artifact.split_names):
        uri = artifact_utils.get_split_uri([artifact], split)
        anomalies = anomalies_pb2.Anomalies.FromString(
            tf.io.gfile.GFile(io_utils.get_only_uri_in_dir(uri), "rb").read()
        )
        found += [f"{split}: {feature}: {info.description}" for feature, info in anomalies.anomaly_info.items()]
    return tuple(found)


def _history(epochs: Sequence[dict], evaluation: EvaluationResult) -> History:
    """What the epochs left, with NaN where one lacks what others have."""

    def column(name):
        if not any(name in epoch for epoch in epochs):
            return None
        return np.array([epoch.get(name, np.nan) for epoch in epochs], np.float64)

    history = History(
        loss=column("loss"),
        val_loss=column("val_loss"),
        learning_rate=column("learning_rate"),
        names=evaluation.attributes,
        attribute_losses=column("attribute_losses"),
        weights=column("attribute_weights"),
        thresholds=column("thresholds"),
        stages=_stages(epochs),
    )
    if evaluation.parsing is None:
        return history
    terms = dict.fromkeys(name for epoch in epochs for name in epoch if _TERM.fullmatch(name))
    return dataclasses.replace(
        history,
        terms={_TERM.fullmatch(name)[1]: column(name) for name in terms},
        mean_f1=column("val_mean_f1"),
        ensemble_mean_f1=column("ensemble_mean_f1"),
        classes=evaluation.parsing.classes,
        class_f1=column("val_f1"),
        class_pixels=evaluation.parsing.confusion.sum(axis=1),
    )


def _stages(epochs: Sequence[dict]) -> tuple[tuple[str, int], ...]:
    """(name, number of epochs) of each stage; none if the training had none."""
    if not any("stage" in epoch for epoch in epochs):
        return ()
    names = (epoch["stage"] for epoch in epochs)
    return tuple((name, len(list(group))) for name, group in itertools.groupby(names))


def _records(examples, split, count):
    """The first `count` records of a split."""
    files = tf.io.gfile.glob(io_utils.all_files_pattern(artifact_utils.get_split_uri([examples], split)))
    serialized = tf.data.TFRecordDataset(sorted(files), "GZIP").take(count)
    return [FaceRecord.from_example(tf.train.Example.FromString(e.numpy())) for e in serialized]


def _shows_tasks_together(evaluation: EvaluationResult) -> bool:
    """Attributes (with or without landmarks) and face parsing have pictures of their own, unless tasks interact."""
    if evaluation.iterations:
        return True
    return evaluation.overall is None and (evaluation.landmarks is not None or evaluation.emotion is not None)


def _tasks_part(evaluation, model, tested, epochs):
    shown = [
        record
        for dataset in dict.fromkeys(record.dataset for record in tested)
        for record in [record for record in tested if record.dataset == dataset][:_NUM_TASK_PICTURES]
    ]
    emotions = evaluation.emotion.classes if evaluation.emotion is not None else ()
    return tasks_part(
        pictures=TaskPictures(
            evaluation.parsing.classes if evaluation.parsing is not None else (),
            tuple(task_pictures(model, shown, emotions)),
        ),
        iterations=tuple(map(_iteration_row, evaluation.iterations)),
        stages=_stage_history(epochs),
        count=evaluation.count,
    )


def task_pictures(model, records: Sequence[FaceRecord], emotions: Sequence[str]) -> Iterator[TaskPicture]:
    """Records with all that the served model says of them, or of their crops, asked for a few at a time."""
    for start in range(0, len(records), _PARSING_REQUEST):
        asked = records[start : start + _PARSING_REQUEST]
        serialized = tf.constant([record.to_example().SerializeToString() for record in asked])
        answers = {name: values.numpy() for name, values in model.signatures[SIGNATURE](serialized).items()}
        for index, record in enumerate(asked):
            yield _task_picture(record, {name: values[index] for name, values in answers.items()}, emotions)


def _task_picture(record, answer, emotions):
    image = _decoded(record.image)
    said = {"landmarks": answer.get("landmarks")}
    if "parsing" in answer:
        said["parsing"] = answer["parsing"][: image.shape[0], : image.shape[1]]  # the rest is another picture's size
    if "emotion" in answer:
        most = int(np.argmax(answer["emotion"]))
        said |= {"class_name": emotions[most], "class_probability": float(answer["emotion"][most])}
    return TaskPicture(
        image=image,
        id=record.id,
        dataset=record.dataset,
        true_landmarks=record.landmarks if "landmarks" in answer else None,
        true_parsing=_label_map(record) if "parsing" in answer else None,
        true_class_name=emotions[record.emotion] if "emotion" in answer and record.emotion is not None else None,
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


def _stage_history(epochs: Sequence[dict]) -> StageHistory | None:
    """None if the training had no stages."""
    stages = _stages(epochs)
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


def _landmark_part(evaluation, dataset):
    return landmark_part(
        _landmark_results(evaluation.landmarks, dataset),
        {
            each.iteration: _landmark_results(each.landmarks, dataset)
            for each in evaluation.iterations
            if each.landmarks is not None
        },
    )


def _landmark_results(measured: LandmarkResult, dataset):
    points = len(measured.point_nme)
    return LandmarkResults(
        dataset=dataset,
        count=measured.count,
        nme=measured.nme,
        failure_rate=measured.failure_rate,
        failure_threshold=FAILURE_THRESHOLD,
        point_names=_POINT_NAMES.get(points) or tuple(str(point) for point in range(1, points + 1)),
        point_nme=measured.point_nme,
        point_failure_rate=measured.point_failure_rate,
    )


def _emotion_part(evaluation, dataset):
    return class_part(
        _emotion_results(evaluation.emotion, dataset),
        {
            each.iteration: _emotion_results(each.emotion, dataset)
            for each in evaluation.iterations
            if each.emotion is not None
        },
    )


def _emotion_results(measured: ClassResult, dataset):
    return ClassResults(
        title="emotion",
        classes=measured.classes,
        dataset=dataset,
        count=measured.annotated,
        accuracy=measured.accuracy,
        recall=measured.recall,
        f1=measured.f1,
        confusion=measured.confusion,
    )


def _attribute_part(evaluation, model, tested, data):
    names, thresholds = evaluation.attributes, model.thresholds.numpy()
    overall = evaluation.overall
    if evaluation.iterations:  # the landmarks have a part of their own
        overall = dataclasses.replace(overall, nme=None, failure_rate=None)
    return attribute_part(
        results=_attribute_results(overall, names, thresholds),
        slices=[
            AttributeSlice(
                attribute,
                *(_attribute_results(sides[side(attribute, label)], names, thresholds) for label in (1, 0)),
            )
            for attribute, sides in evaluation.slices.items()
            if len(sides) == 2
        ],
        pictures=Pictures(names, thresholds, tuple(_pictures(model, tested[:_NUM_PICTURES]))),
        attention=attention(model, [record.image for record in tested]),
        data=data,
    )


def _attribute_results(measured: SliceResult, names, thresholds):
    true_positives, false_positives, false_negatives, true_negatives = measured.counts
    positives, negatives = true_positives + false_negatives, false_positives + true_negatives
    return AttributeResults(
        names=names,
        count=measured.annotated,
        accuracy=measured.accuracy,
        mean_accuracy=measured.mean_accuracy,
        balanced_accuracy=measured.balanced_accuracy,
        f1=measured.f1,
        positive_rate_true=measured.positive_rate_true,
        positive_rate_predicted=measured.positive_rate_predicted,
        majority_accuracy=np.maximum(positives, negatives) / np.maximum(positives + negatives, 1),
        thresholds=thresholds,
        mean_balanced_accuracy=measured.mean_balanced_accuracy,
        mean_f1=measured.mean_f1,
        landmark_nme=measured.nme,
        failure_rate=measured.failure_rate,
        failure_threshold=FAILURE_THRESHOLD,
    )


def _pictures(model, records):
    """Records with the served model's answers, one request for all."""
    answers = model.signatures["serving_default"](tf.constant([record.image for record in records]))
    for i, record in enumerate(records):
        yield Picture(
            image=_decoded(record.image),
            id=record.id,
            scores=answers["attributes"][i].numpy(),
            decisions=answers["decisions"][i].numpy(),
            attributes=record.attributes,
            landmarks=answers["landmarks"][i].numpy() if "landmarks" in answers else None,
            true_landmarks=record.landmarks,
        )


def attention(model, images: list[bytes]) -> Attention | None:
    """What a served model attends to on encoded pictures; None if it has no such signature."""
    if "attention" not in model.signatures:
        return None
    requests = [tf.constant(images[start : start + _REQUEST]) for start in range(0, len(images), _REQUEST)]
    answers = [model.signatures["attention"](request) for request in requests]

    def maps(kind):
        names = sorted(name for name in answers[0] if name.startswith(kind))
        return {name.removeprefix(kind): np.concatenate([answer[name] for answer in answers]) for name in names}

    return Attention(
        groups=tuple(name.decode() for name in answers[0]["groups"].numpy()),
        images=tuple(_decoded(image) for image in images[:_NUM_ATTENTION_IMAGES]),
        masks=maps("masks_"),
        affinities=maps("affinities_"),
    )


def _parsing_part(measured, dataset, tested, model, model_run):
    return parsing_part(
        results=_parsing_results(measured, dataset),
        pictures=ParsingPictures(
            measured.classes, tuple(parsing_pictures(model, tested[:_NUM_PARSED], measured.classes))
        ),
        edges=_edges(model_run, measured.classes),
    )


def _parsing_results(measured: ParsingResult, dataset):
    return ParsingResults(
        classes=measured.classes,
        dataset=dataset,
        count=measured.annotated,
        mean_f1=measured.mean_f1,
        mean_iou=measured.mean_iou,
        pixel_accuracy=measured.pixel_accuracy,
        f1=measured.f1,
        iou=measured.iou,
        confusion=measured.confusion,
        overall_f1=measured.overall_f1,
        merged_parts=measured.merged_parts,
        part_f1=measured.part_f1,
    )


def parsing_pictures(model, records: Sequence[FaceRecord], classes: Sequence[str]) -> Iterator[ParsingPicture]:
    """Records with the served model's label maps, asked for a few at a time."""
    for start in range(0, len(records), _PARSING_REQUEST):
        asked = records[start : start + _PARSING_REQUEST]
        answers = model.signatures["serving_default"](tf.constant([record.image for record in asked]))
        for record, answer in zip(asked, answers["parsing"].numpy(), strict=True):
            image = _decoded(record.image)
            predicted = answer[: image.shape[0], : image.shape[1]]  # the rest is another picture's size
            yield ParsingPicture(image, record.id, predicted, **_parsing_scores(record, predicted, len(classes)))


def _parsing_scores(record, predicted, num_classes):
    """What a record's own label map says of a prediction; nothing if it has none."""
    if record.parsing is None:
        return {}
    truth = _label_map(record)
    counts = parsing_metrics.confusion(truth, predicted, num_classes)
    return {
        "truth": truth,
        "f1": parsing_metrics.f1(counts),
        "mean_f1": parsing_metrics.mean_f1(counts),
        "pixel_accuracy": parsing_metrics.pixel_accuracy(counts),
    }


def _label_map(record):
    """[H, W] uint8; None if a record has none."""
    return None if record.parsing is None else np.asarray(Image.open(io.BytesIO(record.parsing)))


def _edges(model_run, classes):
    """None if no edges were learnt."""
    path = os.path.join(model_run, EDGES_FILE)
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path, "rb") as file, np.load(io.BytesIO(file.read())) as arrays:
        maps = ("true_binary", "binary", "true_category", "category")
        return EdgeMaps(classes, arrays["image"], **{name: arrays[name] for name in maps})


def _decoded(image):
    """Encoded picture -> [H, W, 3] uint8."""
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))


def _verdict(artifacts):
    blessed, reasons = read_blessing(artifacts["evaluation"].uri)
    infra = artifacts["infra_blessing"]
    pushed = artifacts["pushed_model"]
    return Verdict(
        blessed=blessed,
        reasons=tuple(reasons),
        serving_ok=bool(infra.get_int_custom_property("blessed")),
        serving_message=infra.get_string_custom_property("message"),
        pushed_path=pushed.get_string_custom_property("pushed_destination") or None,
    )


def _read(folder, name):
    return io_utils.read_string_file(os.path.join(folder, name))

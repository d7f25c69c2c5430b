"""From a run's artifacts to what the report shows."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
import os
import re
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import io_utils, path_utils

from components.config import Experiment
from components.evaluator.landmark_metrics import FAILURE_THRESHOLD
from components.evaluator.results import (
    ClassResult,
    EvaluationResult,
    LandmarkResult,
    SliceResult,
    read_blessing,
    read_evaluation,
    side,
)
from components.landmark_annotator.executor import COUNTS_FILE
from components.record import FaceRecord
from components.report.attributes import attribute_part
from components.report.branching import branching_part
from components.report.classes import class_part
from components.report.data import (
    AnnotationCount,
    Attention,
    AttributeResults,
    AttributeSlice,
    ClassResults,
    ComponentTime,
    DataSummary,
    History,
    LandmarkResults,
    Picture,
    Pictures,
    Run,
    SoftLabelCount,
    SplitCount,
    Verdict,
)
from components.report.gather_branching import branching
from components.report.gather_parsing import decoded, gathered_parsing
from components.report.gather_tasks import gathered_tasks, stages_of
from components.report.landmarks import landmark_part
from components.report.run_page import Part
from components.soft_labels.executor import COUNTS_FILE as SOFT_LABELS_FILE
from components.trainer.run_fn import TRAINING_FILE

_NUM_TESTED = 64  # pictures over which affinities are averaged, and masks must be zero to count as dead
_NUM_PICTURES = 12  # of them shown with attributes
_NUM_ATTENTION_IMAGES = 4  # of them shown with masks
_REQUEST = 16  # pictures: forty masks of a batch are large
_NUM_QUARANTINE_SAMPLES = 20
_SERVING_COMMANDS = """docker run -p 8501:8501 -v {model}:/models/faces/1 -e MODEL_NAME=faces tensorflow/serving
echo '{{"inputs": {{"image_bytes": [{{"b64": "'$(base64 -w0 face.jpg)'"}}]}}}}' |
  curl {output}--data @- localhost:8501/v1/models/faces:predict"""
_TERM = re.compile(r"val_(\w+_loss)")
_POINT_NAMES = {5: ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")}  # as in the picture


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
        parts.append(gathered_tasks(evaluation, model, tested, training["epochs"]))
    if evaluation.overall is not None:
        parts.append(_attribute_part(evaluation, model, of("attributes")[1], data))
    if evaluation.parsing is not None:
        parts.append(gathered_parsing(evaluation.parsing, *of("parsing"), model, model_run))
    if evaluation.landmarks is not None and (evaluation.overall is None or evaluation.iterations):
        parts.append(_landmark_part(evaluation, of("landmarks")[0]))
    if evaluation.emotion is not None:
        parts.append(_emotion_part(evaluation, of("emotion")[0]))
    if evaluation.clothing is not None:
        parts.append(class_part(_class_results("clothing", evaluation.clothing, of("clothing")[0])))
    if "branching" in training:
        parts.append(branching_part(branching(training["branching"])))
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
        "parameters": run.parameters,
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
    soft_labels = None
    if "soft_labels" in artifacts:
        soft_labels = {
            split: {label: SoftLabelCount(**counted) for label, counted in of_split.items()}
            for split, of_split in json.loads(_read(artifacts["soft_labels"].uri, SOFT_LABELS_FILE)).items()
        }
    return DataSummary(
        splits={split: SplitCount(**counted) for split, counted in counts.items()},
        quarantine_reasons=collections.Counter(row["reason"] for row in quarantine),
        quarantine_samples=tuple((row["id"], row["reason"]) for row in quarantine[:_NUM_QUARANTINE_SAMPLES]),
        annotations=annotations,
        soft_labels=soft_labels,
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
        # Each category of clothing is learnt as a yes or no, like an attribute.
        names=evaluation.attributes + (evaluation.clothing.classes if evaluation.clothing is not None else ()),
        kind="attributes" if evaluation.clothing is None else "tasks",
        attribute_losses=column("attribute_losses"),
        weights=column("attribute_weights"),
        thresholds=column("thresholds"),
        stages=stages_of(epochs),
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


def _records(examples, split, count):
    """The first `count` records of a split."""
    files = tf.io.gfile.glob(io_utils.all_files_pattern(artifact_utils.get_split_uri([examples], split)))
    serialized = tf.data.TFRecordDataset(sorted(files), "GZIP").take(count)
    return [FaceRecord.from_example(tf.train.Example.FromString(e.numpy())) for e in serialized]


def _shows_tasks_together(evaluation: EvaluationResult) -> bool:
    """Attributes (with or without landmarks) and face parsing have pictures of their own, unless tasks interact."""
    if evaluation.iterations:
        return True
    others = (evaluation.landmarks, evaluation.emotion, evaluation.clothing)
    return evaluation.overall is None and any(measured is not None for measured in others)


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
        _class_results("emotion", evaluation.emotion, dataset),
        {
            each.iteration: _class_results("emotion", each.emotion, dataset)
            for each in evaluation.iterations
            if each.emotion is not None
        },
    )


def _class_results(title, measured: ClassResult, dataset):
    return ClassResults(
        title=title,
        classes=measured.classes,
        dataset=dataset,
        count=measured.annotated,
        accuracy=measured.accuracy,
        recall=measured.recall,
        f1=measured.f1,
        confusion=measured.confusion,
        top_3=measured.top_3,
        top_5=measured.top_5,
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
        top_10_recall=measured.top_10_recall,
        landmark_nme=measured.nme,
        failure_rate=measured.failure_rate,
        failure_threshold=FAILURE_THRESHOLD,
    )


def _pictures(model, records):
    """Records with the served model's answers, one request for all."""
    answers = model.signatures["serving_default"](tf.constant([record.image for record in records]))
    for i, record in enumerate(records):
        yield Picture(
            image=decoded(record.image),
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
        images=tuple(decoded(image) for image in images[:_NUM_ATTENTION_IMAGES]),
        masks=maps("masks_"),
        affinities=maps("affinities_"),
    )


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

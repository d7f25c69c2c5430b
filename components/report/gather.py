"""From a run's artifacts to what the report shows."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import io
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
from components.evaluator.landmark_metrics import FAILURE_THRESHOLD
from components.evaluator.results import (
    EvaluationResult,
    ParsingResult,
    SliceResult,
    read_blessing,
    read_evaluation,
    side,
)
from components.landmark_annotator.executor import COUNTS_FILE
from components.record import FaceRecord
from components.report.attributes import attribute_part
from components.report.data import (
    AnnotationCount,
    Attention,
    AttributeResults,
    AttributeSlice,
    ComponentTime,
    DataSummary,
    EdgeMaps,
    History,
    ParsingPicture,
    ParsingPictures,
    ParsingResults,
    Picture,
    Pictures,
    Run,
    SplitCount,
    Verdict,
)
from components.report.parsing import parsing_part
from components.report.run_page import Part
from components.trainer.edge_maps import EDGES_FILE
from components.trainer.run_fn import TRAINING_FILE

_NUM_TESTED = 64  # pictures over which affinities are averaged, and masks must be zero to count as dead
_NUM_PICTURES = 12  # of them shown with attributes
_NUM_ATTENTION_IMAGES = 4  # of them shown with masks
_NUM_PARSED = 32  # of them parsed, to choose from
_REQUEST = 16  # pictures: forty masks of a batch are large
_PARSING_REQUEST = 4  # pictures: label maps are as large as they are
_NUM_QUARANTINE_SAMPLES = 20
_SERVING_COMMANDS = """docker run -p 8501:8501 -v {model}:/models/faces/1 -e MODEL_NAME=faces tensorflow/serving
echo '{{"inputs": {{"image_bytes": [{{"b64": "'$(base64 -w0 face.jpg)'"}}]}}}}' |
  curl {output}--data @- localhost:8501/v1/models/faces:predict"""
_TERM = re.compile(r"val_(\w+_loss)")


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
    tested = _records(artifacts["examples"], experiment.evaluation.split, _NUM_TESTED)
    parts = []
    if evaluation.overall is not None:
        parts.append(_attribute_part(evaluation, model, tested, data))
    if evaluation.parsing is not None:
        parts.append(_parsing_part(evaluation.parsing, experiment.data.dataset, model, tested, model_run))
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


def _attribute_part(evaluation, model, tested, data):
    names, thresholds = evaluation.attributes, model.thresholds.numpy()
    return attribute_part(
        results=_attribute_results(evaluation.overall, names, thresholds),
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


def _parsing_part(measured, dataset, model, tested, model_run):
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
    truth = np.asarray(Image.open(io.BytesIO(record.parsing)))
    counts = parsing_metrics.confusion(truth, predicted, num_classes)
    return {
        "truth": truth,
        "f1": parsing_metrics.f1(counts),
        "mean_f1": parsing_metrics.mean_f1(counts),
        "pixel_accuracy": parsing_metrics.pixel_accuracy(counts),
    }


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

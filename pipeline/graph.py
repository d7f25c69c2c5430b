"""The one pipeline, for every experiment and every runner."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from dataclasses import replace

import tensorflow_model_analysis as tfma
from tfx.components import (
    Evaluator,
    ExampleValidator,
    Pusher,
    StatisticsGen,
    Trainer,
    Transform,
)
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2, trainer_pb2, transform_pb2
from tfx.types import Channel, standard_artifacts

from components.code_version import code_version
from components.config import Data, Experiment, to_json
from components.datasets import build_source, source_class
from components.datasets.annotation import annotated_names
from components.evaluator.config import (
    ITERATIONS_SIGNATURE,
    SIGNATURE,
    attribute_metrics,
    clothing_metrics,
    emotion_metrics,
    eval_config,
    landmark_metrics,
    parsing_metrics,
    per_iteration,
    score_metrics,
)
from components.example_gen import FacesExampleGen
from components.landmark_annotator.component import LandmarkAnnotator
from components.report.component import RunReport
from components.serving.check import ServingCheck
from components.soft_labels import SoftLabeler, no_teacher
from pipeline.last_blessed import LastBlessedBefore

SCHEMA = pathlib.Path(__file__).parent.parent / "schemas" / "face_record.pbtxt"
_RECORD_CODE = ("components/datasets", "components/record.py")
_ANNOTATION_CODE = ("components/example_files.py", "components/record.py")
_PREPROCESSING_CODE = ("components/preprocessing", "components/config.py")
_TRAINING_CODE = ("keras_models", "components/trainer", "components/serving", "components/tasks/landmarks/markup.py")


@dataclasses.dataclass(frozen=True)
class Places:
    """Where a run reads and writes; folders or URIs that tf.io.gfile reads and writes.

    Attributes:
        source: the data set's official files, or the folder of several data sets' folders as
            components.datasets.build_sources reads it; "" if none are needed.
        fingerprint: of those files; "" where they can't be looked at when the pipeline is built.
        root: TFX's artifacts.
        serving: blessed models, one folder an experiment, numbered versions in it.
        reports: the latest report of each experiment.
        schema: of the face record, as the components find it.
        models: for experiments by name, the Model artifact to take for their latest blessed model, "" for none; for
            orchestrators that don't look it up.
        own_resolvers: whether the orchestrator runs this project's look-ups, or TFX's alone.
    """

    source: str
    fingerprint: str
    root: str
    serving: str
    reports: str
    schema: str = str(SCHEMA)
    models: Mapping[str, str] = dataclasses.field(default_factory=dict)
    own_resolvers: bool = True


def create_pipeline(pipeline_name: str, name: str, experiment: Experiment, places: Places, **options) -> Pipeline:
    """The pipeline of one experiment.

    What is read and prepared depends on the data alone: experiments on the same data, run under one pipeline name, find
    it in the cache. The nodes from Trainer on carry the experiment's name, so that each experiment has its own last
    blessed model.

    Args:
        name: the experiment's.
        **options: of tfx.orchestration.pipeline.Pipeline: metadata, Beam arguments.
    """
    data = experiment.data
    tested = _splits(data, experiment.evaluation.split)
    prepared, examples, annotation, transform = _data_nodes(experiment, places)
    own = name.replace("/", "-")
    schema = _outputs(prepared, ImportSchemaGen)["schema"]

    warm_start = None
    if experiment.training.warm_start:
        warm_start = _blessed(experiment.training.warm_start, f"WarmStart-{own}", places)
    trainer = Trainer(
        run_fn="components.trainer.run_fn.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        base_model=warm_start.outputs["model"] if warm_start else None,
        train_args=trainer_pb2.TrainArgs(splits=_splits(data, "train")),
        eval_args=trainer_pb2.EvalArgs(splits=_splits(data, experiment.training.validation_split)),
        custom_config={
            "experiment": to_json(_as_trained(experiment)),
            "checkpoints": os.path.join(places.root, "checkpoints"),
            "code_version": code_version(*_TRAINING_CODE, *_PREPROCESSING_CODE),
        },
    ).with_id(f"Trainer-{own}")

    older = {"strategy": LastBlessedBefore, "candidate": trainer.outputs["model"]} if places.own_resolvers else {}
    baseline = _blessed(name, f"LastBlessed-{own}", places, **older)
    evaluator = Evaluator(
        examples=examples,
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["model"] if baseline else None,
        schema=schema,
        eval_config=_eval_config(experiment),
        example_splits=tested,
        module_path="components.evaluator.module",
    ).with_id(f"Evaluator-{own}")
    check = ServingCheck(
        model=trainer.outputs["model"],
        examples=examples,
        splits=tested,
        code_version=code_version("components/serving"),
    ).with_id(f"ServingCheck-{own}")
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=check.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=os.path.join(places.serving, own))
        ),
    ).with_id(f"Pusher-{own}")
    report = RunReport(
        name=name,
        experiment=to_json(experiment),
        destination=os.path.join(places.reports, own),
        code_version=code_version("components/report"),
        examples=examples,
        ingestion=_outputs(prepared, FacesExampleGen)["ingestion"],
        anomalies=_outputs(prepared, ExampleValidator)["anomalies"],
        annotation=annotation,
        soft_labels=next((node.outputs["counts"] for node in prepared if isinstance(node, SoftLabeler)), None),
        model=trainer.outputs["model"],
        model_run=trainer.outputs["model_run"],
        evaluation=evaluator.outputs["evaluation"],
        blessing=evaluator.outputs["blessing"],
        infra_blessing=check.outputs["blessing"],
        pushed_model=pusher.outputs["pushed_model"],
    ).with_id(f"Report-{own}")
    trained = [warm_start, trainer, baseline, evaluator, check, pusher, report]
    return Pipeline(
        pipeline_name=pipeline_name,
        pipeline_root=places.root,
        components=[*prepared, *filter(None, trained)],
        enable_cache=True,
        **options,
    )


def _data_nodes(experiment, places):
    """Nodes up to Transform, with the channels of the examples and of the annotation's counts (None if none)."""
    data = experiment.data
    generated = FacesExampleGen(
        sources=data.sources,
        data_dir=places.source,
        fingerprint=places.fingerprint,
        code_version=code_version(*_RECORD_CODE, "components/example_gen", "components/config.py"),
    )
    nodes, examples, annotation = [generated], generated.outputs["examples"], None
    if data.annotate_landmarks:
        annotator = LandmarkAnnotator(
            examples=examples, code_version=code_version("components/landmark_annotator", *_ANNOTATION_CODE)
        )
        nodes.append(annotator)
        examples, annotation = annotator.outputs["annotated_examples"], annotator.outputs["counts"]
    train = _splits(data, "train")
    if data.teachers:
        teachers = _teachers(data, places)
        labeler = SoftLabeler(
            examples=examples,
            teachers=data.teachers,
            models={teacher.label: teachers[teacher.experiment].outputs["model"] for teacher in data.teachers},
            lengths={teacher.label: len(annotated_names(data, teacher.label)) for teacher in data.teachers},
            splits=train,
            code_version=code_version("components/soft_labels", *_ANNOTATION_CODE),
        )
        nodes += [*teachers.values(), labeler]
        examples = labeler.outputs["labelled_examples"]
    validation = _splits(data, experiment.training.validation_split)
    statistics = StatisticsGen(examples=examples)
    schema = ImportSchemaGen(schema_file=places.schema)
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    transform = Transform(
        examples=examples,
        schema=schema.outputs["schema"],
        preprocessing_fn="components.preprocessing.transform.preprocessing_fn",
        # What is evaluated is decoded by the served model itself, so the test split needs no transforming.
        splits_config=transform_pb2.SplitsConfig(analyze=train, transform=sorted({*train, *validation})),
        custom_config={"data": to_json(data), "code_version": code_version(*_PREPROCESSING_CODE)},
        disable_statistics=True,
        disable_analyzer_cache=True,
    )
    return [*nodes, statistics, schema, validator, transform], examples, annotation, transform


def _teachers(data: Data, places: Places) -> dict[str, BaseNode]:
    """Nodes that give the latest blessed model of each teacher, by experiment: one may teach two labels.

    Raises:
        ValueError: for a label that isn't used, and where it is known that there is no blessed model.
    """
    nodes = {}
    for teacher in data.teachers:
        name = teacher.experiment
        if teacher.label not in data.labels:
            raise ValueError(
                f"{name!r} should teach {teacher.label!r}, which the experiment's data doesn't use, but "
                f"{', '.join(data.labels)}. Drop it from data.teachers, or use the label."
            )
        nodes[name] = nodes.get(name) or _blessed(name, f"Teacher-{name.replace('/', '-')}", places)
        if nodes[name] is None:
            raise no_teacher(teacher)
    return nodes


def _splits(data: Data, split: str) -> list[str]:
    """The names of a split of all data sets; ValueError if one of them has no such split."""
    for source in data.sources:
        there = build_source(source, None).SPLITS  # some builders' options decide
        if split not in there:
            raise ValueError(
                f"Data set {source.name!r} has no split {split!r}, but {', '.join(there)}. Name one of them in the "
                "experiment's training.validation_split or evaluation.split, or set the data set's options."
            )
    return list(data.splits(split).values())


def _blessed(name: str, node_id: str, places: Places, strategy=LatestBlessedModelStrategy, **channels):
    """Node that gives a blessed model of an experiment: the latest, or as `strategy` has it; None if there is none.

    Args:
        name: the experiment's.
        **channels: what `strategy` needs beside models and blessings.
    """
    if name in places.models:
        uri = places.models[name]
        if not uri:
            return None
        return Importer(uri, standard_artifacts.Model, output_key="model").with_id(node_id)
    own = name.replace("/", "-")
    return Resolver(
        strategy_class=strategy,
        model=Channel(type=standard_artifacts.Model, producer_component_id=f"Trainer-{own}"),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing, producer_component_id=f"Evaluator-{own}"),
        **channels,
    ).with_id(node_id)


def _outputs(nodes: list[BaseNode], kind: type[BaseNode]):
    return next(node.outputs for node in nodes if isinstance(node, kind))


def _as_trained(experiment: Experiment) -> Experiment:
    """Without what training doesn't look at: another bar or wording must not train anew."""
    return replace(experiment, summary="", target="", evaluation=None)


def _eval_config(experiment: Experiment) -> tfma.EvalConfig:
    """What is measured of each task, and of a network with iterations at each of them.

    Raises:
        ValueError: for a task that its data set has no labels for.
    """
    data, evaluation = experiment.data, experiment.evaluation
    names = {label: annotated_names(data, label) for label in data.labels}
    tasks = []
    if data.attributes:
        tasks.append(attribute_metrics(names["attributes"], evaluation.min_balanced_accuracy))
    if _has_landmarks(experiment):
        tasks.append(landmark_metrics(data.num_landmarks, evaluation.max_nme))
    if data.parsing:
        merged_parts = source_class(data.source_of("parsing")).MERGED_PARTS
        tasks.append(parsing_metrics(names["parsing"], merged_parts, evaluation.min_mean_f1))
    if data.emotion:
        tasks.append(emotion_metrics(names["emotion"], evaluation.min_emotion_accuracy))
    if data.clothing:
        tasks.append(clothing_metrics(names["clothing"], evaluation.min_clothing_top3))
    signature, iterations = SIGNATURE, experiment.model.kwargs.get("iterations", 0)
    if iterations:
        signature = ITERATIONS_SIGNATURE
        tasks += [per_iteration(task, range(iterations + 1)) for task in tasks]
    if data.attributes:
        tasks.append(score_metrics(names["attributes"]))  # whatever the network, but not at each iteration
    return eval_config(tasks, evaluation.slice_by, signature)


def _has_landmarks(experiment: Experiment) -> bool:
    """Whether the network predicts landmarks: one of several tasks, or where a model says so by `num_landmarks`."""
    arguments = experiment.model.kwargs
    return experiment.data.num_landmarks > 0 and (
        "landmarks" in arguments.get("tasks", ()) or arguments.get("num_landmarks", 0) > 0
    )

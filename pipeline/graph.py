"""The one pipeline, for every experiment and every runner."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import tensorflow_data_validation as tfdv
from tfx.components import (
    Evaluator,
    ExampleValidator,
    StatisticsGen,
    Trainer,
    Transform,
)
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2, trainer_pb2, transform_pb2
from tfx.types import Channel, standard_artifacts

from components import systems
from components.code_version import code_version, commit
from components.config import Data, Evaluation, Experiment, Teacher, to_json
from components.datasets import build_dataset, code_files
from components.datasets.binding import bound_tasks
from components.evaluator.config import eval_config
from components.example_gen import FacesExampleGen
from components.landmark_annotator.component import LandmarkAnnotator
from components.lite_evaluator import LiteEvaluator
from components.overrides import slug
from components.pusher import Pusher
from components.report.component import RunReport
from components.schema_gen import RecordSchemaGen
from components.schema_gen.executor import record_schema, statistics_schema
from components.serving.check import ServingCheck
from components.soft_labels.component import SoftLabeler
from components.soft_labels.executor import no_teacher
from components.systems.base import system_of
from components.tasks.annotation import BoundTask
from pipeline.last_blessed import LastBlessedBefore, LatestExistingBlessed

# What each component's result rests on beside its inputs: TFX sees no change of code behind a dotted path.
_LABELS_CODE = (
    "components/folders.py",
    "components/record.py",
    "components/tasks/annotation.py",
    "components/tasks/base.py",
    "components/tasks/dense.py",
    "components/tasks/*/labels.py",
    "components/tasks/*/label_maps.py",
    "components/tasks/*/markup.py",
)
_INGESTION_CODE = ("components/example_gen", "components/example_files.py", "components/images", *_LABELS_CODE)
_SCHEMA_CODE = (
    "components/schema_gen",
    "schemas/face_record.pbtxt",
    "components/faces",
    "components/images",
    "components/example_files.py",
    *_LABELS_CODE,
)
_ANNOTATION_CODE = ("components/example_files.py", "components/record.py")
_PREPROCESSING_CODE = ("components/preprocessing", "components/images", *_LABELS_CODE)
_SERVING_CODE = ("components/serving", "components/tasks/*/serving.py")
_TRAINING_CODE = (
    "keras_models",
    "components/config.py",
    "components/trainer",
    "components/tasks/*/learning.py",
    "components/drift/reference.py",
    "components/schema_gen/frames.py",
    "components/faces/frame.py",
    *_SERVING_CODE,
    *_PREPROCESSING_CODE,
)
_SYSTEMS = pathlib.Path(systems.__path__[0])
_SHOWING = ("/report", "/drawings", "/summaries")  # a system's modules that make no other model
_REPORT_CODE = (
    "components/tasks/figures.py",
    "components/tasks/score_report.py",
    "components/report",
    "components/drift",
    "schemas/drift.pbtxt",
    "components/page",
    "components/tasks/reporting.py",
    "components/tasks/*/report.py",
    "components/tasks/*/drawings.py",
    "components/systems/*/report.py",
    "components/systems/*/drawings.py",
)


@dataclasses.dataclass(frozen=True)
class PipelinePaths:
    """Where a run reads and writes; folders or URIs that tf.io.gfile reads and writes.

    Attributes:
        data_dir: the data set's official files, or the folder of several data sets' folders as
            components.datasets.build_datasets reads it; "" if none are needed.
        fingerprint: of those files; "" where they can't be looked at when the pipeline is built.
        root: TFX's artifacts.
        serving: blessed models, one folder an experiment, numbered versions in it.
        reports: the latest report of each experiment.
        models: for experiments by name, the Model artifact to take for their latest blessed model, "" for none; for
            orchestrators that don't look it up.
        custom_resolvers: whether the orchestrator supports custom resolver strategies.
    """

    data_dir: str
    fingerprint: str
    root: str
    serving: str
    reports: str
    models: Mapping[str, str] = dataclasses.field(default_factory=dict)
    custom_resolvers: bool = True


def create_pipeline(pipeline_name: str, name: str, experiment: Experiment, paths: PipelinePaths, **options) -> Pipeline:
    """The pipeline of one experiment.

    What is read and prepared depends on the data alone: experiments on the same data, run under one pipeline name, find
    it in the cache. The nodes from Trainer on carry the experiment's name, so that each experiment has its own last
    blessed model.

    Args:
        name: the experiment's.
        **options: of tfx.orchestration.pipeline.Pipeline: metadata, Beam arguments.
    """
    data, training = experiment.data, experiment.training
    tasks = bound_tasks(experiment)
    tested = _splits(data, experiment.evaluation.split)
    prepared, examples, annotation, transform = _data_nodes(experiment, tasks, paths)
    own = slug(name)
    schema = _outputs(prepared, RecordSchemaGen)["schema"]
    learnt = to_json(tuple(task.learnt for task in tasks))

    warm_start = None
    if training.warm_start:
        warm_start = _blessed(training.warm_start, f"WarmStart-{own}", paths)
    trainer = Trainer(
        run_fn="components.trainer.run_fn.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        base_model=warm_start.outputs["model"] if warm_start else None,
        train_args=trainer_pb2.TrainArgs(splits=_splits(data, "train")),
        eval_args=trainer_pb2.EvalArgs(splits=_splits(data, training.validation_split)),
        custom_config={
            "experiment": to_json(_as_trained(experiment)),
            "tasks": learnt,
            "checkpoints": os.path.join(paths.root, "checkpoints"),
            "code_version": code_version(*_TRAINING_CODE, *_system_code(experiment)),
        },
    ).with_id(f"Trainer-{own}")

    older = {"strategy": LastBlessedBefore, "candidate": trainer.outputs["model"]} if paths.custom_resolvers else {}
    baseline = _blessed(name, f"LastBlessed-{own}", paths, **older)
    evaluator = Evaluator(
        examples=examples,
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["model"] if baseline else None,
        schema=schema,
        eval_config=eval_config(
            tasks,
            experiment.evaluation.slice_by,
            system_of(experiment).iterations(experiment.model),
            experiment.evaluation.max_gaps,
        ),
        example_splits=tested,
        module_path="components.evaluator.slicing",
    ).with_id(f"Evaluator-{own}")
    lite_evaluator = None
    if experiment.export.lite:
        lite_evaluator = LiteEvaluator(
            examples=examples,
            model=trainer.outputs["model"],
            schema=schema,
            eval_config=eval_config(tuple(task.learnt for task in tasks)),
            example_splits=tested,
        ).with_id(f"LiteEvaluator-{own}")
    check = ServingCheck(
        model=trainer.outputs["model"],
        examples=examples,
        splits=tested,
        code_version=code_version("components/serving/check.py", "components/serving/replay.py"),
    ).with_id(f"ServingCheck-{own}")
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=check.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=os.path.join(paths.serving, own))
        ),
    ).with_id(f"Pusher-{own}")
    report = RunReport(
        name=name,
        experiment=to_json(experiment),
        destination=os.path.join(paths.reports, own),
        code_version=code_version(*_REPORT_CODE),
        commit=commit(),
        run=_fingerprint(
            [*prepared, *filter(None, (warm_start, trainer, baseline, evaluator, lite_evaluator, check, pusher))]
        ),
        examples=examples,
        ingestion=_outputs(prepared, FacesExampleGen)["ingestion"],
        anomalies=_outputs(prepared, ExampleValidator)["anomalies"],
        annotation=annotation,
        soft_labels=next((node.outputs["counts"] for node in prepared if isinstance(node, SoftLabeler)), None),
        model=trainer.outputs["model"],
        model_run=trainer.outputs["model_run"],
        evaluation=evaluator.outputs["evaluation"],
        lite_evaluation=lite_evaluator.outputs["evaluation"] if lite_evaluator else None,
        blessing=evaluator.outputs["blessing"],
        infra_blessing=check.outputs["blessing"],
        pushed_model=pusher.outputs["pushed_model"],
    ).with_id(f"Report-{own}")
    trained = [warm_start, trainer, baseline, evaluator, lite_evaluator, check, pusher, report]
    return Pipeline(
        pipeline_name=pipeline_name,
        pipeline_root=paths.root,
        components=[*prepared, *filter(None, trained)],
        enable_cache=True,
        **options,
    )


def _fingerprint(nodes: Sequence[BaseNode]) -> str:
    """A hash of what nodes are told: where the data lie and what they are, the experiment, the code."""
    told = {node.id: node.exec_properties for node in nodes}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _data_nodes(experiment: Experiment, tasks: tuple[BoundTask, ...], paths: PipelinePaths):
    """Nodes up to Transform, with the channels of the examples and of the annotation's counts (None if none)."""
    data = experiment.data
    generated = FacesExampleGen(
        datasets=data.datasets,
        data_dir=paths.data_dir,
        fingerprint=paths.fingerprint,
        code_version=code_version(*code_files(data.datasets), *_INGESTION_CODE),
    )
    nodes, examples, annotation = [generated], generated.outputs["examples"], None
    if data.annotate_landmarks:
        annotator = LandmarkAnnotator(
            examples=examples,
            label=data.annotate_landmarks,
            code_version=code_version(
                "components/landmark_annotator", "components/faces", "components/images", *_ANNOTATION_CODE
            ),
        )
        nodes.append(annotator)
        examples, annotation = annotator.outputs["annotated_examples"], annotator.outputs["counts"]
    train = _splits(data, "train")
    if data.teachers:
        teachers = _teachers(data.teachers, paths)
        labeler = SoftLabeler(
            examples=examples,
            teachers=data.teachers,
            models={teacher.task: teachers[teacher.experiment].outputs["model"] for teacher in data.teachers},
            lengths={task.name: len(task.names) for task in tasks if task.taught},
            splits=train,
            code_version=code_version("components/soft_labels", *_ANNOTATION_CODE),
        )
        nodes += [*teachers.values(), labeler]
        examples = labeler.outputs["labelled_examples"]
    validation = _splits(data, experiment.training.validation_split)
    described = statistics_schema(record_schema(data))
    statistics = StatisticsGen(
        examples=examples,
        stats_options=tfdv.StatsOptions(feature_allowlist=[feature.name for feature in described.feature]),
    )
    schema = RecordSchemaGen(
        examples=generated.outputs["examples"],
        data=data,
        code_version=code_version(*code_files(data.datasets), *_SCHEMA_CODE),
    )
    validator = ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["statistics_schema"]
    )
    transform = Transform(
        examples=examples,
        schema=schema.outputs["schema"],
        preprocessing_fn="components.preprocessing.transform.preprocessing_fn",
        # What is evaluated is decoded by the served model itself, so the test split needs no transforming.
        splits_config=transform_pb2.SplitsConfig(analyze=train, transform=sorted({*train, *validation})),
        custom_config={
            "tasks": to_json(tuple(task.prepared for task in tasks)),
            "image_size": list(data.image_size),
            "code_version": code_version(*_PREPROCESSING_CODE),
        },
        disable_statistics=True,
        disable_analyzer_cache=True,
    )
    return [*nodes, statistics, schema, validator, transform], examples, annotation, transform


def _teachers(teachers: Sequence[Teacher], paths: PipelinePaths) -> dict[str, BaseNode]:
    """Nodes that give the latest blessed model of each teacher, by experiment: one may teach two tasks.

    Raises:
        ValueError: where it is known that there is no blessed model.
    """
    nodes = {}
    for teacher in teachers:
        name = teacher.experiment
        nodes[name] = nodes.get(name) or _blessed(name, f"Teacher-{slug(name)}", paths)
        if nodes[name] is None:
            raise no_teacher(teacher)
    return nodes


def _splits(data: Data, split: str) -> list[str]:
    """The names of a split of all data sets; ValueError if one of them has no such split."""
    for dataset in data.datasets:
        there = build_dataset(dataset, None).SPLITS  # some builders' options decide
        if split not in there:
            raise ValueError(
                f"Data set {dataset.name!r} has no split {split!r}, but {', '.join(there)}. Name one of them in the "
                "experiment's training.validation_split or evaluation.split, or set the data set's options."
            )
    return list(data.splits(split).values())


def _blessed(name: str, node_id: str, paths: PipelinePaths, strategy=LatestExistingBlessed, **channels):
    """Node that gives a blessed model of an experiment: the latest, or as `strategy` has it; None if there is none.

    Args:
        name: the experiment's.
        **channels: what `strategy` needs beside models and blessings.
    """
    if name in paths.models:
        uri = paths.models[name]
        if not uri:
            return None
        return Importer(uri, standard_artifacts.Model, output_key="model").with_id(node_id)
    own = slug(name)
    return Resolver(
        strategy_class=strategy if paths.custom_resolvers else LatestBlessedModelStrategy,
        model=Channel(type=standard_artifacts.Model, producer_component_id=f"Trainer-{own}"),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing, producer_component_id=f"Evaluator-{own}"),
        **channels,
    ).with_id(node_id)


def _outputs(nodes: list[BaseNode], kind: type[BaseNode]):
    return next(node.outputs for node in nodes if isinstance(node, kind))


def _system_code(experiment: Experiment) -> tuple[str, ...]:
    """What only one paper needs and training or export rests on: the folders that the experiment names."""
    training = experiment.training
    named = f"{experiment.system} {training.RECIPE} {to_json(training)}"
    folders = sorted(set(re.findall(r"components\.systems\.(\w+)\.", named)))
    modules = (module for folder in folders for module in pkgutil.iter_modules([str(_SYSTEMS / folder)], f"{folder}/"))
    files = (f"components/systems/{module.name}.py" for module in modules if not module.name.endswith(_SHOWING))
    return ("components/systems/base.py", *files)


def _as_trained(experiment: Experiment) -> Experiment:
    """Without what training doesn't look at: another bar or wording must not train anew."""
    tasks = tuple(replace(task, bar=None) for task in experiment.tasks)
    return replace(experiment, summary="", target="", tasks=tasks, evaluation=Evaluation(), resources=())

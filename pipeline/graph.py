"""The one pipeline, for every experiment and every runner."""

from __future__ import annotations

import dataclasses
import os
import pathlib

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
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2, trainer_pb2, transform_pb2
from tfx.types import Channel, standard_artifacts

from components.code_version import code_version
from components.config import Experiment, to_json
from components.datasets import builder_class
from components.evaluator.config import attribute_eval_config
from components.example_gen import FacesExampleGen
from components.landmark_annotator.component import LandmarkAnnotator
from components.report.component import RunReport
from components.serving.check import ServingCheck

SCHEMA = pathlib.Path(__file__).parent.parent / "schemas" / "face_record.pbtxt"
_RECORD_CODE = ("components/datasets", "components/record.py")
_PREPROCESSING_CODE = ("components/preprocessing", "components/config.py")
_TRAINING_CODE = ("keras_models", "components/trainer", "components/serving", "components/landmark_markup.py")


@dataclasses.dataclass(frozen=True)
class Places:
    """Where a run reads and writes; folders or URIs that tf.io.gfile reads and writes.

    Attributes:
        source: the data set's official files; "" if it needs none.
        fingerprint: of those files; "" where they can't be looked at when the pipeline is built.
        root: TFX's artifacts.
        serving: blessed models, one folder an experiment, numbered versions in it.
        reports: the latest report of each experiment.
    """

    source: str
    fingerprint: str
    root: str
    serving: str
    reports: str


def create_pipeline(pipeline_name: str, name: str, experiment: Experiment, places: Places, **options) -> Pipeline:
    """The pipeline of one experiment.

    What is read and prepared depends on the data alone: experiments on the same data, run under one pipeline name, find
    it in the cache. The nodes from Trainer on carry the experiment's name, so that each experiment has its own last
    blessed model.

    Args:
        name: the experiment's.
        **options: of tfx.orchestration.pipeline.Pipeline: metadata, Beam arguments.
    """
    prepared, examples, annotation, transform = _data_nodes(experiment, places)
    own = name.replace("/", "-")
    schema = _outputs(prepared, ImportSchemaGen)["schema"]

    warm_start = []
    if experiment.training.warm_start:
        warm_start = [_latest_blessed(experiment.training.warm_start.replace("/", "-"), f"WarmStart-{own}")]
    trainer = Trainer(
        run_fn="components.trainer.run_fn.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        base_model=warm_start[0].outputs["model"] if warm_start else None,
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=[experiment.training.validation_split]),
        custom_config={
            "experiment": to_json(experiment),
            "checkpoints": os.path.join(places.root, "checkpoints"),
            "code_version": code_version(*_TRAINING_CODE, *_PREPROCESSING_CODE),
        },
    ).with_id(f"Trainer-{own}")

    baseline = _latest_blessed(own, f"LastBlessed-{own}")
    evaluator = Evaluator(
        examples=examples,
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["model"],
        schema=schema,
        eval_config=attribute_eval_config(
            builder_class(experiment.data.dataset).ATTRIBUTES,
            slice_by=experiment.evaluation.slice_by,
            min_balanced_accuracy=experiment.evaluation.min_balanced_accuracy,
            landmarks=_has_landmarks(experiment),
        ),
        example_splits=[experiment.evaluation.split],
        module_path="components.evaluator.module",
    ).with_id(f"Evaluator-{own}")
    check = ServingCheck(
        model=trainer.outputs["model"],
        examples=examples,
        split=experiment.evaluation.split,
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
        model=trainer.outputs["model"],
        model_run=trainer.outputs["model_run"],
        evaluation=evaluator.outputs["evaluation"],
        blessing=evaluator.outputs["blessing"],
        infra_blessing=check.outputs["blessing"],
        pushed_model=pusher.outputs["pushed_model"],
    ).with_id(f"Report-{own}")
    return Pipeline(
        pipeline_name=pipeline_name,
        pipeline_root=places.root,
        components=[*prepared, *warm_start, trainer, baseline, evaluator, check, pusher, report],
        enable_cache=True,
        **options,
    )


def _data_nodes(experiment, places):
    """Nodes up to Transform, with the channels of the examples and of the annotation's counts (None if none)."""
    data = experiment.data
    generated = FacesExampleGen(
        dataset=data.dataset,
        source=places.source,
        options=data.options,
        fingerprint=places.fingerprint,
        code_version=code_version(*_RECORD_CODE, "components/example_gen"),
    )
    nodes, examples, annotation = [generated], generated.outputs["examples"], None
    if data.annotate_landmarks:
        annotator = LandmarkAnnotator(
            examples=examples, code_version=code_version("components/landmark_annotator", "components/record.py")
        )
        nodes.append(annotator)
        examples, annotation = annotator.outputs["annotated_examples"], annotator.outputs["counts"]
    statistics = StatisticsGen(examples=examples)
    schema = ImportSchemaGen(schema_file=str(SCHEMA))
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    transform = Transform(
        examples=examples,
        schema=schema.outputs["schema"],
        preprocessing_fn="components.preprocessing.transform.preprocessing_fn",
        # What is evaluated is decoded by the served model itself, so the test split needs no transforming.
        splits_config=transform_pb2.SplitsConfig(
            analyze=["train"], transform=sorted({"train", experiment.training.validation_split})
        ),
        custom_config={"data": to_json(data), "code_version": code_version(*_PREPROCESSING_CODE)},
        disable_statistics=True,
    )
    return [*nodes, statistics, schema, validator, transform], examples, annotation, transform


def _latest_blessed(own: str, node_id: str) -> Resolver:
    """The latest blessed model of the experiment whose nodes are called `own`."""
    return Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=Channel(type=standard_artifacts.Model, producer_component_id=f"Trainer-{own}"),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing, producer_component_id=f"Evaluator-{own}"),
    ).with_id(node_id)


def _outputs(nodes: list[BaseNode], kind: type[BaseNode]):
    return next(node.outputs for node in nodes if isinstance(node, kind))


def _has_landmarks(experiment: Experiment) -> bool:
    """Whether the network predicts landmarks; the models say so by `num_landmarks`."""
    return experiment.data.num_landmarks > 0 and experiment.model.kwargs.get("num_landmarks", 0) > 0

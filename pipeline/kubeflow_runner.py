"""Compiles an experiment for Kubeflow Pipelines v2; nothing is run, and no data is looked at.

    EXPERIMENT=dmm_cnn/celeb_a DATA_DIR=gs://... PIPELINE_ROOT=gs://... IMAGE=... python pipeline/kubeflow_runner.py

A .json file is a job for Vertex AI Pipelines. A .yaml file is for Kubeflow Pipelines' own service, which has no way to
look up the latest blessed model and so needs BASELINE_MODEL.

Environment:
    EXPERIMENT      its name.
    PIPELINE_ROOT   where everything is written: artifacts in pipeline/, models in serving/, reports in reports/.
    IMAGE           the container image built with this project's Dockerfile.
    DATA_DIR        the data set's official files, or a folder with one for each data set: a URI, or a folder mounted
                    into the containers.
    DATA_VERSION    any word; change it when the files in DATA_DIR have changed, so that they are read again.
    SEED            instead of the experiment's seed.
    SET             other values than the experiment's, as of pipeline/local_runner.py.
    ACCELERATOR     for the Trainer, as the cluster calls it: NVIDIA_TESLA_T4 (Vertex AI), nvidia.com/gpu (Kubernetes).
    ACCELERATOR_COUNT, TRAINER_CPU (cores), TRAINER_MEMORY (GB)
                    for the Trainer as well; defaults: the experiment's `resources`, which has other steps, too, else 1
                    and what the cluster gives.
    BEAM_RUNNER, BEAM_ARGS
                    where Beam's steps run, such as DataflowRunner, and its arguments, such as
                    "--sdk_container_image=..."; default: each in its own container.
    WARM_START_MODEL
                    URI of the Model artifact (with Format-Serving/ in it) of the experiment that this one starts from.
    <TASK>_TEACHER_MODEL, such as ATTRIBUTES_TEACHER_MODEL
                    likewise, of the experiments whose models label what the records lack.
    BASELINE_MODEL  URI of the one that the new model must match, or "none"; default: the latest blessed one.
    OUTPUT          the file to write; default out/kubeflow/<experiment>.json.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace

# Before TensorFlow is imported, which reads it once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore")

from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineDeploymentConfig  # noqa: E402
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (  # noqa: E402
    KubeflowV2DagRunner,
    KubeflowV2DagRunnerConfig,
)
from tfx.orchestration.pipeline import Pipeline  # noqa: E402

from components.config import Experiment, Resources  # noqa: E402
from components.datasets import build_dataset  # noqa: E402
from components.overrides import run_name  # noqa: E402
from pipeline.graph import PipelinePaths, create_pipeline  # noqa: E402
from pipeline.request import asked_experiment, beam_args  # noqa: E402

_TRAINER = "Trainer"
ResourceSpec = PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec


def kubeflow_pipeline(environment: Mapping[str, str]) -> Pipeline:
    """The pipeline that the environment (see above) describes, with the Trainer's resources.

    Raises:
        ValueError: a setting is missing or can't be; its name is in the message.
        ModuleNotFoundError: an optional package that the experiment needs is not installed.
    """
    name = _required(environment, "EXPERIMENT", "an experiment's name")
    experiment, settings = asked_experiment(name, environment)
    root = _location(_required(environment, "PIPELINE_ROOT", "a URI for what is written"), "PIPELINE_ROOT")
    paths = PipelinePaths(
        data_dir=_data_dir(environment, experiment),
        fingerprint=environment.get("DATA_VERSION", ""),
        root=f"{root}/pipeline",
        serving=f"{root}/serving",
        reports=f"{root}/reports",
        models=_models(environment, run_name(name, settings), experiment),
        custom_resolvers=False,
    )
    pipeline = create_pipeline(
        pipeline_name(run_name(name, settings)),
        run_name(name, settings),
        experiment,
        paths,
        beam_pipeline_args=list(beam_args(environment)),
    )
    asked = {step.name: step for step in experiment.resources}
    asked[_TRAINER] = _trainer_resources(environment, asked.get(_TRAINER, Resources(_TRAINER)))
    nodes = {type(node).__name__: node for node in pipeline.components}
    for step, resources in asked.items():
        if step not in nodes:
            raise ValueError(f"resources has {step!r}; the steps of {name!r} are {', '.join(nodes)}.")
        spec = _resource_spec(resources)
        if spec.ByteSize():
            nodes[step].with_platform_config(spec)
    return pipeline


def pipeline_name(experiment: str) -> str:
    """One name an experiment, because Kubeflow looks for the latest blessed model among all of a pipeline's.

    Valid are small letters, digits and hyphens.
    """
    return "facetfx-" + re.sub(r"[^a-z0-9]+", "-", experiment.lower())


def _required(environment, name, what):
    if value := environment.get(name):
        return value
    raise ValueError(f"{name} is not set. Set it to {what}.")


def _number(environment, name, kind):
    try:
        return kind(environment[name])
    except ValueError as error:
        raise ValueError(f"{name} is {environment[name]!r}, not a number.") from error


def _location(value, name):
    """`value` without a slash at its end; ValueError for what means something else in a container than here."""
    if "://" in value or value.startswith("/"):
        return value.rstrip("/")
    raise ValueError(f"{name} is {value!r}. A container needs a URI, such as gs://bucket/folder, or a mounted /folder.")


def _data_dir(environment, experiment):
    if environment.get("DATA_DIR"):
        return _location(environment["DATA_DIR"], "DATA_DIR")
    try:
        for dataset in experiment.data.datasets:
            build_dataset(dataset, None).check()
    except ValueError as error:
        raise ValueError(f"DATA_DIR is not set. {error}") from error
    return ""


def _models(environment, name: str, experiment: Experiment) -> dict[str, str]:
    """PipelinePaths.models: a look-up here sees this experiment's own pipeline alone, or is not to be had."""
    models = {}
    if warm_start := experiment.training.warm_start:
        what = f"the URI of the Model artifact of {warm_start!r}, which {name!r} starts from"
        models[warm_start] = _location(_required(environment, "WARM_START_MODEL", what), "WARM_START_MODEL")
    for teacher in experiment.data.teachers:
        setting = f"{teacher.task.upper()}_TEACHER_MODEL"
        what = f"the URI of the Model artifact of {teacher.experiment!r}, which labels {teacher.task} for {name!r}"
        models[teacher.experiment] = _location(_required(environment, setting, what), setting)
    if baseline := environment.get("BASELINE_MODEL"):
        models[name] = "" if baseline == "none" else _location(baseline, "BASELINE_MODEL")
    return models


def _trainer_resources(environment, resources: Resources) -> Resources:
    """The experiment's, with what the environment says of them."""
    if environment.get("ACCELERATOR"):
        resources = replace(resources, accelerator=environment["ACCELERATOR"])
    if environment.get("ACCELERATOR_COUNT"):
        if not resources.accelerator:
            _required(environment, "ACCELERATOR", "the kind of which ACCELERATOR_COUNT are wanted")
        resources = replace(resources, accelerators=_number(environment, "ACCELERATOR_COUNT", int))
    if environment.get("TRAINER_CPU"):
        resources = replace(resources, cpu=_number(environment, "TRAINER_CPU", float))
    if environment.get("TRAINER_MEMORY"):
        resources = replace(resources, memory=_number(environment, "TRAINER_MEMORY", float))
    resources.validate()
    return resources


def _resource_spec(resources: Resources) -> ResourceSpec:
    spec = ResourceSpec(cpu_limit=resources.cpu, memory_limit=resources.memory)
    if resources.accelerator:
        spec.accelerator.type, spec.accelerator.count = resources.accelerator, resources.accelerators
    return spec


def main() -> None:
    """Compiles what the environment describes."""
    try:
        image = _required(os.environ, "IMAGE", "the container image that `docker build` made of this project")
        pipeline = kubeflow_pipeline(os.environ)
    except (ValueError, ModuleNotFoundError) as error:
        sys.exit(f"facetfx: {error}")
    output = os.environ.get("OUTPUT") or f"out/kubeflow/{os.environ['EXPERIMENT'].replace('/', '-')}.json"
    folder, file = os.path.split(os.path.abspath(output))
    # kfp-pipeline-spec from 0.1.14 on, and Kubeflow Pipelines' own service, want 2.1.
    config = KubeflowV2DagRunnerConfig(default_image=image, use_pipeline_spec_2_1=True)
    KubeflowV2DagRunner(config, output_dir=folder, output_filename=file).run(pipeline)
    print(f"{pipeline.pipeline_info.pipeline_name}: {output}")


if __name__ == "__main__":
    main()

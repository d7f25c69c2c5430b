"""Kubeflow's part, played on this machine: a compiled pipeline's tasks run one by one as their containers would."""

from __future__ import annotations

import pathlib

import tensorflow as tf
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor


class Compiled:
    """A compiled file through Kubeflow's own protos, which refuse what they don't know."""

    def __init__(self, path: pathlib.Path):
        self.text = path.read_text()
        self.job = pipeline_spec_pb2.PipelineJob()
        content = yaml.safe_load(self.text)
        json_format.ParseDict(content if "pipelineSpec" in content else {"pipelineSpec": content}, self.job)
        self.spec = pipeline_spec_pb2.PipelineSpec()
        json_format.ParseDict(json_format.MessageToDict(self.job.pipeline_spec), self.spec)
        deployment = pipeline_spec_pb2.PipelineDeploymentConfig()
        json_format.ParseDict(json_format.MessageToDict(self.spec.deployment_spec), deployment)
        self.tasks = self.spec.root.dag.tasks
        self.executors = {
            task: deployment.executors[self.spec.components[self.tasks[task].component_ref.name].executor_label]
            for task in self.tasks
        }

    @property
    def containers(self):
        """By task, of those that run in one."""
        return {t: executor.container for t, executor in self.executors.items() if executor.HasField("container")}

    def inputs(self, task):
        """{input: (task, output) that feeds it}."""
        return {
            name: (source.task_output_artifact.producer_task, source.task_output_artifact.output_artifact_key)
            for name, source in self.tasks[task].inputs.artifacts.items()
        }

    def parameter(self, task, name):
        """A constant that a task is told."""
        return self.tasks[task].inputs.parameters[name].runtime_value.constant.string_value

    def run(self, task: str, given: pipeline_spec_pb2.ExecutorInput) -> pipeline_spec_pb2.ExecutorOutput:
        """Runs a task by its container's own arguments.

        Args:
            given: its input artifacts, and where outputs and output file go; the parameters are filled in.
        """
        for name, parameter in self.tasks[task].inputs.parameters.items():
            given.inputs.parameter_values[name].CopyFrom(parameter.runtime_value.constant)
        arguments = [a.replace("{{$}}", json_format.MessageToJson(given)) for a in self.containers[task].args]
        kubeflow_v2_run_executor.main(kubeflow_v2_run_executor._parse_flags(["run", *arguments]))
        written = tf.io.gfile.GFile(given.outputs.output_file).read()
        return json_format.Parse(written, pipeline_spec_pb2.ExecutorOutput())

    def run_all(self, root: str) -> dict[str, pipeline_spec_pb2.ExecutorOutput]:
        """Runs every task after those that feed it; each writes below `root`, a folder or URI -> what they gave."""
        done: dict[str, pipeline_spec_pb2.ExecutorOutput] = {}
        while len(done) < len(self.tasks):
            task = next(
                task
                for task in self.tasks
                if task not in done
                and {producer for producer, _ in self.inputs(task).values()} <= done.keys()
                and set(self.tasks[task].dependent_tasks) <= done.keys()
            )
            given = self._given(task, root, done)
            done[task] = self.run(task, given)
            # Tasks tell what they found out of their artifacts; of which type these are the driver knows.
            for name, artifacts in done[task].artifacts.items():
                artifacts.artifacts[0].type.CopyFrom(given.outputs.artifacts[name].artifacts[0].type)
        return done

    def _given(self, task, root, done):
        given = pipeline_spec_pb2.ExecutorInput()
        for name, (producer, output) in self.inputs(task).items():
            given.inputs.artifacts[name].CopyFrom(done[producer].artifacts[output])
        definitions = self.spec.components[task].output_definitions.artifacts
        for number, (name, definition) in enumerate(sorted(definitions.items())):
            given.outputs.artifacts[name].artifacts.add(
                name=f"projects/1/artifacts/{100 * len(done) + number + 1}",
                uri=f"{root}/{task}/{name}",
                type=definition.artifact_type,
            )
        given.outputs.output_file = f"{root}/{task}/executor_output.json"
        return given

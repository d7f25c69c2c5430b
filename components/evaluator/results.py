"""What an evaluation found, as one table: read from the folder that TFX's Evaluator or TFMA wrote."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.writers.eval_config_writer import load_eval_run

from components import tasks as task_kinds
from components.evaluator.config import JOINTLY, divisions, measured, slice_names
from components.tasks.annotation import BoundTask
from components.tasks.figures import Figure, difference_interval
from components.tasks.ratios import mean_of_defined
from components.tasks.summed_metric import error_of

_COUNT = "example_count"  # TFMA's


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """Results of one model. NaN stands for 0/0; arrays are in the order of the task's names.

    Attributes:
        tasks: what the experiment learns.
        values: by task, metric, slice ("" = all records) and iteration of task interaction (None = what is served).
        counts: evaluated records by slice.
        slices: by slice key, those of its slices that have records, in the order of the evaluation; of a yes-or-no
            label the records that have it come first.
        iterations: those that were evaluated one by one, in order; mostly none.
        errors: standard errors of numbers among the values, by the same keys.
        changes: by task and metric, how much higher it is than the last blessed model's; empty without such a model.
        baseline: where the last blessed model lies; "" without one.
    """

    tasks: tuple[BoundTask, ...]
    values: Mapping[tuple[str, str, str, int | None], float | np.ndarray]
    counts: Mapping[str, int]
    slices: Mapping[str, tuple[str, ...]]
    iterations: tuple[int, ...]
    errors: Mapping[tuple[str, str, str, int | None], float] = dataclasses.field(default_factory=dict)
    changes: Mapping[tuple[str, str], float] = dataclasses.field(default_factory=dict)
    baseline: str = ""

    def value(self, task: str, metric: str, slice: str = "", iteration: int | None = None) -> float | np.ndarray | None:
        """One value; None if it wasn't measured."""
        return self.values.get((task, metric, slice, iteration))

    def of(self, task: str, slice: str = "", iteration: int | None = None) -> dict[str, float | np.ndarray]:
        """What was measured of a task, by metric; empty if nothing was."""
        wanted = task, slice, iteration
        return {metric: value for (name, metric, *where), value in self.values.items() if (name, *where) == wanted}

    def by_iteration(self, task: str) -> dict[int, dict[str, float | np.ndarray]]:
        """`of` each iteration of task interaction; empty unless there are several to compare."""
        numbers = self.iterations if len(self.iterations) > 1 else ()
        return {number: self.of(task, iteration=number) for number in numbers}

    def figures(self, task: str, slice: str = "", iteration: int | None = None) -> list[Figure]:
        """The scalars among that, as its kind names them."""
        bound, values = self._bound(task), self.of(task, slice, iteration)
        figures = task_kinds.role(bound.kind, "evaluation").figures(bound, values) if values else []
        errors = {figure.name: self.errors.get((task, figure.metric, slice, iteration)) for figure in figures}
        return [dataclasses.replace(figure, error=errors[figure.name]) for figure in figures]

    def has_two_sides(self, slice_key: str) -> bool:
        """Whether it is a single label with records on two sides, which can be set against each other."""
        return len(self.slices[slice_key]) == 2 and JOINTLY not in slice_key

    def gap(self, task: str, metric: str, slice_key: str) -> float | None:
        """How much higher a metric is on the first of a key's two slices than on the second.

        A mean, over attributes say, is compared over what is defined on both sides: the difference of the sides' own
        means would compare means over different attributes.

        Returns:
            The difference, NaN if nothing is defined on both sides; None if the metric wasn't measured, or there are
            not two slices with records.
        """
        sides = [self.of(task, name) for name in self.slices[slice_key]]
        if not self.has_two_sides(slice_key) or metric not in sides[0]:
            return None
        means = task_kinds.role(self._bound(task).kind, "evaluation").MEANS
        parts = means.get(metric, lambda values: values[metric])
        having, lacking = map(parts, sides)
        return mean_of_defined(np.atleast_1d(having - lacking))

    def gap_interval(self, task: str, metric: str, slice_key: str) -> tuple[float, float] | None:
        """95 % confidence interval of a `gap`, by both sides' errors; None if they aren't known."""
        gap = self.gap(task, metric, slice_key)
        if gap is None:
            return None
        names, module = self.slices[slice_key], task_kinds.role(self._bound(task).kind, "evaluation")
        sides = [self.of(task, name) for name in names]
        errors = [self.errors.get((task, metric, name, None)) for name in names]
        if metric in module.MEANS:
            having, lacking = (np.isnan(module.MEANS[metric](values)) for values in sides)
            if (having != lacking).any():  # the sides' own means are over other names
                errors = module.shared_errors(metric, sides) if hasattr(module, "shared_errors") else [None]
        return difference_interval(gap, *errors)

    def _bound(self, name):
        return {task.name: task for task in self.tasks}[name]


def read_evaluation(uri: str, tasks: Sequence[BoundTask]) -> Evaluation:
    """Reads the metrics under `uri`.

    Args:
        uri: the ModelEvaluation artifact's, or TFMA's output_path.
        tasks: what was evaluated.

    Raises:
        ValueError: if there is no evaluation there, or no record was evaluated.
    """
    config = _config(uri)
    outputs = {output: (settings["task"], settings["iteration"]) for output, (_, settings) in measured(config).items()}
    values, counts, errors, changes = {}, {}, {}, {}
    for metrics in tfma.load_metrics(uri):
        keys = metrics.slice_key.single_slice_keys
        name = keys[0].bytes_value.decode() if keys else ""
        for item in metrics.metric_keys_and_values:
            key = item.key
            if key.model_name not in ("", tfma.CANDIDATE_KEY):  # a single model has no name
                continue
            if key.is_diff:
                task, iteration = outputs.get(key.output_name, ("", None))
                served = task and iteration is None and not name
                if served and item.value.WhichOneof("type") == "double_value":
                    changes[task, key.name] = _value(item.value)
                continue
            if key.output_name:
                task, iteration = outputs[key.output_name]
                of = error_of(key.name)
                (values if of is None else errors)[task, of or key.name, name, iteration] = _value(item.value)
            elif key.name == _COUNT:
                counts[name] = int(_value(item.value))
    if "" not in counts:
        raise ValueError(f"The evaluation under {uri!r} saw no record: are its example splits empty?")
    return Evaluation(
        tasks=tuple(tasks),
        values=values,
        counts=counts,
        slices={
            key: tuple(name for name in slice_names(labels) if name in counts)
            for key, labels in divisions(config).items()
        },
        iterations=tuple(sorted({iteration for _, iteration in outputs.values() if iteration is not None})),
        errors=errors,
        changes=changes,
        baseline=load_eval_run(uri)[3].get(tfma.BASELINE_KEY, ""),
    )


def read_blessing(uri: str) -> tuple[bool, list[str]]:
    """Whether the evaluated model passed, and if not, why, in sentences; `uri` as in `read_evaluation`."""
    outputs = measured(_config(uri))
    validation = tfma.load_validation_result(uri)
    reasons = [
        _reason(failure, *outputs[failure.metric_key.output_name])
        for part in validation.metric_validations_per_slice
        for failure in part.failures
    ]
    if not validation.validation_ok and not reasons:
        reasons.append("no record was evaluated" if validation.missing_slices else "no task has a bar to pass")
    return validation.validation_ok, list(dict.fromkeys(reasons))  # an undefined metric misses both its conditions


def _config(uri: str) -> tfma.EvalConfig:
    config = load_eval_run(uri)[0]
    if config is None:
        raise ValueError(f"{uri!r} holds no evaluation: expected the folder that the Evaluator wrote.")
    return config


def _value(value) -> float | np.ndarray:
    if value.WhichOneof("type") == "double_value":
        return value.double_value.value
    array = value.array_value
    kind = array.DataType.Name(array.data_type).lower()
    return np.array(getattr(array, f"{kind}_values"), kind).reshape(array.shape)


def _reason(failure, module, settings) -> str:
    """A sentence on one missed threshold."""
    name, value = f"{settings['task']} {failure.metric_key.name}", failure.metric_value.double_value.value
    if failure.message:
        return f"{name} can't be compared: {' '.join(failure.message.split())}"
    if math.isnan(value):
        return f"{name} is undefined: {module.UNDEFINED}"
    threshold = failure.metric_threshold
    if threshold.HasField("change_threshold"):
        return f"{name} is worse than the last blessed model's (difference {value:.3g})"
    bound = threshold.value_threshold
    if value < bound.lower_bound.value:
        return f"{name} {value:.6g} is below the bar {bound.lower_bound.value:.6g}"
    return f"{name} {value:.6g} is above the bar {bound.upper_bound.value:.6g}"

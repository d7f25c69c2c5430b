"""What a person asks `make run` for, checked before anything heavy is imported: the environment as one value.

`python -m pipeline.request` checks it and prints nothing if it can be done.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace

from components.config import MAX_SEED, Experiment
from components.overrides import overridden, run_name, slug
from pipeline import experiments, lock

_LEAST_FREE = 3 * 10**8  # bytes: the smallest experiments leave a third of it
_DRAWN = ("synthetic_faces",)  # data sets that have no files
DEFAULT_EXPERIMENT, DEFAULT_OUTPUT_DIR = "dmm_cnn/synthetic", "out"


@dataclasses.dataclass(frozen=True)
class Request:
    """An experiment to run.

    Attributes:
        name: the experiment's.
        experiment: with the seed and the settings that were asked for.
        settings: of components.overrides; they are part of what the run is called.
        data_dir: folder with the data sets' official files; "" if none was given.
        output_dir: where everything is written.
        beam_args: of Beam, as a command line has them: where its steps run, with how many workers; none for here.
    """

    name: str
    experiment: Experiment
    settings: tuple[str, ...] = ()
    data_dir: str = ""
    output_dir: str = DEFAULT_OUTPUT_DIR
    beam_args: tuple[str, ...] = ()

    @property
    def run_name(self) -> str:
        """What the run is called."""
        return run_name(self.name, self.settings)

    @property
    def said_output_dir(self) -> str:
        """The output folder as a command has it, behind a blank; nothing for the usual one."""
        usual = self.output_dir == os.path.abspath(DEFAULT_OUTPUT_DIR)
        return "" if usual else f" OUTPUT_DIR={shlex.quote(self.output_dir)}"

    @property
    def pipeline_root(self) -> str:
        """Where TFX keeps what the components give."""
        return os.path.join(self.output_dir, "pipeline")


def read_request(environment: Mapping[str, str]) -> Request:
    """The request in EXPERIMENT, SEED, SET, DATA_DIR, OUTPUT_DIR, BEAM_RUNNER and BEAM_ARGS (pipeline/local_runner.py).

    Raises:
        ValueError: for an unknown experiment or setting, a SEED that is no number, data sets that read files without a
            DATA_DIR, and an experiment whose model starts from another's, or whose data are taught by one, that has not
            been blessed yet.
        FileNotFoundError: if DATA_DIR is no folder.
        OSError: if OUTPUT_DIR can't be written to, or its disk is full.
    """
    name = environment.get("EXPERIMENT") or DEFAULT_EXPERIMENT
    experiment, settings = asked_experiment(name, environment)
    data_dir = environment.get("DATA_DIR") or ""
    if data_dir and not os.path.isdir(data_dir):
        raise FileNotFoundError(f"DATA_DIR is no folder: {data_dir!r}.")
    data_dir = os.path.abspath(data_dir) if data_dir else ""
    output_dir = os.path.abspath(environment.get("OUTPUT_DIR") or DEFAULT_OUTPUT_DIR)
    request = Request(name, experiment, settings, data_dir, output_dir, beam_args(environment))
    _check_data_dir(request)
    _check_prerequisites(request)
    check_disk(request.output_dir)
    return request


def beam_args(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Beam's arguments in BEAM_ARGS, with BEAM_RUNNER as `--runner` ahead of them."""
    runner = environment.get("BEAM_RUNNER")
    return (*([f"--runner={runner}"] if runner else []), *_words(environment, "BEAM_ARGS"))


def _words(environment, name):
    """A variable as a shell parts it; ValueError, naming it, for quotes that don't fit."""
    try:
        return shlex.split(environment.get(name) or "")
    except ValueError as error:
        raise ValueError(f"{name} is {environment[name]!r}: {error}.") from error


def asked_experiment(name: str, environment: Mapping[str, str]) -> tuple[Experiment, tuple[str, ...]]:
    """An experiment with the values of SET and SEED, and the settings in SET.

    Raises:
        ValueError: for an unknown experiment or setting, and a SEED that is no number.
    """
    settings = tuple(_words(environment, "SET"))
    experiment = overridden(experiments.get(name), settings)
    if seed := environment.get("SEED"):
        if not (seed.isascii() and seed.isdecimal() and int(seed) <= MAX_SEED):
            raise ValueError(f"SEED is {seed!r}, expected a whole number from 0 to {MAX_SEED}.")
        experiment = replace(experiment, training=replace(experiment.training, seed=int(seed)))
    return experiment, settings


def _check_data_dir(request):
    reading = [each.name for each in request.experiment.data.datasets if (each.builder or each.name) not in _DRAWN]
    if reading and not request.data_dir:
        folders = "a folder with a folder for each" if len(request.experiment.data.datasets) > 1 else "the folder"
        raise ValueError(
            f"{request.name} reads the files of {', '.join(reading)}, and DATA_DIR is not set: give {folders}, as "
            "DATA_DIR=…. What the folder holds: README, Data sets."
        )


def _check_prerequisites(request):
    experiment = request.experiment
    needed = {teacher.experiment: "is taught by the model" for teacher in experiment.data.teachers}
    if experiment.training.warm_start:
        needed[experiment.training.warm_start] = "starts from the model"
    for name, why in needed.items():
        first = experiments.get(name)
        # What Evaluator leaves beside a model that passed.
        blessings = pathlib.Path(request.pipeline_root).glob(f"Evaluator-{slug(name)}/blessing/*/BLESSED")
        if next(blessings, None) is not None:
            if name == experiment.training.warm_start:
                _check_trained(request, name)
            continue
        data_dir = _its_data_dir(request, first)
        raise ValueError(
            f"{request.name} {why} of {name}, of which there is no blessed one under {request.output_dir!r} yet. "
            f"First: make run EXPERIMENT={name} DATA_DIR={data_dir}{request.said_output_dir}"
        )


def _its_data_dir(request, first: Experiment) -> str:
    """The data folder of an experiment that comes before the request's, as a command has it; … if it isn't known."""
    names, others = ([each.name for each in of.data.datasets] for of in (request.experiment, first))
    if not request.data_dir or not set(others) <= set(names):
        return "…"
    # Of several data sets each has a folder called by its name.
    alone = len(others) == 1 < len(names)
    return shlex.quote(os.path.join(request.data_dir, others[0]) if alone else request.data_dir)


def _check_trained(request, name):
    """Weights are read from what an export of an earlier facetfx doesn't have."""
    models = list(pathlib.Path(request.pipeline_root).glob(f"Trainer-{slug(name)}/model/*/Format-Serving"))
    if not models:
        raise ValueError(
            f"{request.name} starts from the model of {name}, which was blessed and is gone from "
            f"{request.pipeline_root!r}. Train it again, with another SEED."
        )
    if not any((model / "assets.extra" / "trained.keras").exists() for model in models):
        raise ValueError(
            f"{request.name} starts from the model of {name}, whose {str(models[-1])!r} is of an earlier facetfx, "
            "without assets.extra/trained.keras. Train it again, with another SEED or OUTPUT_DIR."
        )


def check_disk(output_dir: str, needed: float = 0) -> None:
    """Raises OSError if OUTPUT_DIR can't be written to, or its disk has less left than a run needs.

    Args:
        needed: bytes that records and checkpoints will take; a run of the smallest experiments needs 300 MB.
    """
    needed = max(needed, _LEAST_FREE)
    folder = pathlib.Path(output_dir)
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"OUTPUT_DIR is {output_dir!r}, but {str(there)!r} is a file: name a folder.")
    if not os.access(there, os.W_OK):
        raise PermissionError(f"OUTPUT_DIR is {output_dir!r}, but nothing may be written in {str(there)!r}.")
    free = shutil.disk_usage(there).free
    if free < needed:
        raise OSError(
            f"The disk with OUTPUT_DIR ({output_dir!r}) has {free / 1e6:,.0f} MB left; this run "
            f"takes about {needed / 1e6:,.0f} MB. Free some, or name another OUTPUT_DIR."
        )


def request_or_exit() -> Request:
    """`read_request` of the process's environment; what can't be done ends the process with a line that says why."""
    try:
        return read_request(os.environ)
    except (ValueError, OSError) as error:
        if os.environ.get("VERBOSE"):
            raise
        sys.exit(f"facetfx: {error}")


def main() -> None:
    """Ends the process with a line that says why, if what the environment asks for can't be done now."""
    request = request_or_exit()
    try:
        lock.check_free(request.output_dir)
    except lock.InUseError as error:
        sys.exit(f"facetfx: {error}")


if __name__ == "__main__":
    main()

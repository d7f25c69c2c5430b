"""Runs an experiment on this machine: the file that `tfx pipeline create` and `tfx run create --engine local` take.

Environment:
    EXPERIMENT  its name; default dmm_cnn/synthetic.
    DATA_DIR    folder with the data set's official files; of several data sets, with a folder for each.
    SEED        instead of the experiment's seed.
    SET         other values than the experiment's: "training.epochs=3 data.image_size=64,64" (components/overrides.py).
    OUTPUT_DIR  where everything is written; default out.
    BEAM_RUNNER, BEAM_ARGS
                where Beam's steps run, such as FlinkRunner, and its arguments; default: here.
    VERBOSE     anything: what goes wrong is shown with where it went wrong.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import sys
import warnings

from pipeline import interruption

if __name__ == "__main__":
    interruption.end_in_a_line()  # also while the libraries are imported

# Before TensorFlow is imported, which reads it once; a person's run should not drown in library noise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # keras_models/_environment.py says why
warnings.filterwarnings("ignore")

from tfx.orchestration.local.local_dag_runner import LocalDagRunner  # noqa: E402
from tfx.orchestration.metadata import sqlite_metadata_connection_config  # noqa: E402
from tfx.orchestration.pipeline import Pipeline  # noqa: E402

from components.beam_workers import check_options  # noqa: E402
from components.code_version import code_version  # noqa: E402
from components.config import form, to_json  # noqa: E402
from components.datasets import build_datasets  # noqa: E402
from components.datasets.binding import bound_tasks  # noqa: E402
from components.overrides import slug  # noqa: E402
from components.trainer.recipe import check_network  # noqa: E402
from pipeline import console, lock  # noqa: E402
from pipeline.graph import PipelinePaths, create_pipeline  # noqa: E402
from pipeline.mending import begin_anew_without_metadata, mend_trained_models  # noqa: E402
from pipeline.request import Request, check_disk, request_or_exit  # noqa: E402
from pipeline.room import records_room  # noqa: E402

PIPELINE_NAME = "facetfx"
# Checkpoints with the optimizer's moments and the weights' average took 57 bytes a weight; the export comes after them.
_BYTES_A_WEIGHT = 60


def local_pipeline(request: Request) -> Pipeline:
    """The pipeline of one experiment under the request's output folder.

    All experiments share one pipeline and its metadata, so that data prepared for one is there for the next.

    Raises:
        ValueError: if the data sets don't have the splits or labels that the experiment wants, the network can't be
            built or doesn't fit the labels, or what the training is made of has arguments that aren't there.
        OSError: an official file, or a data set's folder, is missing; pretrained weights can't be fetched; metadata.db
            can't be read; the disk is too full for records and checkpoints.
        ModuleNotFoundError: an optional package that the experiment needs is not installed.
    """
    datasets = list(build_datasets(request.experiment.data.datasets, request.data_dir).values())
    for dataset in datasets:
        dataset.check()
    check_options(request.beam_args)
    _check_network_and_disk(request, datasets)
    metadata, serving = (os.path.join(request.output_dir, name) for name in ("metadata.db", "serving"))
    os.makedirs(request.output_dir, exist_ok=True)
    begin_anew_without_metadata(metadata, request.pipeline_root)
    mend_trained_models(request.pipeline_root, serving, slug(request.run_name))
    paths = PipelinePaths(
        data_dir=request.data_dir,
        fingerprint=" ".join(dataset.fingerprint() for dataset in datasets),
        root=request.pipeline_root,
        serving=serving,
        reports=os.path.join(request.output_dir, "reports"),
    )
    return create_pipeline(
        PIPELINE_NAME,
        request.run_name,
        request.experiment,
        paths,
        metadata_connection_config=sqlite_metadata_connection_config(metadata),
        beam_pipeline_args=list(request.beam_args),
    )


def _check_network_and_disk(request, datasets):
    """What takes seconds: it is noted down under OUTPUT_DIR, by all that it depends on, and not done again."""
    experiment, tasks = request.experiment, bound_tasks(request.experiment)
    code = code_version("keras_models", "components/trainer", "components/tasks", "components/systems")
    network = _note(request, form(experiment), to_json(tasks), code)
    records = _note(request, to_json(experiment.data), *(dataset.fingerprint() for dataset in datasets))
    needed = 0
    if not network.exists():
        needed += _BYTES_A_WEIGHT * check_network(experiment, tasks)
    if not records.exists():
        needed += records_room(experiment.data, datasets)
    check_disk(request.output_dir, needed)
    network.parent.mkdir(parents=True, exist_ok=True)
    network.touch()
    records.touch()


def _note(request, *parts):
    """The file that says that what consists of these parts was found to be right."""
    return pathlib.Path(request.output_dir, "checked", hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16])


def main() -> None:
    """Builds the pipeline from the environment and runs it; under `tfx pipeline create` it is only registered."""
    request = request_or_exit()
    try:
        with lock.held(request.output_dir):
            _run(request)
    except lock.InUseError as error:
        sys.exit(f"facetfx: {error}")


def _run(request):
    try:
        pipeline = local_pipeline(request)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if interruption.asked() or os.environ.get("VERBOSE"):
            raise
        sys.exit(f"facetfx: {error}\n(EXPERIMENT={request.name} DATA_DIR={request.data_dir or 'not set'})")
    with console.ComponentProgress(pipeline) as progress, console.told_in_a_line(progress):
        LocalDagRunner().run(pipeline)
    if progress.ran:
        console.print_results(request, progress)


if __name__ == "__main__":
    main()

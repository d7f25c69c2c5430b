"""Runs an experiment on this machine: the file that `tfx pipeline create` and `tfx run create --engine local` take.

Environment:
    EXPERIMENT  its name; default dmm_cnn/synthetic.
    DATA_DIR    folder with the data set's official files; of several data sets, with a folder for each.
    SEED        instead of the experiment's seed.
    SET         other values than the experiment's: "training.epochs=3 data.image_size=64,64" (components/overrides.py).
    OUTPUT_DIR  where everything is written; default out.
"""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace

# Before TensorFlow is imported, which reads it once; a person's run should not drown in library noise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # keras_models/_environment.py says why
warnings.filterwarnings("ignore")

from tfx.orchestration.local.local_dag_runner import LocalDagRunner  # noqa: E402
from tfx.orchestration.metadata import sqlite_metadata_connection_config  # noqa: E402
from tfx.orchestration.pipeline import Pipeline  # noqa: E402

from components.datasets import build_datasets  # noqa: E402
from components.overrides import overridden, run_name  # noqa: E402
from pipeline import console, experiments  # noqa: E402
from pipeline.graph import PipelinePaths, create_pipeline  # noqa: E402

PIPELINE_NAME = "facetfx"
DEFAULT_EXPERIMENT = "dmm_cnn/synthetic"


def local_pipeline(
    name: str, data_dir: str, seed: int | None, output_dir: str, settings: Sequence[str] = ()
) -> Pipeline:
    """The pipeline of one experiment under `output_dir`.

    All experiments share one pipeline and its metadata, so that data prepared for one is there for the next.

    Args:
        name: the experiment's.
        data_dir: folder with the data set's official files, or with a folder for each data set
            (components.datasets.build_datasets); "" if none are needed.
        seed: instead of the experiment's, or None.
        settings: of components.overrides; they are part of what the run is called.

    Raises:
        ValueError: unknown experiment or setting.
        FileNotFoundError: an official file, or a data set's folder, is missing.
        ModuleNotFoundError: an optional package that the experiment needs is not installed.
    """
    experiment = overridden(experiments.get(name), settings)
    for other in filter(None, (experiment.training.warm_start, *(t.experiment for t in experiment.data.teachers))):
        experiments.get(other)  # an unknown one is told before anything runs
    if seed is not None:
        experiment = replace(experiment, training=replace(experiment.training, seed=seed))
    datasets = build_datasets(experiment.data.datasets, data_dir).values()
    for dataset in datasets:
        dataset.check()
    root = os.path.join(output_dir, "pipeline")
    metadata = os.path.join(output_dir, "metadata.db")
    os.makedirs(output_dir, exist_ok=True)
    paths = PipelinePaths(
        data_dir=data_dir,
        fingerprint=" ".join(dataset.fingerprint() for dataset in datasets),
        root=root,
        serving=os.path.join(output_dir, "serving"),
        reports=os.path.join(output_dir, "reports"),
    )
    return create_pipeline(
        PIPELINE_NAME,
        run_name(name, settings),
        experiment,
        paths,
        metadata_connection_config=sqlite_metadata_connection_config(metadata),
    )


def main() -> None:
    """Builds the pipeline from the environment and runs it; under `tfx pipeline create` it is only registered."""
    environment = os.environ.get
    name = environment("EXPERIMENT") or DEFAULT_EXPERIMENT
    output_dir = os.path.abspath(environment("OUTPUT_DIR") or "out")
    data_dir = os.path.abspath(environment("DATA_DIR")) if environment("DATA_DIR") else ""
    try:
        seed = _seed(environment("SEED"))
        settings = shlex.split(environment("SET") or "")
        pipeline = local_pipeline(name, data_dir, seed, output_dir, settings)
    except (ValueError, FileNotFoundError, ModuleNotFoundError) as error:
        sys.exit(f"facetfx: {error}\n(EXPERIMENT={name} DATA_DIR={data_dir or 'not set'})")
    with console.ComponentProgress(pipeline) as progress:
        LocalDagRunner().run(pipeline)
    if progress.ran:
        console.print_results(run_name(name, settings), output_dir, progress)


def _seed(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        raise ValueError(f"SEED is a whole number from 0 on; received {text!r}.")
    return int(text)


if __name__ == "__main__":
    main()

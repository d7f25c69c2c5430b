"""The run that is disturbed: a small DMM-CNN through the whole pipeline, as `make run` starts it."""

from pipeline import experiments, local_runner
from pipeline.experiments.registry import REGISTERED
from tests.support.pipeline_runs import dmm_cnn

NAME = "faults/small"

if __name__ == "__main__":
    experiments.names()
    REGISTERED[NAME] = dmm_cnn()
    local_runner.main()

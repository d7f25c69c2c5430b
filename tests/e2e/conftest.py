"""What the files of pipelines share."""

from unittest import mock

import pytest

from pipeline import experiments
from pipeline.experiments.registry import REGISTERED


@pytest.fixture(scope="module", autouse=True)
def _registered_for_the_file():
    """Other tests don't find the experiments that a file enters."""
    experiments.names()  # enters the project's own, which stay
    with mock.patch.dict(REGISTERED):
        yield

"""Which options of Beam are taken."""

from __future__ import annotations

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from components.beam_workers import check_options, has_one_worker

PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]


@pytest.mark.parametrize(
    "options",
    [[], PROCESSES, ["--direct_num_workers", "2"], ["--runner=FlinkRunner", "--parallelism=2", "--of_the_engine=1"]],
)
def test_options_that_there_are(options):
    check_options(options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers=2", "--temp_location=/tmp"], "no option --workers"),
        (["--runner=DirectRunner", "--b=1", "--a"], "direct runner has no option --a, --b"),
        (["nonsense"], "'nonsense' is no option of Beam, which are --name=value"),
        (["--direct_num_workers=2", "nonsense"], "'nonsense' is no option"),
        (["--direct_num_workers=many"], "Beam: .*argument --direct_num_workers: invalid int value: 'many'"),
        (["--runner=Nonsense"], "Unexpected pipeline runner: Nonsense"),
    ],
)
def test_options_that_there_are_not(options, message):
    with pytest.raises(ValueError, match=message):
        check_options(options)


@pytest.mark.parametrize(("options", "one"), [([], True), (PROCESSES, False), (["--runner=FlinkRunner"], False)])
def test_where_there_is_one_worker(options, one):
    assert has_one_worker(PipelineOptions(options)) is one

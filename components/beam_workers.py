"""Where a Beam pipeline runs."""

from __future__ import annotations

from collections.abc import Sequence

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.runner import create_runner


def check_options(arguments: Sequence[str]) -> None:
    """Raises ValueError for a runner that Beam doesn't have, and for what the direct runner would silently leave out.

    Other runners may hand on to their engine what Beam doesn't know.

    Args:
        arguments: of Beam, such as --runner=FlinkRunner.
    """
    options = PipelineOptions(list(arguments))
    create_runner(options.view_as(StandardOptions).runner or "DirectRunner")
    if _is_direct(options):
        known = options.get_all_options()
        if unknown := sorted(options.get_all_options(retain_unknown_options=True).keys() - known.keys()):
            raise ValueError(f"Beam's direct runner has no option {', '.join(map('--{}'.format, unknown))}.")


def _is_direct(options):
    return options.view_as(StandardOptions).runner in (None, "DirectRunner")


def has_one_worker(options: PipelineOptions) -> bool:
    """Whether this is the in-memory direct runner: there a shuffle helps nobody and holds every record in memory."""
    return _is_direct(options) and options.view_as(DirectOptions).direct_running_mode == "in_memory"

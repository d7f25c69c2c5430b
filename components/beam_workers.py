"""Where a Beam pipeline runs."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Sequence

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.runner import create_runner


def check_options(arguments: Sequence[str]) -> None:
    """Raises ValueError for runners and values that there aren't, and for what would silently be left out.

    Other runners than the direct one may hand on to their engine options that Beam doesn't know.

    Args:
        arguments: of Beam, such as --runner=FlinkRunner.
    """
    for before, argument in itertools.pairwise(["", *arguments]):
        if not argument.startswith("-") and (not before.startswith("-") or "=" in before):
            raise ValueError(f"{argument!r} is no option of Beam, which are --name=value.")
    options, said = PipelineOptions(list(arguments)), io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            known = options.get_all_options()
    except SystemExit as error:  # of argparse, behind all options that there are
        raise ValueError(f"Beam: {said.getvalue().strip().splitlines()[-1]}") from error
    create_runner(options.view_as(StandardOptions).runner or "DirectRunner")
    unknown = sorted(options.get_all_options(retain_unknown_options=True).keys() - known.keys())
    if unknown and _is_direct(options):
        raise ValueError(f"Beam's direct runner has no option {', '.join(map('--{}'.format, unknown))}.")


def _is_direct(options):
    return options.view_as(StandardOptions).runner in (None, "DirectRunner")


def has_one_worker(options: PipelineOptions) -> bool:
    """Whether this is the in-memory direct runner: there a shuffle helps nobody and holds every record in memory."""
    return _is_direct(options) and options.view_as(DirectOptions).direct_running_mode == "in_memory"

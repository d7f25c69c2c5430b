"""Where a Beam pipeline runs."""

from __future__ import annotations

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions


def has_one_worker(options: PipelineOptions) -> bool:
    """Whether this is the in-memory direct runner: there a shuffle helps nobody and holds every record in memory."""
    local = options.view_as(StandardOptions).runner in (None, "DirectRunner")
    return local and options.view_as(DirectOptions).direct_running_mode == "in_memory"

"""What a person sees while a pipeline runs here, and when it has run."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator

from absl import logging as absl_logging
from rich.console import Console
from rich.table import Table
from tfx.orchestration.pipeline import Pipeline

from components.overrides import slug

_OUT = Console(stderr=True, highlight=False)


class ComponentProgress(logging.Handler):
    """Turns LocalDagRunner's log into a line per component: which of how many, and its time or that it was cached.

    While it is entered, the libraries' own messages are kept back unless they are errors.

    Args:
        pipeline: what will run.

    Attributes:
        current: the component that runs. minutes: that each took. cached: those that were found in the cache.
    """

    def __init__(self, pipeline: Pipeline):
        super().__init__(logging.INFO)
        self._total = len(pipeline.components)
        self.current = "the pipeline"
        self.minutes: dict[str, float] = {}
        self.cached: set[str] = set()

    @property
    def ran(self) -> bool:
        """Whether anything ran: under `tfx pipeline create` nothing does."""
        return bool(self.minutes)

    def __enter__(self) -> ComponentProgress:
        absl_logging.use_absl_handler()
        absl_logging.set_verbosity(absl_logging.INFO)
        # TFX warns of its own internals a dozen times a run.
        absl_logging.get_absl_handler().setLevel(logging.ERROR)
        absl_logging.get_absl_logger().addHandler(self)
        for handler in logging.getLogger("tensorflow").handlers:
            handler.setLevel(logging.ERROR)
        return self

    def __exit__(self, *exception) -> None:
        absl_logging.get_absl_logger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Reads the three messages that matter."""
        if record.msg == "Component %s is running.":
            self.current, self._started = record.args[0], time.monotonic()
            _OUT.print(f"[bold]\\[{len(self.minutes) + 1}/{self._total}] {self.current}[/bold]")
        elif record.msg == "A cached execution %d is used.":
            self.cached.add(self.current)
        elif record.msg == "Component %s is finished.":
            seconds = time.monotonic() - self._started
            self.minutes[self.current] = seconds / 60
            _OUT.print(
                f"        {'cached' if self.current in self.cached else f'done in {seconds:.0f} s'}", style="dim"
            )


@contextlib.contextmanager
def told_in_a_line(progress: ComponentProgress) -> Iterator[None]:
    """Ends the process with a line or two where a component fails or the run is stopped; VERBOSE shows it all."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(f"\nStopped in {progress.current}. The same command goes on from what is done.")
    except Exception as error:
        if os.environ.get("VERBOSE"):
            raise
        sys.exit(f"facetfx: {progress.current} failed: {_last_words(error)}\nVERBOSE=1 shows where.")


def _last_words(error):
    """The message; of one that holds a traceback, as Beam's do, what stands behind it."""
    message = str(error).strip() or type(error).__name__
    if "Traceback (most recent call last)" not in message:
        return message
    return [line for line in message.splitlines() if line and not line.startswith((" ", "Traceback"))][-1]


def print_results(name: str, output_dir: str, progress: ComponentProgress) -> None:
    """The table at the end: what was measured, whether it was pushed and why not, where everything lies."""
    folder = os.path.join(output_dir, "reports", slug(name))
    with open(os.path.join(folder, "results.json")) as f:
        results = json.load(f)
    table = Table(title=f"{name}: {results['verdict']}", show_header=False, title_justify="left", min_width=60)
    for title, value in results["figures"].items():
        table.add_row(title, f"{value:.4f}" if isinstance(value, float) else f"{value:,}")
    _OUT.print(table)
    for reason in results["reasons"]:
        _OUT.print(f"  {reason}", style="yellow", soft_wrap=True)
    for title, place in results["places"].items():
        _OUT.print(f"{title:7} {place}", soft_wrap=True)
    longest = sorted(progress.minutes.items(), key=lambda item: -item[1])[:5]
    total = f"{sum(progress.minutes.values()):.1f} min in {len(progress.minutes)} components"
    longest = ", ".join(f"{component} {minutes:.1f}" for component, minutes in longest)
    _OUT.print(f"{total}, {len(progress.cached)} of them cached; longest: {longest}", soft_wrap=True)

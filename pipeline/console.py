"""What a person sees while a pipeline runs here, and when it has run."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import shlex
import shutil
import sys
import time
from collections.abc import Iterator

import tensorflow as tf
from absl import logging as absl_logging
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tfx.orchestration.pipeline import Pipeline

from components.overrides import slug
from components.report.component import RunReport
from components.report.executor import SUMMARIES
from pipeline import interruption
from pipeline.mending import restore_pushed
from pipeline.request import Request

# In a log nothing is broken into lines: names that are searched for stay whole.
_OUT = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 200)


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
        self._components = pipeline.components
        self.current = "the pipeline"
        self.minutes: dict[str, float] = {}
        self.cached: set[str] = set()

    @property
    def left_out(self) -> list[str]:
        """The components that have neither run nor been found in the cache."""
        return [component.id for component in self._components if component.id not in self.minutes]

    @property
    def run(self) -> str:
        """What tells the run from all others, as its report is told."""
        return next(node.exec_properties["run"] for node in self._components if isinstance(node, RunReport))

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
            interruption.at(f"in {self.current}")
            _OUT.print(f"[bold]\\[{len(self.minutes) + 1}/{len(self._components)}] {self.current}[/bold]")
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
    """Ends the process with a line or two where a component fails; VERBOSE shows it all."""
    try:
        yield
    except Exception as error:
        # Beam gives an interruption another class.
        if interruption.asked() or os.environ.get("VERBOSE"):
            raise
        sys.exit(f"facetfx: {progress.current} failed: {_last_words(error)}\nVERBOSE=1 shows where.")


def _last_words(error):
    """The message; of one that holds a traceback, as Beam's do, what stands behind it."""
    message = str(error).strip() or type(error).__name__
    if "Traceback (most recent call last)" not in message:
        return message
    return [line for line in message.splitlines() if line and not line.startswith((" ", "Traceback"))][-1]


def results_of(request: Request, run: str) -> dict:
    """What the report of a run says, whatever ran in between; brings it to reports/.

    Args:
        run: as of components.report.component.RunReport.

    Raises:
        FileNotFoundError: if no report of this run can be read.
    """
    own = slug(request.run_name)
    reports = pathlib.Path(request.pipeline_root, f"Report-{own}", "report")
    for folder in sorted(reports.glob("[0-9]*"), key=lambda folder: int(folder.name), reverse=True):
        try:
            results = json.loads((folder / "results.json").read_text())
        except (OSError, ValueError):  # of a run that was killed
            continue
        if results.get("run") == run:
            latest = os.path.join(request.output_dir, "reports", own)
            shutil.copytree(folder, latest, dirs_exist_ok=True, ignore=shutil.ignore_patterns(SUMMARIES))
            return results
    raise FileNotFoundError(f"No report of this run of {request.run_name} can be read under {str(reports)!r}.")


def figure(value: float, share: bool) -> str:
    """`1,234`, `5.2000`; a share in percent, `91.70 %`, as the report has it."""
    if share:
        return f"{100 * value:.2f} %"
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}"


def print_results(request: Request, progress: ComponentProgress) -> None:
    """The table at the end: what was measured, whether it was pushed and why not, where everything lies.

    Ends the process with a sentence if not every component did its part, or there is no report of them.
    """
    if progress.left_out:
        sys.exit(
            f"facetfx: {', '.join(progress.left_out)} neither ran nor was found done. {request.output_dir}/metadata.db "
            "may be damaged: without it the next start begins anew, beside what is there."
        )
    try:
        results = results_of(request, progress.run)
        restore_pushed(results)
    except (OSError, tf.errors.OpError) as error:
        sys.exit(f"facetfx: {error}")
    title = f"{request.run_name}: {results['verdict']}"
    table = Table(title=Text(title), show_header=False, title_justify="left", min_width=60)
    for title, value in results["figures"].items():
        interval, share = results["intervals"].get(title), title in results["shares"]
        spread = " to ".join(figure(end, share) for end in interval) if interval else ""
        table.add_row(Text(title), figure(value, share), spread)
    _OUT.print(table)
    if results["intervals"]:
        _OUT.print("On the right, 95 % confidence intervals, for other images of the kind.", style="dim")
    else:
        _OUT.print("Without confidence intervals, for which there are too few test images.", style="dim")
    for passed in results["bars"]:
        _OUT.print(f"  {passed}", soft_wrap=True, markup=False)
    for reason in results["reasons"]:
        _OUT.print(f"  {reason}", style="yellow", soft_wrap=True, markup=False)
    for title, place in results["places"].items():
        _OUT.print(f"{title:7} {place}", soft_wrap=True, markup=False)
    if results["verdict"] == "blessed and pushed":
        model = f"MODEL={shlex.quote(request.run_name)}{request.said_output_dir}"
        _OUT.print(
            f"next    make serve {model}, a page for your photographs; make predict IMAGES=… {model} OUT=faces.csv",
            soft_wrap=True,
            markup=False,
        )
    longest = sorted(progress.minutes.items(), key=lambda item: -item[1])[:5]
    total = f"{sum(progress.minutes.values()):.1f} min in {len(progress.minutes)} components"
    longest = ", ".join(f"{component} {minutes:.1f}" for component, minutes in longest)
    _OUT.print(f"{total}, {len(progress.cached)} of them cached; longest: {longest}", soft_wrap=True)

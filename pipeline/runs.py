"""`make runs`: what ran under OUTPUT_DIR (default out), when, and how it ended; the latest first."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence

from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.config import from_json
from pipeline.lock import is_held
from pipeline.request import DEFAULT_OUTPUT_DIR

_SHOWN = 40
_WIDTH = 150
_State = metadata_store_pb2.Execution.State
_DONE = (_State.COMPLETE, _State.CACHED)
# The nodes that carry an experiment's name (pipeline/graph.py).
_OWN = re.compile(r"(?:Trainer|LastBlessed|WarmStart|Evaluator|LiteEvaluator|ServingCheck|Pusher|Report)-(.+)")


@dataclasses.dataclass(frozen=True)
class Node:
    """A component of a run: its id, the state of its execution, and when that changed last, in seconds."""

    id: str
    state: int
    changed: float


@dataclasses.dataclass(frozen=True)
class Run:
    """A run as its metadata have it.

    Attributes:
        started: seconds since 1970.
        nodes: that began, in order.
        seed: of the training; "" if that didn't begin. datasets: that were read; "" if that didn't begin.
    """

    started: float
    nodes: tuple[Node, ...]
    seed: str = ""
    datasets: str = ""

    @property
    def experiment(self) -> str:
        """Its name, as in folders and ids; if nothing of its own began, what data it was to learn from."""
        own = (found.group(1) for found in map(_OWN.fullmatch, (node.id for node in self.nodes)) if found)
        return next(own, f"(one that reads {self.datasets})" if self.datasets else "–")

    @property
    def minutes(self) -> float:
        """From its start to the last change."""
        return (max((node.changed for node in self.nodes), default=self.started) - self.started) / 60

    @property
    def done(self) -> bool:
        """Whether it ran to its report."""
        last = self.nodes[-1] if self.nodes else None
        return last is not None and last.id.startswith("Report-") and last.state in _DONE

    def state(self, works: bool, continued: bool = False) -> str:
        """In words.

        Args:
            works: whether a process may be at it still.
            continued: whether a later run of the same name ran to its end.
        """
        if failed := [node.id for node in self.nodes if node.state == _State.FAILED]:
            return f"failed in {failed[-1]}"
        if self.done:
            cached = sum(node.state == _State.CACHED for node in self.nodes)
            return f"done, {cached} of {len(self.nodes)} components cached"
        where = f"{'in' if self.nodes[-1].state not in _DONE else 'after'} {self.nodes[-1].id}" if self.nodes else ""
        if works:
            return f"running, {where}"
        then = "a later run went on" if continued else "the same command goes on"
        return f"stopped {where}: {then}".replace("  ", " ").replace(" :", ":")


def read_runs(database: str) -> list[Run]:
    """All runs in a metadata.db, the latest first; FileNotFoundError if there is none."""
    if not os.path.exists(database):
        raise FileNotFoundError(f"No runs yet: there is no {database!r}.")
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = database
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    store = MetadataStore(config)
    runs = []
    for context in store.get_contexts_by_type("pipeline_run"):
        executions = sorted(store.get_executions_by_context(context.id), key=lambda execution: execution.id)
        nodes = tuple(
            Node(_node_id(store, each), each.last_known_state, each.last_update_time_since_epoch / 1000)
            for each in executions
        )
        runs.append(Run(context.create_time_since_epoch / 1000, nodes, _seed(executions), _datasets(executions)))
    return sorted(runs, key=lambda run: -run.started)


def _seed(executions):
    """As the Trainer was told it, in the experiment."""
    told = (each.custom_properties["custom_config"].string_value for each in executions if each.custom_properties)
    experiments = (json.loads(config).get("experiment") for config in told if config)
    return next((str(from_json(experiment).training.seed) for experiment in experiments if experiment), "")


def _datasets(executions):
    """As FacesExampleGen was told them."""
    told = (each.custom_properties["datasets"].string_value for each in executions if each.custom_properties)
    return ", ".join(dataset.name for datasets in filter(None, told) for dataset in from_json(datasets))


def _node_id(store, execution):
    """TFX calls a node's context <pipeline>.<node>."""
    names = {store_type.id: store_type.name for store_type in store.get_context_types()}
    contexts = store.get_contexts_by_execution(execution.id)
    return next(each.name.split(".", 1)[-1] for each in contexts if names[each.type_id] == "node")


def listed(runs: Sequence[Run], works: bool) -> Table:
    """A row a run; `works`: whether a process is at the latest."""
    table = Table("started", "run", "seed", "minutes", "state", box=None, pad_edge=False)
    done: set[str] = set()
    for place, run in enumerate(runs[:_SHOWN]):
        started = datetime.datetime.fromtimestamp(run.started).strftime("%Y-%m-%d %H:%M")
        state = run.state(works and place == 0, run.experiment in done)
        done |= {run.experiment} if run.done else set()
        table.add_row(started, Text(run.experiment), run.seed, f"{run.minutes:.1f}", Text(state))
    return table


def main() -> None:
    """Prints the list."""
    output_dir = os.environ.get("OUTPUT_DIR") or DEFAULT_OUTPUT_DIR
    try:
        runs = read_runs(os.path.join(output_dir, "metadata.db"))
    except FileNotFoundError as error:
        sys.exit(f"facetfx: {error}")
    # Wide enough for the names of nodes, whatever the terminal: a cut one can't be copied.
    Console(width=max(_WIDTH, shutil.get_terminal_size().columns)).print(listed(runs, is_held(output_dir)))


if __name__ == "__main__":
    main()

"""Takes part in a training that the Trainer of another machine has begun, and says so with this command:

    TF_CONFIG='{"cluster": {"worker": ["one:2222", "two:2222"]}, "task": {"type": "worker", "index": 1}}' \\
        python -m components.trainer.join SHARED_FOLDER/join.json

It ends when the training does, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

import tensorflow as tf

from components.config import from_json
from components.trainer.workers import num_machines, told_chief

JOIN_FILE = "join.json"


def write_request(folder: str, **arguments: object) -> None:
    """Leaves what `train` is called with, so that the other machines can call it; says how.

    Args:
        folder: that all machines share.
        arguments: of `train`, as JSON values; experiment and tasks as their own JSON.
    """
    path = os.path.join(folder, JOIN_FILE)
    tf.io.gfile.makedirs(folder)
    with tf.io.gfile.GFile(path, "w") as file:
        json.dump(arguments, file)
    print(
        f"  Waiting for {num_machines() - 1} more of the machines in TF_CONFIG. On each, with its own place in it:\n"
        f"    python -m components.trainer.join {path}",
        file=sys.stderr,
        flush=True,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Trains along; what can't be done ends the process with a line that says why."""
    parser = argparse.ArgumentParser("python -m components.trainer.join", description="Takes part in a training.")
    parser.add_argument("request", help=f"{JOIN_FILE}, as the other machine names it")
    asked = parser.parse_args(argv)
    try:
        if num_machines() == 1 or told_chief():
            raise ValueError("TF_CONFIG names no other machine whose training this one could take part in.")
        with tf.io.gfile.GFile(asked.request) as file:
            arguments = json.load(file)
        experiment, tasks = (from_json(arguments.pop(name)) for name in ("experiment", "tasks"))
        from components.trainer.loop import train  # heavy

        train(experiment, tasks, **arguments)
    except (KeyError, TypeError) as error:
        sys.exit(f"facetfx: {asked.request!r} is of another version of facetfx: {error!r}")
    except (ValueError, tf.errors.OpError) as error:
        sys.exit(f"facetfx: {error}")
    print("  The training has ended.", file=sys.stderr)


if __name__ == "__main__":
    main()

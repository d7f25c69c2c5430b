"""`run_fn` in a process of its own: TensorFlow only connects machines that nothing has been computed on yet.

Of a runner that runs all components in one process, the ones before the Trainer have computed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

_FIELDS = (
    "train_files",
    "eval_files",
    "transform_output",
    "schema_path",
    "base_model",
    "model_run_dir",
    "serving_model_dir",
    "custom_config",
)


def run_in_own_process(fn_args: FnArgs) -> None:
    """Calls components.trainer.run_fn.train_and_export there; RuntimeError if it fails, which it has said why."""
    told = json.dumps({name: getattr(fn_args, name) for name in _FIELDS})
    ended = subprocess.run([sys.executable, "-m", "components.trainer.own_process"], input=told, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"The process that trains with other machines ended with {ended.returncode}; see above.")


def main() -> None:
    """What the process runs: reads what it is told from stdin; what can't be done ends it with a line."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the other process says that it was stopped
    warnings.filterwarnings("ignore")
    told = types.SimpleNamespace(**json.load(sys.stdin))
    from components.trainer.run_fn import train_and_export

    try:
        train_and_export(told)
    except (ValueError, OSError) as error:
        if os.environ.get("VERBOSE"):
            raise
        sys.exit(f"facetfx: {error}")


if __name__ == "__main__":
    main()

"""Serves pushed models on this machine: TensorFlow Serving's REST API, and a page to try them on one's own photographs.

    make serve MODEL=mgg_net/celeb_a-lite0-tiny
    python -m pipeline.serve --model mgg_net/celeb_a-lite0-tiny --model dml_csr/celebamask_hq-lite0-tiny --port 8501

A newer version that is pushed meanwhile is loaded and answers; requests that are under way end with the older one.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import socket
import sys
import warnings
from collections.abc import Sequence

from components.overrides import slug
from pipeline.pushed import pushed_models
from pipeline.request import DEFAULT_OUTPUT_DIR

_IMAGE = "tensorflow/serving:2.15.1"
_BESIDE = 2  # behind this server's port is the one of TensorFlow Serving's REST API, so that both can run
_LAST_PORT = 65535
_CONFIGS = "tensorflow_serving"  # folder beside the models' folders
_BATCHING = """\
max_batch_size { value: 32 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
"""
_MONITORING = """\
prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Serves until it is stopped; what can't be done ends the process with a line that says why."""
    arguments = argparse.ArgumentParser("python -m pipeline.serve", description="Serves pushed models.")
    arguments.add_argument("--model", action="append", help="an experiment; of several, repeated; all by default")
    arguments.add_argument("--port", default="8501")
    arguments.add_argument("--host", default="127.0.0.1", help="0.0.0.0 to be seen by other machines")
    asked = arguments.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # keras_models/_environment.py says why
    serving = os.path.abspath(os.path.join(os.environ.get("OUTPUT_DIR") or DEFAULT_OUTPUT_DIR, "serving"))
    try:
        port = port_of(asked.port)
    except ValueError as error:
        sys.exit(f"facetfx: {error}")
    try:
        names = model_names(asked.model, serving)
        _say(f"Loading {', '.join(names)} ...")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _serve(names, serving, asked.host, port)
    except KeyboardInterrupt:
        _say("\nStopped.")
    except (ModuleNotFoundError, OSError) as error:
        if os.environ.get("VERBOSE"):
            raise
        sys.exit(f"facetfx: {error}")


def port_of(text: str) -> int:
    """A port; ValueError for what can't be one."""
    if not text.isdecimal() or not 0 < int(text) <= _LAST_PORT:
        raise ValueError(f"PORT is a number from 1 to {_LAST_PORT}; received {text!r}.")
    return int(text)


def model_names(experiments: Sequence[str] | None, serving: str) -> list[str]:
    """The folders below `serving` of the experiments' models, by default of all that were pushed.

    Raises:
        FileNotFoundError: if one has none, with what to do.
    """
    pushed = pushed_models(serving)
    names = [slug(name) for name in experiments or pushed]
    for name, experiment in zip(names, experiments or pushed, strict=True):
        if name not in pushed:
            raise FileNotFoundError(
                f"No model of {experiment!r} was pushed to {serving!r}, which has {', '.join(pushed) or 'none'}. "
                f"First: make run EXPERIMENT={experiment} DATA_DIR=…"
            )
    if not names:
        raise FileNotFoundError(f"No model was pushed to {serving!r} yet. First: make run")
    return names


def write_configs(names: Sequence[str], serving: str, port: int) -> str:
    """What TensorFlow Serving needs to serve the same; returns the command that starts it.

    Args:
        port: of this machine, for its REST API; gRPC has the one before.
    """
    # A folder for what is served together: another server's configuration stays.
    configs = f"{_CONFIGS}/{names[0] if len(names) == 1 else 'several'}"
    folder = os.path.join(serving, configs)
    os.makedirs(folder, exist_ok=True)
    of_models = "\n".join(
        f'  config {{ name: "{name}" base_path: "/models/{name}" model_platform: "tensorflow" }}' for name in names
    )
    files = {
        "models.config": f"model_config_list {{\n{of_models}\n}}\n",
        "batching.config": _BATCHING,
        "monitoring.config": _MONITORING,
    }
    for name, text in files.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    return (
        f"docker run -p {port - 1}:8500 -p {port}:8501 -v {shlex.quote(serving)}:/models:ro {_IMAGE} "
        f"--model_config_file=/models/{configs}/models.config --enable_batching "
        f"--batching_parameters_file=/models/{configs}/batching.config "
        f"--monitoring_config_file=/models/{configs}/monitoring.config --rest_api_enable_cors_support"
    )


def _serve(names, serving, host, port):
    import uvicorn

    from pipeline.server.app import create_app
    from pipeline.server.faces import Faces
    from pipeline.server.versions import Versions

    try:
        listening = socket.create_server((host, port))  # before models are loaded for nothing
    except OSError as error:
        raise OSError(f"{error} (HOST {host}, PORT {port})") from error
    models = {name: Versions(name, os.path.join(serving, name)) for name in names}
    try:
        faces = Faces()
    except ModuleNotFoundError as error:
        _say(f"Photographs are shown to the models as they are: {error}")
        faces = None
    _say("\n".join(addresses(names, serving, host, port)))
    uvicorn.Server(uvicorn.Config(create_app(models, faces), log_level="warning")).run([listening])


def addresses(names: Sequence[str], serving: str, host: str, port: int) -> list[str]:
    """Where page and API are, and, where there is Docker, how TensorFlow Serving serves the same beside them."""
    page = f"http://{host}:{port}/"
    lines = [f"Page: {page}   REST: {page}v1/models/{names[0]}   Ctrl-C ends it."]
    beside = min(port + _BESIDE, _LAST_PORT)
    command = write_configs(names, serving, beside)
    if shutil.which("docker"):
        asking = f"{page}?server=http://{_seen_as(host)}:{beside}&model={names[0]}"
        lines += ["The same by TensorFlow Serving, with gRPC:", f"  {command}", f"The page that asks it: {asking}"]
    return lines


def _seen_as(host):
    """The host as a browser asks for it."""
    return socket.gethostname() if host == "0.0.0.0" else host


def _say(line):
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

"""The command before it serves: which models, what TensorFlow Serving is told, what it says where it can't."""

from __future__ import annotations

import pathlib
import socket

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from pipeline import serve
from pipeline.serve import addresses, main, model_names, write_configs


@pytest.fixture
def serving(tmp_path):
    for name in ("plain-a/12", "mgg_net-b/7", "tensorflow_serving", "notes/old"):
        (tmp_path / "serving" / name).mkdir(parents=True)
    return str(tmp_path / "serving")


def test_all_models_or_those_that_are_asked_for(serving):
    assert model_names(None, serving) == ["mgg_net-b", "plain-a"]
    assert model_names(["plain/a"], serving) == ["plain-a"]


def test_a_model_that_was_not_pushed(serving, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No model of 'no/such'.*has mgg_net-b, plain-a\..*EXPERIMENT=no/such"):
        model_names(["no/such"], serving)
    with pytest.raises(FileNotFoundError, match=r"No model was pushed.*First: make run"):
        model_names(None, str(tmp_path / "none"))


def test_what_tensorflow_serving_is_told(serving, tmp_path):
    command = write_configs(["plain-a", "mgg_net-b"], serving, 8503)
    for part in (
        "-p 8502:8500 -p 8503:8501",
        f"-v {serving}:/models:ro",
        "--model_config_file=/models/tensorflow_serving/several/models.config",
        "--rest_api_enable_cors_support",
    ):
        assert part in command
    written = tmp_path / "serving" / "tensorflow_serving" / "several"
    config = text_format.Parse((written / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    assert [(each.name, each.base_path) for each in config.model_config_list.config] == [
        ("plain-a", "/models/plain-a"),
        ("mgg_net-b", "/models/mgg_net-b"),
    ]
    assert {path.name for path in written.iterdir()} == {"models.config", "batching.config", "monitoring.config"}


def test_a_port_in_use_is_a_line(serving, tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"facetfx: .*in use.*PORT {port}"):
            main(["--port", str(port)])


@pytest.mark.parametrize("port", ["abc", "0", "99999", "-1", "80.5", "²"])
def test_what_is_no_port_is_a_line(port):
    with pytest.raises(SystemExit, match=rf"facetfx: PORT is a number from 1 to 65535; received '{port}'"):
        main([f"--port={port}"])


@pytest.mark.parametrize("has_docker", [True, False])
def test_the_same_by_tensorflow_serving_is_said_where_there_is_docker(serving, monkeypatch, has_docker):
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/docker" if has_docker and name == "docker" else None)
    said = "\n".join(addresses(["plain-a"], serving, "127.0.0.1", 8501))
    assert "Page: http://127.0.0.1:8501/   REST: http://127.0.0.1:8501/v1/models/plain-a" in said
    assert ("docker run -p 8502:8500 -p 8503:8501" in said) == has_docker
    assert ("http://127.0.0.1:8501/?server=http://127.0.0.1:8503&model=plain-a" in said) == has_docker
    assert ("-p 65535:8501" in "".join(addresses(["plain-a"], serving, "0.0.0.0", 65535))) == has_docker


def test_an_interruption_ends_it_in_a_line(serving, monkeypatch, capsys):
    monkeypatch.setenv("OUTPUT_DIR", str(pathlib.Path(serving).parent))

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(serve, "_serve", interrupted)
    main([])
    assert capsys.readouterr().err.endswith("\nStopped.\n")


def test_what_cannot_be_served_is_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    with pytest.raises(SystemExit, match="facetfx: No model was pushed"):
        main([])

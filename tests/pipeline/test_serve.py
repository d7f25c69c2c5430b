"""The command before it serves: which models, what TensorFlow Serving is told, what it says where it can't."""

from __future__ import annotations

import socket

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from pipeline.serve import main, model_names, write_configs
from tests.support.serving import COLOURS, colours, exported, learnt


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
    with pytest.raises(SystemExit, match=r"facetfx: .*port must be"):
        main(["--port", "99999"])


@pytest.mark.parametrize("has_docker", [True, False])
def test_the_same_by_tensorflow_serving_is_said_where_there_is_docker(tmp_path, monkeypatch, capsys, has_docker):
    exported(colours(), learnt(COLOURS[-1]), tmp_path / "serving" / "plain-a" / "1")
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/docker" if has_docker and name == "docker" else None)
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: sockets[0].close())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    main(["--port", str(port)])
    said = capsys.readouterr().err
    assert f"Page: http://127.0.0.1:{port}/   REST: http://127.0.0.1:{port}/v1/models/plain-a" in said
    assert (f"docker run -p {port + 1}:8500 -p {port + 2}:8501" in said) == has_docker
    assert (f"http://127.0.0.1:{port}/?server=http://127.0.0.1:{port + 2}&model=plain-a" in said) == has_docker


def test_what_cannot_be_served_is_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    with pytest.raises(SystemExit, match="facetfx: No model was pushed"):
        main([])

"""The server as TensorFlow Serving's clients see it, and what the page asks for."""

from __future__ import annotations

import base64
import json
import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf
from starlette.testclient import TestClient

from components.faces.frame import Frame
from pipeline.server import app as app_module
from pipeline.server import versions as versions_module
from pipeline.server.app import create_app
from pipeline.server.faces import Faces
from pipeline.server.versions import Versions
from tests.support.photographs import GRACE_HOPPER, needs_dlib
from tests.support.serving import COLOURS, IMAGES, colours, exported, learnt, png

pytestmark = pytest.mark.slow
FRAME = Frame(0.8, ((0.7, 0.4), (0.6, 0.4), (0.3, 0.4), (0.4, 0.4), (0.5, 0.6)))
RED = png(np.full((4, 6, 3), (255, 0, 0)))
PREDICT = "/v1/models/faces:predict"


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving") / "faces"
    exported(colours(), learnt(*COLOURS), folder / "3", frames={"attributes": FRAME, "landmarks": FRAME})
    return folder


@pytest.fixture(scope="module")
def client(folder):
    versions = Versions("faces", str(folder))
    yield TestClient(create_app({"faces": versions}, None))
    versions.stop()


def test_status(client):
    expected = {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert client.get("/v1/models/faces").json() == {"model_version_status": [expected]}
    assert client.get("/v1/models/faces/versions/3").json() == {"model_version_status": [expected]}


@pytest.mark.parametrize("path", ["/v1/models/none", "/v1/models/faces/versions/2", "/v1/models/none/metadata"])
def test_what_is_not_served_is_not_found(client, path):
    answer = client.get(path)
    assert answer.status_code == 404 and "Servable not found" in answer.json()["error"]


def test_metadata(client):
    said = client.get("/v1/models/faces/metadata").json()
    assert said["model_spec"] == {"name": "faces", "signature_name": "", "version": "3"}
    signatures = said["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", "from_examples", "contract"}
    image_bytes = signatures["serving_default"]["inputs"]["image_bytes"]
    assert image_bytes["dtype"] == "DT_STRING" and image_bytes["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    outputs = signatures["serving_default"]["outputs"]
    assert outputs["landmarks"]["dtype"] == "DT_FLOAT"
    assert [side["size"] for side in outputs["landmarks"]["tensor_shape"]["dim"]] == ["-1", "2", "2"]
    assert outputs["parsing"]["dtype"] == "DT_UINT8"


@pytest.mark.parametrize("inputs", [[b64(RED)], {"image_bytes": [b64(RED)]}])
def test_columns(client, inputs):
    outputs = client.post(PREDICT, json={"inputs": inputs}).json()["outputs"]
    assert outputs["age"] == [pytest.approx(100)]
    assert outputs["parsing"] == [[[0] * 6] * 4]
    assert outputs["attributes_decisions"] == [[1, 0]] and outputs["image_status"] == [0]


@pytest.mark.parametrize("instances", [[b64(RED)], [{"image_bytes": b64(RED)}]])
def test_rows(client, instances):
    (row,) = client.post(PREDICT, json={"instances": instances}).json()["predictions"]
    assert row["age"] == pytest.approx(100) and row["parsing"] == [[0] * 6] * 4


def test_an_only_output_comes_without_its_name(client):
    answer = client.post(PREDICT, json={"signature_name": "contract", "inputs": ["x"]}).json()
    (text,) = answer["outputs"]
    assert json.loads(text)["frames"]["landmarks"]["aspect"] == 0.8
    rows = client.post(PREDICT, json={"signature_name": "contract", "instances": ["x", "y"]}).json()
    assert rows["predictions"] == [text, text]


def test_one_that_is_no_image_disturbs_no_other(client):
    outputs = client.post(PREDICT, json={"inputs": [b64(b"no image"), b64(RED)]}).json()["outputs"]
    assert outputs["image_status"] == [2, 0] and outputs["age"] == [0, pytest.approx(100)]


def test_no_images_no_answers(client):
    assert client.post(PREDICT, json={"inputs": []}).json()["outputs"]["age"] == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("no json", "JSON Parse error"),
        ("[" * 100_000, "JSON Parse error"),
        ('{"inputs": ' + 900 * "[" + '"x"' + 900 * "]" + "}", "nested too deeply"),
        ("[1]", "expected a JSON object with either 'instances' or 'inputs'"),
        ("{}", "either 'instances' or 'inputs'"),
        ('{"inputs": [], "instances": []}', "either 'instances' or 'inputs'"),
        ('{"instances": []}', "'instances' is a list of one value or more"),
        ('{"inputs": {"picture": ["x"]}}', "'inputs' lacks image_bytes; it has picture"),
        ('{"inputs": {"image_bytes": [], "zzz": 3}}', "'inputs' has zzz; the signature takes image_bytes"),
        ('{"inputs": [1]}', 'expected a string or {"b64": "…"}, received 1'),
        ('{"inputs": [{"b64": 1}]}', "expected a string or"),
        ('{"inputs": [{"b64": "*"}]}', "the value of b64 isn't base 64"),
        ('{"inputs": "x"}', r"image_bytes has shape [], expected [None]"),
        ('{"inputs": [["x"]]}', r"image_bytes has shape [1, 1], expected [None]"),
        ('{"inputs": [["x"], "y"]}', "image_bytes is no string tensor of shape [None]"),
        ('{"inputs": null}', "expected a string or"),
        ('{"inputs": [{"b64": "é"}]}', "the value of b64 isn't base 64"),
        ('{"inputs": ["x"], "signature_name": "none"}', 'Serving signature name: "none" not found'),
        ('{"inputs": ["x"], "signature_name": ["a"]}', "Serving signature name"),
        ('{"inputs": ["no record"], "signature_name": "from_examples"}', "Could not parse example input"),
    ],
)
def test_a_bad_request_is_told_what_is_expected(client, body, error):
    answer = client.post(PREDICT, content=body)
    assert answer.status_code == 400 and error in answer.json()["error"]


WRONG = [("POST", "/v1/models/faces:classify"), ("POST", "/v1/models/faces"), ("GET", "/v2")]


@pytest.mark.parametrize(("method", "path"), WRONG)
def test_what_the_api_does_not_have_is_told_as_json(client, method, path):
    answer = client.request(method, path)
    assert answer.status_code in (404, 405) and answer.json() == {"error": f"Malformed request: {method} {path}"}


def test_a_request_that_is_too_large_is_refused_while_it_comes(client, monkeypatch):
    monkeypatch.setattr(app_module, "MAX_BYTES", 1000)
    answer = client.post(PREDICT, content=b"x" * 1001)
    assert answer.status_code == 413 and "1,000 bytes at most" in answer.json()["error"]


def test_a_newer_version_answers_when_it_is_whole(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(versions_module, "POLL_SECONDS", 0.05)
    served = tmp_path / "faces"
    shutil.copytree(folder, served)
    versions = Versions("faces", str(served))
    before = versions.current
    (served / "9").mkdir()
    (served / "9" / "saved_model.pb").write_bytes((served / "3" / "saved_model.pb").read_bytes())  # half of it
    versions.look()
    assert versions.current is before and "9" in str(versions.failed)
    client = TestClient(create_app({"faces": versions}, None))
    states = [each["state"] for each in client.get("/v1/models/faces").json()["model_version_status"]]
    assert states == ["AVAILABLE", "END"]
    loaded = threading.Event()
    monkeypatch.setattr(versions_module, "print", lambda *args, **kwargs: loaded.set(), raising=False)
    shutil.copytree(served / "3", served / "9", dirs_exist_ok=True)
    assert loaded.wait(60)
    assert versions.current.number == 9 and not versions.failed
    # Who held the older one still has it.
    assert before.signatures["serving_default"](image_bytes=[RED])["age"].numpy() == pytest.approx(100)
    versions.stop()


def test_an_older_version_answers_where_the_newest_was_not_finished(folder, tmp_path):
    served = tmp_path / "faces"
    shutil.copytree(folder, served)
    (served / "9").mkdir()
    versions = Versions("faces", str(served))
    versions.stop()
    assert versions.current.number == 3 and list(versions.failed) == [9]


def test_a_model_that_facetfx_did_not_export(folder, tmp_path):
    served = tmp_path / "faces"
    shutil.copytree(folder, served)
    tf.saved_model.save(tf.Module(), str(served / "9"))
    versions = Versions("faces", str(served))
    versions.stop()
    assert versions.current.number == 3
    assert versions.failed == {9: "it has no signature serving_default: facetfx didn't export it"}


def test_nothing_to_serve(tmp_path):
    with pytest.raises(FileNotFoundError, match="No version of 'faces' can be loaded"):
        Versions("faces", str(tmp_path / "none"))
    (tmp_path / "7").mkdir()
    with pytest.raises(FileNotFoundError, match="version 7: "):
        Versions("faces", str(tmp_path))


def test_what_the_page_needs(client):
    assert "<!doctype html>" in client.get("/").text
    assert client.get("/page/page.js").status_code == client.get("/page/page.css").status_code == 200
    settings = client.get("/settings").json()
    assert settings["models"] == ["faces"] and not settings["faces"] and settings["palette"][0] == "#454b54"


@pytest.fixture(scope="module")
def finds_faces():
    return TestClient(create_app({}, Faces()))


@needs_dlib
def test_faces_of_a_photograph(finds_faces):
    frames = {"attributes": FRAME.to_json(), "age": FRAME.to_json()}
    body = {"photograph": b64(GRACE_HOPPER.read_bytes()), "height": 100, "frames": frames}
    said = finds_faces.post("/faces", json=body).json()
    assert (said["width"], said["height"]) == (512, 600)
    (face,) = said["faces"]
    (shown,) = face["shown"]
    assert shown["tasks"] == ["attributes", "age"] and (shown["width"], shown["height"]) == (160, 200)
    assert base64.b64decode(shown["image"]["b64"]).startswith(b"\x89PNG")
    left, top, width, height = face["box"]
    x, y = np.array(shown["back"]) @ (80, 100, 1)
    assert left < x < left + width and top < y < top + height


@needs_dlib
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"photograph": b64(b"no image")}, "the photograph can't be read: this is no image that Pillow can read"),
        ({"photograph": "x"}, "expected photograph, height and frames"),
        ({"height": 0}, "height is from 1 to 2048; received 0"),
        ({"frames": {str(i): FRAME.to_json() for i in range(33)}}, "frames are of 32 tasks at most; received 33"),
        ({"frames": {"a": {"aspect": 1}}}, "expected photograph, height and frames"),
        ({"frames": {"a": {"aspect": 1e9, "points": FRAME.points}}}, "a frame's aspect is from"),
        ({"frames": {"a": {"aspect": 1, "points": [[0.5, 0.5]] * 5}}}, "a frame's points"),
    ],
)
def test_a_photograph_that_is_none(finds_faces, change, error):
    body = {"photograph": b64(IMAGES[0]), "height": 100, "frames": {"a": FRAME.to_json()}, **change}
    answer = finds_faces.post("/faces", json=body)
    assert answer.status_code == 400 and error in answer.json()["error"]


def test_without_dlib_faces_are_not_found(client):
    answer = client.post("/faces", json={})
    assert answer.status_code == 400 and "dlib" in answer.json()["error"]

"""The client over a real socket: REST against our server, gRPC against a servicer of TensorFlow Serving's own stubs."""

from __future__ import annotations

import concurrent.futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from pipeline.client import Client, ServerError
from pipeline.server.app import create_app
from pipeline.server.versions import Versions
from tests.support.servers import running
from tests.support.serving import COLOURS, colours, exported, learnt, png

pytestmark = pytest.mark.slow
RED, BLUE = (png(np.full((height, 6, 3), colour)) for height, colour in ((4, (255, 0, 0)), (8, (0, 0, 255))))


class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers as TensorFlow Serving does, with the signatures of a model."""

    def __init__(self, versions: Versions):
        self._versions = versions

    def Predict(self, request, context):
        spec = request.model_spec
        if spec.name != self._versions.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        answers = self._versions.current.signatures[spec.signature_name](**inputs)
        outputs = {name: tf.make_tensor_proto(values) for name, values in answers.items()}
        return predict_pb2.PredictResponse(outputs=outputs)


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving") / "faces"
    exported(colours(), learnt(*COLOURS), folder / "3")
    versions = Versions("faces", str(folder))
    yield versions
    versions.stop()


@pytest.fixture(scope="module")
def rest(versions):
    with running(create_app({"faces": versions}, None)) as address:
        yield address


@pytest.fixture(scope="module")
def rpc(versions):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Servicer(versions), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


@pytest.mark.parametrize("transport", ["rest", "rpc"])
def test_answers_by_name(transport, request):
    model = Client(request.getfixturevalue(transport), "faces")
    red, no_image, blue = model.ask([RED, b"no image", BLUE])
    assert red["attributes"]["redder"] == {"score": pytest.approx(1.0), "decision": True}
    assert red["clothing"] == {"r": pytest.approx(1.0), "g": 0.0, "b": 0.0}
    assert red["age"] == pytest.approx(100) and blue["age"] == 0
    assert red["landmarks"] == {"1": pytest.approx([1, 0]), "2": pytest.approx([0, 1])}
    assert (red["parsing"].tolist(), blue["parsing"].tolist()) == ([[0] * 6] * 4, [[2] * 6] * 8)
    assert no_image["image_status"] == "the file is neither JPEG nor PNG" and red["image_status"] == "answered"
    assert model.contract["image_size"] == [32, 32]
    assert model.ask([]) == []


def test_what_is_no_list_of_files(rest):
    for images in (RED, ["face.jpg"]):
        with pytest.raises(TypeError, match="bytes each"):
            Client(rest, "faces").ask(images)


def test_a_server_that_is_down():
    with pytest.raises(ServerError, match="can't be reached"):
        Client("http://127.0.0.1:9", "faces").ask([RED])


@pytest.mark.parametrize("transport", ["rest", "rpc"])
def test_a_model_that_is_not_served(transport, request):
    model = Client(request.getfixturevalue(transport), "none")
    with pytest.raises(ServerError, match=r"answered (404|NOT_FOUND): Servable not found for request: Latest\(none\)"):
        model.ask([RED])

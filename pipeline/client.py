"""A served model asked over the network, answers by name: `make serve` or TensorFlow Serving, REST or gRPC.

from pipeline.client import Client

model = Client("http://localhost:8501", "mgg_net-celeb_a-lite0-tiny")
(answer,) = model.ask([open("face.jpg", "rb").read()])
answer["attributes"]["Smiling"]  # {"score": 2.1, "decision": True}
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.overrides import slug
from components.prediction.answers import named

_SECONDS = 60.0


class ServerError(RuntimeError):
    """What a server answered instead of an answer."""


class Client:
    """Asks one model of a server.

    Args:
        address: "http://host:8501" or "https://…" for REST, "host:8500" for gRPC.
        model: its name on the server, or the experiment.
        seconds: after which an answer is given up.
    """

    def __init__(self, address: str, model: str, seconds: float = _SECONDS):
        transport = _Rest if address.startswith(("http://", "https://")) else _Grpc
        self._ask = transport(address, slug(model), seconds)
        self._contract: dict[str, Any] | None = None

    @property
    def contract(self) -> dict[str, Any]:
        """What the model's answers keep to, with names and thresholds; asked for once."""
        if self._contract is None:
            (text,) = self._ask("contract", [b""])["contract"]
            self._contract = json.loads(text)
        return self._contract

    def ask(self, images: Sequence[bytes]) -> list[dict[str, Any]]:
        """The answers for JPEG or PNG files, as components.prediction.answers.named has them.

        Raises:
            ServerError: if the server refuses, with its reason, or can't be reached.
            TypeError: if images are something else than bytes.
        """
        if isinstance(images, bytes) or not all(isinstance(image, bytes) for image in images):
            raise TypeError("images are a list of files' contents, bytes each: [open(path, 'rb').read()].")
        if not images:
            return []
        answers = self._ask("serving_default", list(images))
        outputs = self.contract["signatures"]["serving_default"]
        return [named(outputs, {name: values[i] for name, values in answers.items()}) for i in range(len(images))]


class _Rest:
    """By JSON, in columns."""

    def __init__(self, address, model, seconds):
        import requests

        self._url = f"{address.rstrip('/')}/v1/models/{model}:predict"
        self._session, self._seconds = requests.Session(), seconds

    def __call__(self, signature: str, images: list[bytes]) -> Mapping[str, Any]:
        values = [{"b64": base64.b64encode(image).decode()} for image in images]
        body = {"signature_name": signature, "inputs": {"image_bytes": values}}
        try:
            answer = self._session.post(self._url, json=body, timeout=self._seconds)
        except OSError as error:  # requests' own are of this kind
            raise ServerError(f"{self._url} can't be reached: {error}") from error
        try:
            said = answer.json()
        except ValueError as error:
            raise ServerError(
                f"{self._url} answered {answer.status_code} and no JSON: {answer.text[:200]!r}"
            ) from error
        if "outputs" not in said:
            raise ServerError(f"{self._url} answered {answer.status_code}: {said.get('error', said)}")
        outputs = said["outputs"]
        # An only output comes without its name.
        found = outputs if isinstance(outputs, dict) else {signature: outputs}
        return {name: np.asarray(values) for name, values in found.items()}


class _Grpc:
    """By TensorFlow Serving's PredictionService."""

    def __init__(self, address, model, seconds):
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(address, unlimited))
        self._address, self._model, self._seconds = address, model, seconds

    def __call__(self, signature: str, images: list[bytes]) -> Mapping[str, np.ndarray]:
        import grpc
        import tensorflow as tf
        from tensorflow_serving.apis import model_pb2, predict_pb2

        request = predict_pb2.PredictRequest(
            model_spec=model_pb2.ModelSpec(name=self._model, signature_name=signature),
            inputs={"image_bytes": tf.make_tensor_proto(images, tf.string)},
        )
        try:
            answer = self._service.Predict(request, self._seconds)
        except grpc.RpcError as error:
            raise ServerError(f"{self._address} answered {error.code().name}: {error.details()}") from error
        return {name: tf.make_ndarray(values) for name, values in answer.outputs.items()}

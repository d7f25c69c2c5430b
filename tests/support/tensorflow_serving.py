"""TensorFlow Serving's REST API, as far as a page asks for it, by its source (model_servers/http_server.cc and
http_rest_api_util.cc of 2.15): it has nothing but /v1/models, and where it is started with
--rest_api_enable_cors_support every answer may be read by pages of other origins.
"""

from __future__ import annotations

import tensorflow as tf
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline.server.rest import read_request, response
from pipeline.server.versions import Version

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


def tensorflow_serving(name: str, version: Version, cors: bool, another: bytes) -> Starlette:
    """A server of one model.

    Args:
        cors: whether it was started with --rest_api_enable_cors_support.
        another: an image that somebody else asks about at the same time: --enable_batching puts both into one batch.
    """
    headers = _CORS if cors else {}

    async def status(request: Request) -> Response:
        state = {"error_code": "OK", "error_message": ""}
        states = [{"version": str(version.number), "state": "AVAILABLE", "status": state}]
        return JSONResponse({"model_version_status": states}, headers=headers)

    async def predict(request: Request) -> Response:
        body = await request.json()
        signature = version.signatures[body["signature_name"]]
        inputs, by_rows = read_request(body, signature)
        (asked,) = inputs.values()
        answers = signature(image_bytes=tf.concat([asked, [another]], axis=0))
        own = {output: values[: len(asked)] for output, values in answers.items()}
        return JSONResponse(response(own, by_rows), headers=headers)

    place = f"/v1/models/{name}"
    return Starlette(routes=[Route(f"{place}:predict", predict, methods=["POST"]), Route(place, status)])

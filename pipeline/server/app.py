"""The server as an ASGI application."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import anyio.to_thread
import tensorflow as tf
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from components.tasks.segmentation.drawings import PALETTE, css
from pipeline.server.rest import BadRequest, metadata, read_request, response
from pipeline.server.versions import Version, Versions

MAX_BYTES = 2**27  # of a request: 128 MiB, more than two of the largest images that a model takes
_PAGE = pathlib.Path(__file__).parent / "page"


class _Json(JSONResponse):
    """As TensorFlow Serving writes it: NaN and Infinity are allowed."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


def create_app(models: Mapping[str, Versions], faces: Callable[[Any], dict[str, Any]] | None) -> Starlette:
    """The application.

    Args:
        models: by name.
        faces: finds and aligns faces for the page (pipeline.server.faces.Faces); None where dlib is missing.
    """
    # As many as there are processors: TensorFlow shares them out itself, and more would take more memory.
    limiter = anyio.CapacityLimiter(max(1, len(os.sched_getaffinity(0))))

    def version_of(request: Request) -> tuple[str, Version]:
        name = request.path_params["name"]
        if name not in models:
            raise _NotFound(f"Servable not found for request: Latest({name})")
        version = models[name].current
        asked = request.path_params.get("version", version.number)
        if asked != version.number:
            raise _NotFound(f"Servable not found for request: Specific({name}, {asked}); {version.number} is loaded")
        return name, version

    async def status(request: Request) -> Response:
        name, version = version_of(request)
        states = [_state(version.number, "AVAILABLE")]
        if "version" not in request.path_params:
            states += [_state(number, "END", reason) for number, reason in models[name].failed.items()]
        return _Json({"model_version_status": states})

    async def described(request: Request) -> Response:
        name, version = version_of(request)
        return _Json(metadata(name, version.number, version.signatures))

    async def predict(request: Request) -> Response:
        _, version = version_of(request)
        return await in_thread(lambda body: _predicted(body, version), request)

    async def find_faces(request: Request) -> Response:
        if faces is None:
            raise BadRequest("faces are found with dlib, which isn't installed here")
        return await in_thread(faces, request)

    async def in_thread(function: Callable[[Any], Any], request: Request) -> Response:
        body = await _body(request)
        # With the reading and writing of JSON, which takes seconds for large label maps.
        return await anyio.to_thread.run_sync(lambda: _Json(function(_parsed(body))), limiter=limiter)

    async def settings(request: Request) -> Response:
        return _Json({"models": list(models), "faces": faces is not None, "palette": [css(each) for each in PALETTE]})

    async def page(request: Request) -> Response:
        return Response((_PAGE / "index.html").read_bytes(), media_type="text/html")

    routes = [
        Route("/", page),
        Route("/settings", settings),
        Route("/faces", find_faces, methods=["POST"]),
    ]
    for place in ("/v1/models/{name}", "/v1/models/{name}/versions/{version:int}"):
        routes += [
            Route(f"{place}:predict", predict, methods=["POST"]),
            Route(f"{place}/metadata", described),
            Route(place, status),
        ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            BadRequest: _refused(400),
            _NotFound: _refused(404),
            _TooLarge: _refused(413),
            HTTPException: _malformed,
        },
    )
    app.mount("/page", StaticFiles(directory=_PAGE))
    return app


class _NotFound(ValueError):
    """A model or version that isn't served."""


class _TooLarge(ValueError):
    """A request of more than MAX_BYTES."""


def _refused(code: int):
    async def handler(request: Request, error: Exception) -> Response:
        return _Json({"error": str(error)}, status_code=code)

    return handler


async def _malformed(request: Request, error: Exception) -> Response:
    """No such path, or not by this method: as JSON, too, which clients read."""
    assert isinstance(error, HTTPException)
    said = f"Malformed request: {request.method} {request.url.path}"
    return _Json({"error": said}, status_code=error.status_code, headers=error.headers)


async def _body(request: Request) -> bytearray:
    """Of no more than MAX_BYTES."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_BYTES:
            raise _TooLarge(f"a request has {MAX_BYTES:,} bytes at most")
    return received


def _parsed(body: bytearray) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"JSON Parse error: {error}") from error


def _predicted(body: Any, version: Version) -> dict[str, Any]:
    name = body.get("signature_name", "") if isinstance(body, dict) else ""
    if not isinstance(name, str) or name not in version.signatures:
        known = ", ".join(filter(None, version.signatures))
        raise BadRequest(f'Serving signature name: "{name}" not found in signature def; it has {known}')
    try:
        inputs, by_rows = read_request(body, version.signatures[name])
    except RecursionError as error:
        raise BadRequest("the values are nested too deeply") from error
    try:
        answers = version.signatures[name](**inputs)
    except tf.errors.OpError as error:
        raise BadRequest(_reason(error.message)) from error
    return response(answers, by_rows)


def _reason(message: str) -> str:
    """The line of an op's error that says what went wrong; the others say where."""
    where = (" ", "\t", "Graph execution error", "Detected at node")
    lines = [line for line in message.splitlines() if line and not line.startswith(where)]
    return lines[-1] if lines else "it can't be computed"


def _state(number, state, message=""):
    code = "UNKNOWN" if message else "OK"
    return {"version": str(number), "state": state, "status": {"error_code": code, "error_message": message}}

"""TensorFlow Serving's REST API: its JSON to tensors and back.

https://www.tensorflow.org/tfx/serving/api_rest: rows ("instances", answered with "predictions") and columns ("inputs",
answered with "outputs"); bytes are {"b64": …}.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

_ROWS, _COLUMNS = "instances", "inputs"
_BYTES = "_bytes"  # at the end of the name of an output whose strings are bytes


class BadRequest(ValueError):
    """A request that can't be answered; the message says what is expected."""


def read_request(body: Any, signature) -> tuple[dict[str, tf.Tensor], bool]:
    """The tensors of a request, and whether it came in rows.

    Args:
        body: parsed JSON.
        signature: that is asked.

    Raises:
        BadRequest: for what isn't a request of this signature.
    """
    specs = signature.structured_input_signature[1]
    if not isinstance(body, dict) or (_ROWS in body) == (_COLUMNS in body):
        raise BadRequest(f"expected a JSON object with either {_ROWS!r} or {_COLUMNS!r}")
    by_rows = _ROWS in body
    values = _columns_of_rows(body[_ROWS], specs) if by_rows else _columns(body[_COLUMNS], specs)
    return {name: _tensor(name, values[name], spec) for name, spec in specs.items()}, by_rows


def response(answers: Mapping[str, tf.Tensor], by_rows: bool) -> dict[str, Any]:
    """Answers as JSON values; an only output's name is left out.

    Raises:
        BadRequest: if rows are asked for and an output has another number of them.
    """
    found = {name: _values(name, values.numpy()) for name, values in answers.items()}
    if not by_rows:
        return {"outputs": next(iter(found.values())) if len(found) == 1 else found}
    counts = {values.shape[0] if values.shape else None for values in answers.values()}
    if len(counts) != 1 or None in counts:
        raise BadRequest(f"the outputs have not all as many rows as there are instances: ask with {_COLUMNS!r}")
    if len(found) == 1:
        return {"predictions": next(iter(found.values()))}
    rows = zip(*found.values(), strict=True)
    return {"predictions": [dict(zip(found, row, strict=True)) for row in rows]}


def metadata(name: str, number: int, signatures: Mapping[str, Any]) -> dict[str, Any]:
    """What TensorFlow Serving says of a model's signatures."""
    described = {
        key: {
            "inputs": {arg: _described(spec) for arg, spec in signature.structured_input_signature[1].items()},
            "outputs": {out: _described(spec) for out, spec in signature.structured_outputs.items()},
            "method_name": "tensorflow/serving/predict",
        }
        for key, signature in signatures.items()
        if key
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(number)},
        "metadata": {"signature_def": {"signature_def": described}},
    }


def _described(spec):
    sides = [{"size": str(-1 if side is None else side), "name": ""} for side in spec.shape]
    kind = tf.dtypes.as_dtype(spec.dtype)
    return {
        "dtype": f"DT_{'FLOAT' if kind == tf.float32 else kind.name.upper()}",
        "tensor_shape": {"dim": sides, "unknown_rank": False},
        "name": "",
    }


def _columns(values, specs):
    if isinstance(values, dict) and not _is_bytes(values):
        if missing := [name for name in specs if name not in values]:
            raise BadRequest(f"{_COLUMNS!r} lacks {', '.join(missing)}; it has {', '.join(values) or 'none'}")
        if unknown := [name for name in values if name not in specs]:
            raise BadRequest(f"{_COLUMNS!r} has {', '.join(unknown)}; the signature takes {', '.join(specs)}")
        return values
    if len(specs) != 1:
        raise BadRequest(f"{_COLUMNS!r} is an object with {', '.join(specs)}")
    return {next(iter(specs)): values}


def _columns_of_rows(rows, specs):
    if not isinstance(rows, list) or not rows:
        raise BadRequest(f"{_ROWS!r} is a list of one value or more")
    if len(specs) == 1:
        (name,) = specs
        return {name: [row[name] if isinstance(row, dict) and set(row) == {name} else row for row in rows]}
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or set(row) != set(specs):
            raise BadRequest(f"{_ROWS!r}, number {number}: expected an object with {', '.join(specs)}")
    return {name: [row[name] for row in rows] for name in specs}


def _tensor(name, values, spec):
    decoded = _decoded(values) if spec.dtype == tf.string else values
    try:
        tensor = tf.constant(decoded, spec.dtype)
        if decoded == []:
            tensor = tf.reshape(tensor, [side or 0 for side in spec.shape])
    except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        raise BadRequest(f"{name} is no {spec.dtype.name} tensor of shape {list(spec.shape)}") from error
    if not spec.shape.is_compatible_with(tensor.shape):
        raise BadRequest(f"{name} has shape {list(tensor.shape)}, expected {list(spec.shape)}")
    return tensor


def _is_bytes(value):
    return isinstance(value, dict) and set(value) == {"b64"}


def _decoded(value):
    """Strings and {"b64": …} as bytes, in lists as they stand."""
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    if isinstance(value, str):
        return value.encode(errors="replace")
    if not (_is_bytes(value) and isinstance(value["b64"], str)):
        raise BadRequest(f'expected a string or {{"b64": "…"}}, received {str(value)[:80]}')
    try:
        return base64.b64decode(value["b64"], validate=True)
    except ValueError as error:
        raise BadRequest(f"the value of b64 isn't base 64: {error}") from error


def _values(name, array: np.ndarray):
    if array.dtype != object:
        return array.tolist()
    as_json = np.vectorize(
        lambda text: {"b64": base64.b64encode(text).decode()} if name.endswith(_BYTES) else text.decode(),
        otypes=[object],
    )
    return as_json(array).tolist() if array.size else array.tolist()

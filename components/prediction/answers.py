"""A served model's numbers with their names, by the contract that was exported with it. NumPy alone: clients use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_DECISIONS = "_decisions"  # behind a task's name: the output beside its scores


def named(outputs: Mapping[str, Mapping[str, Any]], row: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What an image was answered, by task and name.

    Args:
        outputs: the contract of the signature that answered (components.tasks.base.Serving.contract), by output.
        row: by output, the image's part of the answers.

    Returns:
        By task: of yes-or-no labels, by name, {"score": float, "decision": bool}; of classes, by name, probabilities;
        of landmarks, by name, [x, y]; a number; a label map [H, W] uint8 of the image's own size. The status in words,
        "answered" if it was, under its own name.
    """
    answers = {}
    for output, each in outputs.items():
        values, kind = row[output], each["kind"]
        if kind == "status":
            answers[output] = each["codes"][str(int(values))]
        elif kind == "number":
            answers[output] = float(values)
        elif kind == "label_map":
            values = np.asarray(values, np.uint8)
            known = values != each["padding"]
            answers[output] = values[: known[:, :1].sum(), : known[:1].sum()]
        elif kind == "points":
            answers[output] = {name: point.tolist() for name, point in zip(each["names"], values, strict=True)}
        elif f"{output}{_DECISIONS}" in outputs:
            decisions = row[f"{output}{_DECISIONS}"]
            answers[output] = {
                name: {"score": float(score), "decision": bool(decision)}
                for name, score, decision in zip(each["names"], values, decisions, strict=True)
            }
        elif kind != "decisions":
            answers[output] = {name: float(value) for name, value in zip(each["names"], values, strict=True)}
    return answers


def columns(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, type]:
    """The columns that `flat` gives, in order, and the type of each: str, float, bool."""
    found: dict[str, type] = {}
    for output, each in outputs.items():
        names, kind = each.get("names", ()), each["kind"]
        if kind == "number":
            found[output] = float
        elif kind == "points":
            found |= {f"{output}.{name}.{axis}": float for name in names for axis in "xy"}
        elif f"{output}{_DECISIONS}" in outputs:
            found |= {f"{output}.{name}{end}": of for name in names for end, of in (("", bool), (".score", float))}
        elif kind in ("scores", "probabilities"):
            found |= {output: str, **{f"{output}.{name}": float for name in names}}
    return found


def flat(outputs: Mapping[str, Mapping[str, Any]], answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers of `named` as a row of a table; label maps and the status are left out.

    `attributes.Smiling` is a decision and `attributes.Smiling.score` its score, `emotion` the likeliest class and
    `emotion.happy` its probability, `landmarks.nose.x` a coordinate, `age` a number.
    """
    row: dict[str, Any] = {}
    for output, each in outputs.items():
        answer, kind = answers.get(output), each["kind"]
        if kind == "number":
            row[output] = answer
        elif kind == "points":
            for name, (x, y) in answer.items():
                row[f"{output}.{name}.x"], row[f"{output}.{name}.y"] = x, y
        elif f"{output}{_DECISIONS}" in outputs:
            for name, both in answer.items():
                row[f"{output}.{name}"], row[f"{output}.{name}.score"] = both["decision"], both["score"]
        elif kind in ("scores", "probabilities"):
            row[output] = max(answer, key=answer.get)
            row |= {f"{output}.{name}": value for name, value in answer.items()}
    return row


def categories(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Of the values of components.drift.reference that are indices of categories: the categories' names."""
    found = {}
    for output, each in outputs.items():
        if each["kind"] == "decisions":
            found |= {f"{output.removesuffix(_DECISIONS)}.{name}": ("no", "yes") for name in each["names"]}
        elif each["kind"] in ("scores", "probabilities") and f"{output}{_DECISIONS}" not in outputs:
            found[output] = tuple(each["names"])
    return found

"""Changes to an experiment from the command line: SET="training.epochs=3 data.image_size=64,64"."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import types
import typing
from collections.abc import Sequence
from typing import Any

from components.config import Experiment, ObjectConfig

_USUAL = re.compile(r"[\w.-]+(/[\w.-]+)*(\+[\w.-]+=[\w.,-]*)*")  # <folder>/<experiment>+<path>=<value>
_LONGEST = 120  # letters of a run's name in a path: with what stands around it a file's name has at most 255


def overridden(experiment: Experiment, settings: Sequence[str]) -> Experiment:
    """The experiment with other values.

    Args:
        settings: each `path=value`. A path names fields, with dots between; an item of a tuple by its name, task or
            class (tasks.landmarks.weight, training.callbacks.AdaptiveThresholds.gamma); an argument of what is built
            as a field of it (model.backbone_width). A value has the field's type, "none" where that is allowed, and
            commas between the items of a tuple or list.

    Raises:
        ValueError: for a path that leads nowhere, with what there is, or that is set twice, or a value of another type;
            and as of `Experiment.validate`.
    """
    seen: set[str] = set()
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise ValueError(f"A setting is path=value, such as training.epochs=3; received {setting!r}.")
        if path in seen:
            raise ValueError(f"{path} is set twice. Say it once.")
        seen.add(path)
        experiment = _changed(experiment, path.split("."), text, path)
    experiment.validate()
    return experiment


def run_name(name: str, settings: Sequence[str]) -> str:
    """What a run of the experiment `name` with other values is called: in the cache, the report and the comparison."""
    return "+".join([name, *sorted(settings)])


def settings_of(run: str) -> list[str]:
    """The settings in what a run is called."""
    return run.split("+")[1:]


def slug(name: str) -> str:
    """A run's name as part of a node's id and of paths; what is long or unusual is told apart by a hash."""
    found = re.sub(r"[^\w.-]+", "-", name)
    if len(found) <= _LONGEST and _USUAL.fullmatch(name):
        return found
    return f"{found[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def _changed(owner: Any, parts: list[str], text: str, path: str, hint: Any = Any) -> Any:
    """`owner` with the value behind `parts` replaced by what `text` says."""
    if not parts:
        return _parsed(text, hint, path)
    part, *rest = parts
    if isinstance(owner, ObjectConfig):
        if not rest and part in ("path", "kwargs"):
            raise ValueError(f"{path} can't be set. {_exchanged(path.rpartition('.')[0], owner)}")
        kwargs = {
            **owner.kwargs,
            part: _changed(owner.kwargs.get(part), rest, text, path, _hint_of(owner.kwargs, part)),
        }
        return dataclasses.replace(owner, kwargs=kwargs)
    if isinstance(owner, dict):
        return {**owner, part: _changed(owner.get(part), rest, text, path, _hint_of(owner, part))}
    if isinstance(owner, tuple):
        names = [_name(item, number) for number, item in enumerate(owner)]
        _require(part, names, path)
        item = owner[names.index(part)]
        if not rest and dataclasses.is_dataclass(item):
            said = (
                _exchanged(path, item) if isinstance(item, ObjectConfig) else f"Its fields can, such as {path}.name=…."
            )
            raise ValueError(f"{path} can't be set. {said}")
        return tuple(
            _changed(item, rest, text, path) if name == part else item for name, item in zip(names, owner, strict=True)
        )
    if not dataclasses.is_dataclass(owner):
        raise ValueError(f"{path}: {part!r} leads nowhere, what is before it has no fields but is {owner!r}.")
    _require(part, [field.name for field in dataclasses.fields(owner)], path)
    hint = typing.get_type_hints(type(owner))[part]
    value = getattr(owner, part)
    try:
        return dataclasses.replace(owner, **{part: _changed(value, rest, text, path, hint)})
    except ValueError as error:
        if rest or not isinstance(value, ObjectConfig):
            raise
        raise ValueError(f"{error} {_exchanged(path, value)}") from None


def _exchanged(path, built):
    example = next(iter(built.kwargs), "argument")
    return (
        f"{path} is made by {built.path}; SET changes what that is given, such as {path}.{example}=…, and another "
        "takes its place in an experiment of one's own (pipeline/experiments)."
    )


def _require(part, names, path):
    if part not in names:
        raise ValueError(f"{path}: there is no {part!r}, but {', '.join(names) or 'nothing'}.")


def _name(item, number):
    """By which an item of a tuple is named; its number if by nothing else."""
    for field in ("name", "task"):
        if isinstance(getattr(item, field, None), str):
            return getattr(item, field)
    return item.path.rpartition(".")[2] if isinstance(item, ObjectConfig) else str(number)


def _hint_of(arguments, name):
    """The type of an argument that is there, but None: any value may take its place."""
    value = arguments.get(name)
    return Any if value is None or isinstance(value, dict | list) else type(value)


def _parsed(text: str, hint: Any, path: str) -> Any:
    if hint is Any:
        return _guessed(text)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return _first_that_fits(text, typing.get_args(hint), path)
    if hint is type(None):
        if text.lower() == "none":
            return None
    elif hint is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
    elif typing.get_origin(hint) is tuple:
        of, items = typing.get_args(hint), text.split(",") if text else []
        if of[-1] is Ellipsis or len(of) == len(items):
            return tuple(_parsed(item, of[0], path) for item in items)
        kind = getattr(of[0], "__name__", of[0])
        raise ValueError(f"{path} is {len(of)} values of type {kind} with a comma between them; received {text!r}.")
    elif hint in (int, float, str):
        try:
            return hint(text)
        except ValueError:
            pass
    if dataclasses.is_dataclass(hint) and hint is not ObjectConfig:
        fields = ", ".join(f"{path}.{field.name}" for field in dataclasses.fields(hint))
        raise ValueError(f"{path} can't be set, but its parts can: {fields}.")
    raise ValueError(f"{path} is of type {getattr(hint, '__name__', hint)}; received {text!r}.")


def _first_that_fits(text, hints, path):
    # A string takes anything, so it is tried last.
    for hint in sorted(hints, key=lambda hint: hint is str):
        with contextlib.suppress(ValueError):
            return _parsed(text, hint, path)
    expected = " or ".join(getattr(hint, "__name__", str(hint)) for hint in hints)
    raise ValueError(f"{path} is of type {expected}; received {text!r}.")


def _guessed(text):
    """A number, truth value or list where that is what it looks like; else the text."""
    if "," in text:
        return [_guessed(item) for item in text.split(",")]
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text

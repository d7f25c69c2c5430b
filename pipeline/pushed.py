"""Pushed models: where they lie, and back as Keras models."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from components.overrides import slug
from pipeline import experiments
from pipeline.request import DEFAULT_OUTPUT_DIR

if TYPE_CHECKING:
    from tensorflow import keras


def model_folder(model: str) -> str:
    """The folder of a version: of an experiment's newest pushed model, or of the folder given, the newest in it.

    Args:
        model: an experiment's name, whose models lie below OUTPUT_DIR of the environment; or a folder.

    Raises:
        FileNotFoundError: if there is none, with what to do.
        ValueError: for a model of an earlier facetfx.
    """
    from components.prediction.model import newest_version, read_contract

    if not isinstance(model, str | os.PathLike):
        raise TypeError(f"A model is named by an experiment or a folder; received {model!r}.")
    model = os.fspath(model)
    if os.path.isfile(model):
        raise FileNotFoundError(f"MODEL {model!r} is a file: name the folder of the model, or its experiment.")
    if os.path.isdir(model):
        model = os.path.abspath(model)
        found = model if os.path.exists(os.path.join(model, "saved_model.pb")) else newest_version(model)
        read_contract(found)
        return found
    output_dir = os.environ.get("OUTPUT_DIR") or DEFAULT_OUTPUT_DIR
    pushed = os.path.join(output_dir, "serving", slug(model) if model else "_")
    try:
        found = newest_version(pushed)
    except FileNotFoundError as error:
        there = pushed_models(os.path.dirname(pushed))
        what = f"MODEL {model!r} is neither a folder nor an experiment" if model else "MODEL is missing: an experiment"
        raise FileNotFoundError(
            f"{what} with a pushed model below {os.path.dirname(pushed)!r}, which has {', '.join(there) or 'none'}. "
            f"{_first(model)}A model that was not pushed is named by the folder that the run's last lines have."
        ) from error
    read_contract(found)
    return found


def _first(model):
    """What to do about an experiment without a model; of one that there isn't, which are near."""
    name, *settings = model.split("+")
    try:
        experiments.get(name)
    except ValueError as error:
        return f"{error}. " if model else ""
    said = f" SET={shlex.quote(' '.join(settings))}" if settings else ""
    return f"First: make run EXPERIMENT={name}{said}, with the DATA_DIR that it reads, if any. "


def pushed_models(serving: str) -> list[str]:
    """The folders below `serving` that versions were pushed to."""

    def listed(folder):
        return os.listdir(folder) if os.path.isdir(folder) else []

    return [name for name in sorted(listed(serving)) if any(map(str.isdecimal, listed(os.path.join(serving, name))))]


def load(model: str) -> keras.Model:
    """A pushed model as it was trained: image [batch, H, W, 3] in [0, 255] -> its tasks' outputs.

    The same as keras.models.load_model of assets.extra/trained.keras in the model's folder.

    Args:
        model: as of `model_folder`, which raises what this raises; FileNotFoundError also for a model without that
            file.
    """
    from components.serving.export import read_keras

    return read_keras(model_folder(model))

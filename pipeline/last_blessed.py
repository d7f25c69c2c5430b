"""Which of an experiment's blessed models is taken."""

from __future__ import annotations

from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.dsl.io import fileio
from tfx.utils import path_utils

from components.pusher import holds_model


class LatestExistingBlessed(LatestBlessedModelStrategy):
    """The latest blessed model that is still there: the metadata know of models that somebody has removed, too.

    Channels: `model` and `model_blessing`.
    """

    def resolve_artifacts(self, store, input_dict):
        """Lists by channel name; no model and no blessing if none is there."""
        return self._resolve({**input_dict, "model": _existing(input_dict["model"])}, "model", "model_blessing")


class LastBlessedBefore(LatestBlessedModelStrategy):
    """The latest blessed model that is still there and older than the candidate.

    The plain latest one would be the candidate itself when a run is repeated: Evaluator would see another input than
    at the first time and nothing after it would be found in the cache.

    Channels: `model`, `model_blessing`, and `candidate`, the model to be evaluated.
    """

    def resolve_artifacts(self, store, input_dict):
        """Lists by channel name; no model and no blessing if none is older."""
        candidates = input_dict["candidate"]
        oldest = min((candidate.id for candidate in candidates), default=0)
        models = [model for model in _existing(input_dict["model"]) if model.id < oldest]
        found = self._resolve({**input_dict, "model": models}, "model", "model_blessing")
        return {**found, "candidate": candidates}


def _existing(models):
    return [
        model for model in models if fileio.exists(model.uri) and holds_model(path_utils.serving_model_path(model.uri))
    ]

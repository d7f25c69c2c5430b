"""Which model a candidate is compared with."""

from __future__ import annotations

from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy


class LastBlessedBefore(LatestBlessedModelStrategy):
    """The latest blessed model that is older than the candidate.

    The plain latest one would be the candidate itself when a run is repeated: Evaluator would see another input than
    at the first time and nothing after it would be found in the cache.

    Channels: `model`, `model_blessing`, and `candidate`, the model to be evaluated.
    """

    def resolve_artifacts(self, store, input_dict):
        """Lists by channel name; no model and no blessing if none is older."""
        candidates = input_dict["candidate"]
        oldest = min((candidate.id for candidate in candidates), default=0)
        models = [model for model in input_dict["model"] if model.id < oldest]
        found = self._resolve({**input_dict, "model": models}, "model", "model_blessing")
        return {**found, "candidate": candidates}

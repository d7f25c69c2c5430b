"""What a paper's network may need beside keras_models and the shared rooms: hooks, all optional."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from components.config import Experiment, ObjectConfig

if TYPE_CHECKING:
    from tensorflow import keras

    from components.page.page import Part
    from components.report.collect import RunArtifacts
    from components.serving.module import ServingModule
    from components.trainer.recipe import Recipe


class System:
    """The hooks; these do nothing.

    Attributes:
        ONE_BY_ONE: whether the served network is asked for one image after the other, because what an image is answered
            must not depend on its batch.
    """

    ONE_BY_ONE = False

    def iterations(self, model: ObjectConfig) -> int:
        """How often a network feeds its predictions back; each iteration's answers are then evaluated, too."""
        return 0

    def callbacks(self, recipe: Recipe, network: keras.Model) -> Sequence[keras.callbacks.Callback]:
        """Callbacks that only watch: TensorBoard summaries, report files; without state that a restart needs."""
        return ()

    def signatures(self, module: ServingModule) -> tuple[dict[str, Callable], dict[str, dict]]:
        """Further signatures of the exported model, by name, and the contracts of their outputs, by the same names."""
        return {}, {}

    def write_assets(self, network: keras.Model, folder: str) -> None:
        """Leaves files in the SavedModel in `folder`, below assets.extra."""

    def parts(self, artifacts: RunArtifacts) -> Sequence[Part]:
        """The system's parts of the report."""
        return ()


def system_of(experiment: Experiment) -> System:
    """The experiment's system; one that does nothing if it has none."""
    return pkgutil.resolve_name(experiment.system)() if experiment.system else System()

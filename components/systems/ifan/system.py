"""iFAN's hooks."""

from __future__ import annotations

from components.systems.base import System


class IFANSystem(System):
    """Every iteration's answers are served, evaluated and shown.

    Images are asked for one by one: where a network is fed its predictions back, a rounding error that depends on the
    batch can move a pixel of a landmark's disc, which is no small difference any more.
    """

    ONE_BY_ONE = True

    def iterations(self, model):
        return model.kwargs["iterations"]

    def signatures(self, module):
        from components.systems.ifan.export import iteration_signature

        return iteration_signature(module)

    def parts(self, artifacts):
        from components.systems.ifan.report import interaction_parts

        return interaction_parts(artifacts)

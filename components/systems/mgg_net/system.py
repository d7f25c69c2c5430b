"""MGG-Net's hooks."""

from __future__ import annotations

from components.systems.base import System


class MGGNetSystem(System):
    """Shows what the network attends to: in TensorBoard, from the served model, in the report."""

    def callbacks(self, recipe, network):
        from components.systems.mgg_net.summaries import attention_summaries

        return attention_summaries(recipe, network)

    def signatures(self, module):
        from components.systems.mgg_net.export import attention_signature

        return attention_signature(module)

    def parts(self, artifacts):
        from components.systems.mgg_net.report import attention_parts

        return attention_parts(artifacts)

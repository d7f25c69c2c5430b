"""DML-CSR's hooks."""

from __future__ import annotations

from components.systems.base import System


class DMLCSRSystem(System):
    """Shows the edges, whose branches are not exported: training leaves them for the report."""

    def callbacks(self, recipe, network):
        from components.systems.dml_csr.edge_maps import EdgeMaps

        return [EdgeMaps(recipe)] if "binary_edge" in network.output else []

    def parts(self, artifacts):
        from components.systems.dml_csr.report import edge_parts

        return edge_parts(artifacts)

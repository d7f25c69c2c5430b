"""The data sets by name."""

import importlib

from components.datasets.base import FaceDataset, Reference

_BUILDERS = {
    "synthetic_faces": "components.datasets.synthetic_faces.SyntheticFaces",
    "celeb_a": "components.datasets.celeb_a.CelebA",
    "lfwa": "components.datasets.lfwa.LFWA",
    "celebamask_hq": "components.datasets.celebamask_hq.CelebAMaskHQ",
    "lapa": "components.datasets.lapa.LaPa",
    "helen": "components.datasets.helen.Helen",
}


def builder_class(name: str) -> type[FaceDataset]:
    """The builder registered as `name`; ValueError that lists the names there are, if there is none."""
    if name not in _BUILDERS:
        raise ValueError(f"No data set is called {name!r}. There are: {', '.join(_BUILDERS)}.")
    module, _, cls = _BUILDERS[name].rpartition(".")
    return getattr(importlib.import_module(module), cls)


__all__ = ["FaceDataset", "Reference", "builder_class"]

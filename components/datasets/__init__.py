"""The data sets by name, and where the files of a run's data sets lie."""

import inspect
import os
import pkgutil
from collections.abc import Sequence

import tensorflow as tf

from components.config import DatasetConfig
from components.datasets.base import FaceDataset, Reference
from components.folders import listed

_BUILDERS = {
    "synthetic_faces": "components.datasets.synthetic_faces.SyntheticFaces",
    "celeb_a": "components.datasets.celeb_a.CelebA",
    "lfwa": "components.datasets.lfwa.LFWA",
    "celebamask_hq": "components.datasets.celebamask_hq.CelebAMaskHQ",
    "lapa": "components.datasets.lapa.LaPa",
    "helen": "components.datasets.helen.Helen",
    "helen_merged": "components.datasets.helen.HelenMerged",
    "mtfl": "components.datasets.mtfl.MTFL",
    "fer2013": "components.datasets.fer2013.FER2013",
    "bnu_lsved": "components.datasets.bnu_lsved.BNULSVED",
    "deepfashion": "components.datasets.deepfashion.DeepFashion",
    "clothing_subset": "components.datasets.deepfashion.ClothingSubset",
    "table": "components.datasets.table.Table",
}
_NUM_NAMED = 20  # of what lies in a folder, in an error


def builder_class(name: str) -> type[FaceDataset]:
    """The builder registered as `name`; ValueError that lists the names there are, if there is none."""
    if name not in _BUILDERS:
        raise ValueError(f"No data set is called {name!r}. There are: {', '.join(_BUILDERS)}.")
    return pkgutil.resolve_name(_BUILDERS[name])


def build_dataset(dataset: DatasetConfig, folder: str | None) -> FaceDataset:
    """One of a run's data sets with its options; `folder` holds its official files, None or "" if it needs none.

    Raises:
        ValueError: for an option that there isn't, with those that there are, and as of the builder.
    """
    builder = builder_class(dataset.builder or dataset.name)
    own = inspect.signature(builder).parameters.values()
    there = [each.name for each in own if each.kind is not each.VAR_KEYWORD and each.name != "source"]
    if unknown := [option for option in dataset.options if option not in there]:
        raise ValueError(
            f"Data set {dataset.name!r} has no option {unknown[0]!r}. There are: {', '.join(there) or 'none'}."
        )
    return builder(source=folder or None, **dataset.options)


def code_files(datasets: Sequence[DatasetConfig]) -> tuple[str, ...]:
    """What of this folder the data sets' records depend on: files and folders, relative to the project's root.

    Their builders' own modules are, and those that are no builder's own. Another builder's module is not, as builders
    import none of each other (pyproject.toml sees to that), nor is this one, which names them all.
    """
    used = {builder_class(dataset.builder or dataset.name).__module__ for dataset in datasets}
    others = {name.rpartition(".")[0] for name in _BUILDERS.values()} - used
    here = pkgutil.iter_modules(__path__, f"{__name__}.")
    return tuple(
        module.name.replace(".", "/") + ("" if module.ispkg else ".py") for module in here if module.name not in others
    )


def build_datasets(datasets: Sequence[DatasetConfig], data_dir: str) -> dict[str, FaceDataset]:
    """A run's data sets by their names.

    Args:
        data_dir: the folder (any path that tf.io.gfile reads) with the official files of the one data set. With several
            it holds a folder for each, called what the data set is called but for case, hyphens and underscores. "" if
            none of them needs files.

    Raises:
        FileNotFoundError: of several, one has no such folder or more than one.
    """
    if len(datasets) == 1:
        folders = [data_dir]
    else:
        folders = [_folder(each, data_dir) if data_dir and _reads_files(each) else None for each in datasets]
    return {each.name: build_dataset(each, folder) for each, folder in zip(datasets, folders, strict=True)}


def _reads_files(dataset: DatasetConfig) -> bool:
    try:
        build_dataset(dataset, None).check()
    except ValueError:  # of FaceDataset.folder
        return True
    return False


def _folder(dataset: DatasetConfig, data_dir: str) -> str:
    rule = f"{data_dir!r} should hold one folder for {dataset.name!r}, called so but for case, hyphens and underscores."
    if not tf.io.gfile.isdir(data_dir):
        raise FileNotFoundError(f"{rule} It is no folder.")
    there = sorted(name.rstrip("/") for name in listed(data_dir))
    named = [name for name in there if _plain(name) == _plain(dataset.name)]
    folders = [name for name in named if tf.io.gfile.isdir(os.path.join(data_dir, name))]
    if not folders:
        more = f" and {len(there) - _NUM_NAMED:,} more" if len(there) > _NUM_NAMED else ""
        raise FileNotFoundError(
            f"{rule} It holds: {', '.join(there[:_NUM_NAMED]) or 'nothing'}{more}. Put the official files into such a "
            "folder, or a link to theirs in its place."
        )
    if len(folders) > 1:
        raise FileNotFoundError(f"{rule} It holds {' and '.join(folders)}. Leave one of them.")
    return os.path.join(data_dir, folders[0])


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


__all__ = [
    "FaceDataset",
    "Reference",
    "build_dataset",
    "build_datasets",
    "builder_class",
    "code_files",
]

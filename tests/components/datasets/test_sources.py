"""A run's data sets: their builders, and where their files lie."""

import re

import pytest

from components.config import DatasetConfig
from components.datasets import build_dataset, build_datasets
from components.datasets.celebamask_hq import CelebAMaskHQ
from components.datasets.fer2013 import FER2013
from components.datasets.mtfl import MTFL
from components.datasets.synthetic_faces import SyntheticFaces

PARSED, MOODS = DatasetConfig("celebamask_hq"), DatasetConfig("fer2013")
POINTS = DatasetConfig("mtfl")
DRAWN = DatasetConfig("drawn", {"num_train": 3}, builder="synthetic_faces")


def folder(path, *names):
    """A folder with empty folders in it."""
    path.mkdir(parents=True, exist_ok=True)
    for name in names:
        (path / name).mkdir()
    return str(path)


def test_the_builder_is_the_data_set_s_own_or_the_one_that_it_names():
    assert type(build_dataset(DatasetConfig("mtfl"), None)) is MTFL
    assert type(build_dataset(DRAWN, None)) is SyntheticFaces
    with pytest.raises(ValueError, match=r"No data set is called 'drawn'\. There are: synthetic_faces, "):
        build_dataset(DatasetConfig("drawn"), None)


def test_an_option_that_the_builder_has_not():
    with pytest.raises(ValueError, match=r"'celeb_a' has no option 'crop'\. There are: .*landmarks"):
        build_dataset(DatasetConfig("celeb_a", {"crop": True}), None)


def test_a_source_s_options_are_the_builder_s():
    assert build_dataset(POINTS, "somewhere").folder == "somewhere"
    assert sum(reference.split == "train" for reference in build_dataset(DRAWN, None).references()) == 3


def test_one_data_set_s_folder_is_the_folder(tmp_path):
    (dataset,) = build_datasets([PARSED], str(tmp_path)).values()
    assert dataset.folder == str(tmp_path)


def test_several_have_folders_called_like_them(tmp_path):
    data_dir = folder(tmp_path, "CelebAMask-HQ", "MTFL", "Fer_2013", "celeba", "fer2013-old")
    datasets = build_datasets([PARSED, POINTS, DRAWN, MOODS], data_dir)
    assert list(datasets) == ["celebamask_hq", "mtfl", "drawn", "fer2013"]
    assert [type(dataset) for dataset in datasets.values()] == [CelebAMaskHQ, MTFL, SyntheticFaces, FER2013]
    assert datasets["celebamask_hq"].folder == f"{data_dir}/CelebAMask-HQ"
    assert datasets["mtfl"].folder == f"{data_dir}/MTFL"
    assert datasets["fer2013"].folder == f"{data_dir}/Fer_2013"


def test_the_source_s_name_counts_not_the_builder_s(tmp_path):
    data_dir = folder(tmp_path, "mtfl", "web-points")
    datasets = build_datasets([POINTS, DatasetConfig("web_points", builder="mtfl")], data_dir)
    assert datasets["web_points"].folder == f"{data_dir}/web-points"


def test_a_link_will_do(tmp_path):
    elsewhere = folder(tmp_path / "a" / "release")
    data_dir = folder(tmp_path / "b", "CelebAMask-HQ")
    (tmp_path / "b" / "mtfl").symlink_to(elsewhere)
    assert build_datasets([PARSED, POINTS], data_dir)["mtfl"].folder == f"{data_dir}/mtfl"


def test_drawn_faces_need_no_folder():
    for data_dir in ("", "nowhere"):
        datasets = build_datasets([DRAWN, DatasetConfig("others", builder="synthetic_faces")], data_dir)
        for dataset in datasets.values():
            dataset.check()


def test_files_that_nobody_points_to():
    with pytest.raises(ValueError, match="'mtfl' reads files, but got no `source`"):
        build_datasets([DRAWN, POINTS], "")["mtfl"].check()


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ([], "for 'mtfl', called so but for case, hyphens and underscores. It holds: nothing. Put"),
        (["MTFL2", "lapa"], "It holds: MTFL2, lapa. Put the official files into such a folder, or a link"),
        ([f"{i:03}" for i in range(1022)], "018, 019 and 1,002 more. Put"),
        (["MTFL", "mtfl"], "It holds MTFL and mtfl. Leave one of them."),
    ],
    ids=["empty", "others", "many", "two"],
)
def test_a_folder_that_is_missing_or_not_the_only_one(tmp_path, there, message):
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        build_datasets([DRAWN, POINTS], folder(tmp_path, *there))


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "mtfl").touch()
    with pytest.raises(FileNotFoundError, match="It holds: mtfl"):
        build_datasets([DRAWN, POINTS], str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"nowhere' should hold .* It is no folder\."):
        build_datasets([DRAWN, POINTS], f"{tmp_path}/nowhere")

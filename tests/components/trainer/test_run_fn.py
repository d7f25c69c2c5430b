"""What TFX's Trainer calls."""

import pytest
import tiny_faces
from tfx.components.trainer.fn_args_utils import FnArgs

from components.config import to_json
from components.trainer.run_fn import _run_key, files_by_split, run_fn


def test_a_warm_start_needs_a_model():
    config = {"experiment": to_json(tiny_faces.experiment(warm_start="dmm_cnn/celeb_a"))}
    with pytest.raises(ValueError, match=r"'dmm_cnn/celeb_a'.*no blessed one.*make run EXPERIMENT=dmm_cnn/celeb_a"):
        run_fn(FnArgs(custom_config=config, base_model=None))


def test_only_the_same_run_finds_its_checkpoints():
    config = {"experiment": to_json(tiny_faces.experiment()), "code_version": "a"}
    key = _run_key(config, "transform/7")
    assert key == _run_key(dict(reversed(config.items())), "transform/7")
    other = {**config, "experiment": to_json(tiny_faces.experiment(seed=4))}
    assert len({key, _run_key(other, "transform/7"), _run_key(config, "transform/8")}) == 3


def test_files_by_split(tmp_path):
    for split, shards in {"helen_train": 2, "mtfl_train": 1, "fer-2013_train": 0}.items():
        (tmp_path / f"Split-{split}").mkdir()
        for shard in range(shards):
            (tmp_path / f"Split-{split}" / f"data-{shard}.gz").touch()
    files = files_by_split([f"{tmp_path}/Split-{split}/*" for split in ("mtfl_train", "helen_train", "fer-2013_train")])
    assert {split: [name.removeprefix(f"{tmp_path}/") for name in names] for split, names in files.items()} == {
        "mtfl_train": ["Split-mtfl_train/data-0.gz"],
        "helen_train": ["Split-helen_train/data-0.gz", "Split-helen_train/data-1.gz"],
        "fer-2013_train": [],
    }


def test_files_of_no_split():
    with pytest.raises(ValueError, match=r"'/data/train/\*' should be the files of a split, \.\.\./Split-<name>/\*"):
        files_by_split(["/data/train/*"])

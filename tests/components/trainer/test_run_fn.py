"""What TFX's Trainer calls."""

import pytest
import tiny_faces
from tfx.components.trainer.fn_args_utils import FnArgs

from components.config import to_json
from components.trainer.run_fn import _run_key, run_fn


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

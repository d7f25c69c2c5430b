"""Which blessed model is taken: the latest that is older than the candidate and still there."""

import shutil

import pytest
from tfx.types import standard_artifacts

from pipeline.last_blessed import LastBlessedBefore, LatestExistingBlessed


@pytest.fixture
def blessed(tmp_path):
    """Models 1, 3 and 5, each with a blessing."""
    models, blessings = [], []
    for number in (1, 3, 5):
        model, blessing = standard_artifacts.Model(), standard_artifacts.ModelBlessing()
        model.id, model.uri = number, str(tmp_path / str(number))
        served = tmp_path / str(number) / "Format-Serving"
        served.mkdir(parents=True)
        (served / "saved_model.pb").write_text("graph")
        (served / "variables").mkdir()
        (served / "variables" / "variables.index").touch()
        blessing.id = number + 1
        blessing.set_int_custom_property("blessed", 1)
        blessing.set_int_custom_property("current_model_id", number)
        blessing.set_string_custom_property("current_model", model.uri)
        models.append(model)
        blessings.append(blessing)
    return {"model": models, "model_blessing": blessings}


def taken(strategy, channels):
    return [model.id for model in strategy.resolve_artifacts(None, channels)["model"]]


def test_the_candidate_is_not_compared_with_itself(blessed):
    candidate = blessed["model"][2]
    assert taken(LastBlessedBefore(), {**blessed, "candidate": [candidate]}) == [3]
    assert taken(LastBlessedBefore(), {**blessed, "candidate": [blessed["model"][0]]}) == []
    assert taken(LatestExistingBlessed(), blessed) == [5]


def test_a_model_that_somebody_removed_is_passed_over(blessed, tmp_path):
    (tmp_path / "5" / "Format-Serving" / "saved_model.pb").unlink()
    assert taken(LatestExistingBlessed(), blessed) == [3]
    shutil.rmtree(tmp_path / "3")
    assert taken(LatestExistingBlessed(), blessed) == [1]
    assert taken(LastBlessedBefore(), {**blessed, "candidate": [blessed["model"][2]]}) == [1]
    shutil.rmtree(tmp_path / "1")
    assert taken(LatestExistingBlessed(), blessed) == []

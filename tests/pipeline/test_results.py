"""`make record` and `make results`: what is kept of runs, and the tables made of it."""

import json

import pytest

from components.config import form
from pipeline import experiments, results

NAME = "mgg_net/celeb_a-tiny"
FORM = form(experiments.get(NAME))
PLAIN = "plain/celeb_a-tiny"


def run(name=NAME, seed=0, commit="abc1234", its_form=FORM, accuracy=0.9, **more):
    figures = {"attributes mean accuracy": accuracy, "training minutes": 6.0, "not compared": 1.0, **more}
    compared = [figure for figure in figures if not figure.startswith("not")]
    return {
        "experiment": name, "seed": seed, "commit": commit, "form": its_form, "figures": figures, "compared": compared,
        "shares": ["attributes mean accuracy", "not compared"],
    }  # fmt: skip


def test_what_is_compared_is_kept_with_the_commit():
    records, left_out = results.kept([run(), run(seed=2, accuracy=0.8)])
    assert records == {
        NAME: {
            "0": {
                "commit": "abc1234",
                "form": FORM,
                "figures": {"attributes mean accuracy": 0.9, "training minutes": 6.0},
                "shares": ["attributes mean accuracy"],
            },
            "2": {
                "commit": "abc1234",
                "form": FORM,
                "figures": {"attributes mean accuracy": 0.8, "training minutes": 6.0},
                "shares": ["attributes mean accuracy"],
            },
        }
    }
    assert not left_out


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"commit": "abc1234-dirty"}, "not committed"),
        ({"commit": ""}, "not committed"),
        ({"name": f"{NAME}+training.epochs=3"}, "no experiment of that name"),
        ({"its_form": "earlier"}, "the experiment is another by now"),
    ],
)
def test_what_nobody_could_run_again_is_left_out(changes, reason):
    records, left_out = results.kept([run(**changes)])
    assert not records and len(left_out) == 1 and reason in left_out[0] and "seed 0" in left_out[0]


def test_files_by_system_are_read_back(tmp_path):
    records, _ = results.kept([run(), run(name=PLAIN, its_form=form(experiments.get(PLAIN)))])
    results.write(records, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mgg_net.json", "plain.json"]
    assert list(json.loads((tmp_path / "plain.json").read_text())) == [PLAIN]
    assert results.read(tmp_path) == records


def test_a_new_form_replaces_what_an_earlier_one_reached():
    records, _ = results.kept([run(), run(seed=1)])
    same, _ = results.kept([run(seed=1, accuracy=0.7), run(seed=2)])
    assert list(results.merged(records, same)[NAME]) == ["0", "1", "2"]
    assert results.merged(records, same)[NAME]["1"]["figures"]["attributes mean accuracy"] == 0.7
    earlier = {NAME: {seed: {**record, "form": "earlier"} for seed, record in records[NAME].items()}}
    assert list(results.merged(earlier, same)[NAME]) == ["1", "2"]
    assert list(earlier[NAME]) == ["0", "1"]


def test_tables_have_mean_and_spread_and_what_is_published():
    text = results.markdown(results.kept([run(accuracy=0.9), run(seed=1, accuracy=0.8)])[0])
    assert f"| `{NAME}` | 0.8500 ± 0.0707 | 6.0000 ± 0.0000 | – | – | 0 1 | abc1234 |" in text
    assert "Published: MGG-Net, Table 1: 92.00 %" in text
    lite0 = "mgg_net/celeb_a-lite0-tiny"
    text = results.markdown(results.kept([run(name=lite0, its_form=form(experiments.get(lite0)))])[0])
    assert "Published: MGG-Net, Table 1: 92.00 %" in text


def test_an_earlier_form_is_marked():
    records, _ = results.kept([run()])
    records[NAME]["0"]["form"] = "earlier"
    text = results.markdown(records)
    assert f"| `{NAME}`\\* |" in text


def test_small_runs_are_rows_of_the_readme(monkeypatch):
    assert all(name in experiments.names() for name in results.SMALL_RUNS)
    more = {"processor minutes": 9.0, "branches": 12}
    monkeypatch.setattr(results, "SMALL_RUNS", ("ifan/3t-tiny", NAME))
    records, _ = results.kept([run(seed=seed, accuracy=each, **more) for seed, each in enumerate((0.9, 0.8))])
    _, _, *rows = results.small_runs(records).splitlines()
    reached = "attributes mean accuracy 85.00 %, branches 12.00"
    assert rows == [f"| `{NAME}` | {reached} | 6.0 min, 9.0 of all processors | 2 |"]


def test_tables_are_what_the_records_say():
    records = results.read()
    assert results.RESULTS.read_text() == results.markdown(records), "make results"
    assert results.small_runs(records) in results.README.read_text(), "make results"

"""`make tensorboard`: links named by experiment and seed, made anew as runs come and go."""

import json
import os

from pipeline.board import link_runs


def _run(output, node, number, seed, trained=True, reported=True):
    logs = output / "pipeline" / f"Trainer-{node}" / "model_run" / str(number)
    if trained:
        logs.mkdir(parents=True)
    if reported:
        report = output / "pipeline" / f"Report-{node}" / "report" / str(number + 1)
        (report / "tensorboard").mkdir(parents=True)
        results = {"experiment": node.replace("-", "/", 1), "seed": seed, "compared": [], "places": {"logs": str(logs)}}
        (report / "results.json").write_text(json.dumps(results))


def _links(folder):
    return {str(link.relative_to(folder)): os.readlink(link) for link in folder.glob("*/*")}


def test_runs_are_named_by_experiment_and_seed(tmp_path):
    _run(tmp_path, "plain-a", 3, seed=0)
    _run(tmp_path, "plain-a", 7, seed=1)
    _run(tmp_path, "plain-a", 11, seed=1)
    _run(tmp_path, "plain-b", 20, seed=0, reported=False)
    found = _links(link_runs(str(tmp_path)))
    pipeline = tmp_path / "pipeline"
    assert found == {
        "plain-a-seed0/training": str(pipeline / "Trainer-plain-a/model_run/3"),
        "plain-a-seed0/test": str(pipeline / "Report-plain-a/report/4/tensorboard"),
        "plain-a-seed1/training": str(pipeline / "Trainer-plain-a/model_run/11"),
        "plain-a-seed1/test": str(pipeline / "Report-plain-a/report/12/tensorboard"),
        "plain-a/7": str(pipeline / "Trainer-plain-a/model_run/7"),
        "plain-b/20": str(pipeline / "Trainer-plain-b/model_run/20"),
    }


def test_links_follow_what_runs(tmp_path):
    _run(tmp_path, "plain-a", 3, seed=0, reported=False)
    assert set(_links(link_runs(str(tmp_path)))) == {"plain-a/3"}
    _run(tmp_path, "plain-a", 3, seed=0, trained=False)
    assert set(_links(link_runs(str(tmp_path)))) == {"plain-a-seed0/training", "plain-a-seed0/test"}
    _run(tmp_path, "plain-a", 9, seed=0)
    assert _links(link_runs(str(tmp_path)))["plain-a-seed0/training"].endswith("/9")


def test_no_run_yet(tmp_path):
    assert _links(link_runs(str(tmp_path))) == {}


def test_a_report_of_an_earlier_facetfx_has_curves_alone(tmp_path):
    _run(tmp_path, "plain-a", 3, seed=0)
    (tmp_path / "pipeline/Report-plain-a/report/4/tensorboard").rmdir()
    assert set(_links(link_runs(str(tmp_path)))) == {"plain-a-seed0/training"}

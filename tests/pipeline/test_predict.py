"""The command as a person gives it: a table of the faces in a folder, and what it says where it can't."""

from __future__ import annotations

import os
import pathlib
import shutil

import pandas as pd
import pyarrow.parquet
import pytest

from components.faces.frame import Frame
from components.prediction import beam
from components.prediction.model import PushedModel
from pipeline.predict import _local_workers, main
from tests.support.photographs import GRACE_HOPPER, needs_dlib
from tests.support.serving import COLOURS, IMAGES, colours, exported, learnt

pytestmark = pytest.mark.slow
FRAME = Frame(0.8, ((0.7, 0.4), (0.6, 0.4), (0.3, 0.4), (0.4, 0.4), (0.5, 0.6)))


@pytest.fixture(scope="module")
def output_dir(tmp_path_factory):
    """With a model that was pushed for the experiment plain/colours."""
    folder = tmp_path_factory.mktemp("out")
    frames = {task.name: FRAME for task in COLOURS}
    exported(colours(), learnt(*COLOURS), folder / "serving" / "plain-colours" / "17", frames=frames)
    return folder


@pytest.fixture
def photos(tmp_path, output_dir, monkeypatch):
    monkeypatch.setenv("OUTPUT_DIR", str(output_dir))
    folder = tmp_path / "my photos"
    (folder / "trip").mkdir(parents=True)
    (folder / "trip" / "grace.jpg").write_bytes(GRACE_HOPPER.read_bytes())
    (folder / "clouds.png").write_bytes(IMAGES[5])
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "list.txt").write_text("x")
    return folder


def run(photos: pathlib.Path, out: pathlib.Path, *options: str) -> str:
    main([str(photos), "--model", "plain/colours", "--out", str(out), *options])
    return str(out)


@needs_dlib
def test_a_row_a_face_and_a_reason_for_what_has_none(photos, tmp_path, capsys):
    table = pd.read_csv(run(photos, tmp_path / "faces.csv"))
    assert table.image.tolist() == ["broken.jpg", "clouds.png", "trip/grace.jpg"]
    assert table.problem.tolist()[:2] == ["this is no image that Pillow can read", "no face was found"]
    grace = table.iloc[2]
    assert pd.isna(grace.problem) and grace.face == 0 and grace.detector_score > 0
    assert grace["attributes.redder"] in (0, 1) and grace.emotion in "rgb" and 0 < grace.age < 100
    assert (grace.model, grace.version) == ("plain-colours", 17)
    labels, overlay = pathlib.Path(grace["parsing.labels"]), pathlib.Path(grace["parsing.overlay"])
    assert labels.match("faces.csv.maps/*/trip/grace.jpg.*.0.parsing.png") and labels.stat().st_size
    assert overlay.suffix == ".jpg" and overlay.stat().st_size
    said = capsys.readouterr().err
    assert "3 photographs, 1 other file left out; 0 of them answered before" in said
    assert "1 face answered, 2 rows without an answer" in said


def test_what_fails_together_is_asked_about_alone(photos, tmp_path, monkeypatch):
    ask = PushedModel.ask

    def ask_about_one(model, images):
        if len(images) > 1:
            raise MemoryError
        return ask(model, images)

    monkeypatch.setattr(PushedModel, "ask", ask_about_one)
    table = pd.read_csv(run(photos, tmp_path / "faces.csv", "--as-is"))
    assert table.problem.isna().tolist() == [False, True, True] and table.age.notna().tolist() == [False, True, True]


def test_a_second_start_does_what_is_left(photos, tmp_path, capsys, monkeypatch):
    out = tmp_path / "all.parquet"
    run(photos, out, "--as-is")
    assert pyarrow.parquet.read_table(out).num_rows == 3
    (photos / "a.png").write_bytes(IMAGES[5])
    read = []
    reader = beam.read_photograph
    monkeypatch.setattr(beam, "read_photograph", lambda path: read.append(path) or reader(path))
    run(photos, out, "--as-is")
    assert "2 of them answered before" in capsys.readouterr().err
    # What could not be read is tried again.
    assert [pathlib.Path(path).name for path in read] == ["a.png", "broken.jpg"]
    names = pyarrow.parquet.read_table(out).column("image").to_pylist()
    assert names == ["a.png", "broken.jpg", "clouds.png", "trip/grace.jpg"]
    run(photos, out)  # faces instead of whole images: all anew
    assert len(read) == 6


@needs_dlib
def test_label_maps_are_those_of_their_table(photos, tmp_path, monkeypatch):
    out = tmp_path / "all.csv"
    files = ["parsing.labels", "parsing.overlay"]

    def maps():
        return {path: pathlib.Path(path).read_bytes() for path in pd.read_csv(out)[files].stack()}

    run(photos, out)
    faces = maps()

    def stopped(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("components.prediction.parts.write_table", stopped)
        with pytest.raises(SystemExit, match="Stopped"):
            run(photos, out, "--as-is")
    assert maps() == faces
    run(photos, out)
    assert maps() == faces
    # Of one name, elsewhere.
    (tmp_path / "trip").mkdir()
    (tmp_path / "trip" / "clouds.png").write_bytes(IMAGES[4])
    run(photos, out, "--as-is")
    whole = maps()
    assert len(whole) == 4 and not whole.keys() & faces.keys() and not any(map(os.path.exists, faces))
    run(tmp_path / "trip", out, "--as-is")
    run(photos, out, "--as-is")
    assert maps() == whole
    for path in whole:
        pathlib.Path(path).unlink()
    run(photos, out, "--as-is")
    assert maps() == whole


def test_what_beam_makes_of_an_interruption_is_a_line(photos, tmp_path, monkeypatch):
    def failed(*arguments):
        raise RuntimeError("KeyboardInterrupt [while running 'Predict']")

    monkeypatch.setattr("components.prediction.parts.write_table", failed)
    with pytest.raises(RuntimeError):
        run(photos, tmp_path / "f.csv", "--as-is")
    monkeypatch.setattr("pipeline.interruption.asked", lambda: True)
    with pytest.raises(SystemExit, match="Stopped"):
        run(photos, tmp_path / "f.csv", "--as-is")


def test_the_image_s_name_is_that_of_the_last_start(photos, tmp_path):
    out = tmp_path / "all.csv"
    main([str(photos / "clouds.png"), "--model", "plain/colours", "--out", str(out), "--as-is"])
    assert pd.read_csv(out).image.tolist() == [str(photos / "clouds.png")]
    assert pd.read_csv(run(photos, out, "--as-is")).image.tolist() == ["broken.jpg", "clouds.png", "trip/grace.jpg"]


def test_a_model_that_was_not_pushed_has_the_name_of_its_run(photos, tmp_path, output_dir):
    trained = tmp_path / "Trainer-plain-colours" / "model" / "45" / "Format-Serving"
    shutil.copytree(output_dir / "serving" / "plain-colours" / "17", trained)
    main([str(photos), "--model", str(trained), "--out", str(tmp_path / "f.csv"), "--as-is"])
    table = pd.read_csv(tmp_path / "f.csv")
    assert set(table.model) == {"plain-colours"} and set(table.version) == {"45 (not pushed)"}


def test_an_out_that_can_not_be_written(photos, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"OUT is .*faces.csv', but nothing can be written in .*file'"):
        run(photos, tmp_path / "file" / "faces.csv")


def test_what_stops_one_photograph_stops_no_other(photos, tmp_path, monkeypatch):
    reader = beam.read_photograph

    def failing(path):
        if "clouds" in path:
            raise MemoryError("too large\nfor this machine")
        return reader(path)

    monkeypatch.setattr(beam, "read_photograph", failing)
    table = pd.read_csv(run(photos, tmp_path / "faces.csv", "--as-is"))
    assert table.problem[1] == "MemoryError: too large for this machine"
    assert pd.isna(table.problem[2])


def test_in_worker_processes(photos, tmp_path):
    for number in range(20):  # more than one part
        (photos / f"{number:02}.png").write_bytes(IMAGES[5])
    workers = "--direct_running_mode=multi_processing --direct_num_workers=2"
    there = pd.read_csv(run(photos, tmp_path / "there.csv", "--as-is", "--beam", workers))
    here = pd.read_csv(run(photos, tmp_path / "here.csv", "--as-is"))
    files = ["parsing.labels", "parsing.overlay"]
    pd.testing.assert_frame_equal(there.drop(columns=files), here.drop(columns=files))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--model", "plain/colours", "--out", "faces.xlsx"],
            r"OUT is a table, \.csv or \.parquet; received 'faces\.xlsx'",
        ),
        (
            ["--model", "no/such", "--out", "f.csv"],
            r"MODEL 'no/such' is neither.*has plain-colours.*No experiment is called 'no/such'",
        ),
        (["--model", "", "--out", "f.csv"], "MODEL is missing.*has plain-colours"),
    ],
)
def test_what_cannot_be_done_is_a_line(photos, arguments, message):
    with pytest.raises(SystemExit, match=message):
        main([str(photos), *arguments])


def test_no_photographs(photos, tmp_path):
    with pytest.raises(SystemExit, match="No photographs in"):
        run(tmp_path / "none", tmp_path / "f.csv")


def test_a_model_by_its_folder(photos, tmp_path, output_dir):
    pushed = output_dir / "serving" / "plain-colours"
    for folder in (pushed, pushed / "17"):
        main([str(photos), "--model", str(folder), "--out", str(tmp_path / f"{folder.name}.csv"), "--as-is"])
    assert (tmp_path / "17.csv").read_text() == (tmp_path / "plain-colours.csv").read_text().replace(
        "plain-colours.csv.maps", "17.csv.maps"
    )


def test_few_photographs_start_no_other_processes():
    assert _local_workers(10) == []

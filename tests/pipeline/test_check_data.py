"""The command as a person gives it: pictures of the model's kind stay silent, others are named and end with 1."""

import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image, ImageFilter

from components.drift.reference import REFERENCE, measured, outputs_of, write_reference
from components.faces.frame import Frame
from components.images.limits import MAX_SIDE
from components.images.status import WORDS, Status
from components.prediction.model import PushedModel
from components.serving.export import CONTRACT
from pipeline.check_data import CAN_NOT_TELL, DRIFTED, main
from tests.components.page import page_checks
from tests.support.photographs import GRACE_HOPPER, needs_dlib
from tests.support.serving import COLOURS, SIZE, colours, exported, image, learnt

pytestmark = pytest.mark.slow
FRAME = Frame(0.8, ((0.7, 0.4), (0.6, 0.4), (0.3, 0.4), (0.4, 0.4), (0.5, 0.6)))
OF = {"helen": ["landmarks"], "fer2013": ["emotion", "attributes"]}
COUNT = 60


def clouds(first, darker=1.0, blur=0.0):
    """Files of coloured clouds."""
    for seed in range(first, first + COUNT):
        shown = Image.open(io.BytesIO(image(seed, file_format="PNG"))).filter(ImageFilter.GaussianBlur(blur))
        file = io.BytesIO()
        shown.point(lambda value: int(value * darker)).save(file, "PNG")
        yield file.getvalue()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A pushed model with what it saw and answered, of two data sets."""
    frames = {task.name: FRAME for task in COLOURS}
    folder = exported(
        colours(), learnt(*COLOURS[1:]), tmp_path_factory.mktemp("serving") / "colours" / "17", frames=frames
    )
    pushed, images = PushedModel(str(folder)), list(clouds(0))
    known = {
        dataset: measured(pushed.ask, outputs_of(pushed.outputs, tasks), SIZE, images)[0]
        for dataset, tasks in OF.items()
    }
    known["fer2013"] |= {
        "label emotion": np.arange(120) % 3.0,  # as many of each
        "label attributes.redder": np.arange(100) % 2.0,
        "label attributes.bluer": np.ones(100),
    }
    write_reference(str(folder), known)
    return folder


def check(model, folder, *options):
    """The exit code, and the page."""
    out = folder.parent / "drift.html"
    with pytest.raises(SystemExit) as ended:
        main([str(folder), "--model", str(model), "--out", str(out), *options])
    return ended.value.code, out.read_text() if out.exists() else ""


def written(folder, files):
    folder.mkdir()
    for number, file in enumerate(files):
        (folder / f"{number:03}.png").write_bytes(file)
    return folder


def test_other_pictures_of_the_same_kind(model, tmp_path, capsys):
    code, page = check(model, written(tmp_path / "new", clouds(500)), "--as-is")
    said = capsys.readouterr().out
    assert code == 0 and "The same kind of images" in page
    # Four of the images for each data set; three of landmarks, one emotion and two decisions.
    assert said.startswith("0 of 14 statistics drifted. Of 60 photographs 60 looked at. Page: ")


@pytest.mark.parametrize(("changed", "named"), [({"darker": 0.5}, "brightness"), ({"blur": 4.0}, "sharpness")])
def test_darker_or_blurred_pictures(changed, named, model, tmp_path, capsys):
    code, page = check(model, written(tmp_path / "new", clouds(500, **changed)), "--as-is")
    said = capsys.readouterr().out
    assert code == DRIFTED and "Other images" in page
    assert f"helen: image {named}: " in said and f"fer2013: image {named}: " in said


def test_what_is_not_answered_is_counted(model, tmp_path, capsys):
    folder = written(tmp_path / "new", clouds(500))
    (folder / "a.jpg").write_bytes(b"no image")
    (folder / "list.txt").write_text("no photograph")
    Image.new("RGB", (MAX_SIDE + 1, 1)).save(folder / "wide.png")
    code, page = check(model, folder, "--as-is")
    said = capsys.readouterr().out
    assert code == 0 and "Of 62 photographs 62 looked at; 1 other file left out; " in said
    for reason in ("this is no image that Pillow can read", WORDS[Status.TOO_LARGE]):
        assert f"; {reason}: 1" in said and f"{reason} 1" in page_checks.check(page).text
    check(model, folder, "--as-is", "--most", "20")
    assert "Of 62 photographs 20 looked at" in capsys.readouterr().out


def table(folder, emotions):
    """Other pictures of the same kind with the emotions in turn; of the first nobody knows if it is redder."""
    written(folder, clouds(500))
    rows = [f"{row:03}.png,{emotions[row % len(emotions)]},{row % 2 if row else ''}" for row in range(COUNT)]
    file = folder / "faces.csv"
    file.write_text("\n".join(["image,emotion,redder", *rows, "000.png,r,1,2", "060.png,happy,"]))
    return file


@pytest.mark.parametrize(("emotions", "drifted"), [("rgb", False), ("rrrrg", True)])
def test_labels_of_a_table(emotions, drifted, model, tmp_path, capsys):
    code, page = check(model, table(tmp_path / "new", emotions), "--as-is")
    said = capsys.readouterr().out
    assert ("fer2013: label emotion: r 80.0 % instead of 33.3 %" in said) == drifted and code == drifted * DRIFTED
    # Two labels beside the fourteen; of the two rows that can't be used one has four values, the other no such emotion.
    assert f"{drifted * 1} of 16 statistics drifted. Of 60 photographs 60 looked at. Page: " in said
    assert (
        "a part of the table is not compared: 2 rows can't be used, the first since faces.csv:62: 4 values; exp" in said
    )
    assert "Only" not in said
    assert "labels is not compared: the table says nothing of bluer." in said
    assert "label attributes.redder" in page and "60 images against 60 images of its validation split" in page


def test_a_table_without_images(model, tmp_path, capsys):
    file = table(tmp_path / "new", "rgb")
    file.write_text(file.read_text().replace("image,", "picture,", 1))
    assert check(model, file, "--as-is")[0] == CAN_NOT_TELL
    assert "faces.csv' has no column 'image'. Its columns: picture, emotion, redder." in capsys.readouterr().err
    file.write_text("image\n../a.png\n")
    assert check(model, file, "--as-is")[0] == CAN_NOT_TELL
    assert re.search(r"No row of .* leads out of the folder", capsys.readouterr().err)
    assert check(model, tmp_path / "none.csv")[0] == CAN_NOT_TELL
    assert "has no none.csv. It should be the table of labels" in capsys.readouterr().err


@needs_dlib
def test_faces_are_looked_for(model, tmp_path, capsys):
    folder = written(tmp_path / "new", [next(clouds(500))])
    (folder / "grace.jpg").write_bytes(GRACE_HOPPER.read_bytes())
    code, page = check(model, folder)
    said = capsys.readouterr().out
    assert code in (0, DRIFTED) and page and "no face was found: 1" in said and "Only 1 image answered" in said
    assert "image sharpness is not compared: aligning a face draws it anew." in said
    # Faces are aligned, the validation images lie as they do.
    assert "landmarks is not compared: aligned faces have it elsewhere." in said and "landmarks.x" not in page


def test_a_data_set_without_faces_is_not_compared(model, tmp_path, capsys):
    copy = shutil.copytree(model, tmp_path / "colours" / "18")
    contract = json.loads((copy / CONTRACT).read_text())
    del contract["frames"]["emotion"], contract["frames"]["attributes"]
    (copy / CONTRACT).write_text(json.dumps(contract))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "grace.jpg").write_bytes(GRACE_HOPPER.read_bytes())
    _, page = check(copy, tmp_path / "new")
    said = capsys.readouterr().out
    assert "fer2013 is not compared: no face was found in its images, to which photographs could be aligned." in said
    assert "Against helen" in page and "Against fer2013" not in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--as-is"], "Of 1 photograph none could be compared: this is no image that Pillow can read"),
        (["--most", "0"], "--most is 1 or more; received 0"),
        (["--as-is", "--out", "/nowhere/drift.html"], "'/nowhere/drift.html' can't be written"),
        (["--as-is", "--out", "/"], "'/' can't be written"),
        (["--as-is", "--model", "no/such"], "MODEL 'no/such' is neither"),
    ],
)
def test_what_cannot_be_done_is_a_line(options, message, model, tmp_path, capsys):
    code, page = check(model, written(tmp_path / "new", [b"no image"]), *options)
    assert code == CAN_NOT_TELL and not page
    assert f"facetfx: {message}" in capsys.readouterr().err.replace("OUT is a page to write, and ", "")


def test_no_image_is_answered(model, tmp_path, capsys):
    folder = written(tmp_path / "new", [])
    Image.new("RGB", (MAX_SIDE + 1, 1)).save(folder / "wide.png")
    assert check(model, folder, "--as-is")[0] == CAN_NOT_TELL
    assert f"none could be compared: {WORDS[Status.TOO_LARGE]}" in capsys.readouterr().err


def test_an_earlier_model(model, tmp_path, capsys):
    copy = shutil.copytree(model, tmp_path / "colours" / "18")
    (copy / REFERENCE).unlink()
    assert check(copy, written(tmp_path / "new", clouds(500)), "--as-is")[0] == CAN_NOT_TELL
    assert "earlier facetfx, without assets.extra/reference.npz: train it again" in capsys.readouterr().err

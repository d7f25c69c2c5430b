"""The command as a person gives it: pictures of the model's kind stay silent, others are named and end with 1."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageFilter

from components.faces.frame import Frame
from components.prediction.model import PushedModel
from components.serving.reference import described, outputs_of, write_reference
from pipeline.check_data import main
from tests.support.photographs import GRACE_HOPPER, needs_dlib
from tests.support.serving import COLOURS, SIZE, colours, exported, image, learnt

pytestmark = pytest.mark.slow
FRAME = Frame(0.8, ((0.7, 0.4), (0.6, 0.4), (0.3, 0.4), (0.4, 0.4), (0.5, 0.6)))
OF = {"helen": ["parsing"], "fer2013": ["emotion", "attributes"]}
COUNT = 80


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
    folder = exported(colours(), learnt(*COLOURS), tmp_path_factory.mktemp("serving") / "colours" / "17", frames=frames)
    pushed, images = PushedModel(str(folder)), list(clouds(0))
    known = {
        dataset: described(pushed.ask, outputs_of(pushed.outputs, tasks), SIZE, images) for dataset, tasks in OF.items()
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
    assert code == 0 and "The same kind of pictures" in page
    # Four of appearance for each data set; three shares, one emotion and two decisions.
    assert said.startswith("0 differences of 14 comparisons; 80 pictures looked at, 0 unreadable, 0 without a face.")


@pytest.mark.parametrize(("changed", "named"), [({"darker": 0.5}, "brightness"), ({"blur": 4.0}, "sharpness")])
def test_darker_or_blurred_pictures(changed, named, model, tmp_path, capsys):
    code, page = check(model, written(tmp_path / "new", clouds(500, **changed)), "--as-is")
    said = capsys.readouterr().out
    assert code == 1 and "Other pictures" in page
    assert f"helen: image {named}: " in said and f"fer2013: image {named}: " in said


def test_what_cannot_be_read_is_counted(model, tmp_path, capsys):
    folder = written(tmp_path / "new", clouds(500))
    (folder / "a.jpg").write_bytes(b"no image")
    code, page = check(model, folder, "--as-is")
    assert code == 0 and "unreadable: this is no image that Pillow can read" in page
    assert "81 pictures looked at, 1 unreadable" in capsys.readouterr().out
    check(model, folder, "--as-is", "--most", "20")
    assert "20 pictures looked at" in capsys.readouterr().out


@needs_dlib
def test_faces_are_looked_for(model, tmp_path, capsys):
    folder = written(tmp_path / "new", [next(clouds(500))])
    (folder / "grace.jpg").write_bytes(GRACE_HOPPER.read_bytes())
    code, page = check(model, folder)
    said = capsys.readouterr().out
    assert code == 0 and page and "1 without a face" in said and "Only 1 image answered" in said


def test_what_cannot_be_done_is_a_line(model, tmp_path):
    folder = written(tmp_path / "new", [b"no image"])
    assert "none was answered: this is no image that Pillow can read" in check(model, folder, "--as-is")[0]
    assert "--most is 1 or more; received 0" in check(model, folder, "--most", "0")[0]
    assert "No photographs in" in check(model, tmp_path / "nowhere")[0]
    earlier = tmp_path / "earlier"
    tf.io.gfile.makedirs(str(earlier))
    exported(colours(), learnt(*COLOURS), earlier / "1")
    assert "earlier facetfx, without assets.extra/reference.npz" in check(earlier, folder, "--as-is")[0]
    assert np.size(list(tmp_path.glob("drift.html"))) == 0

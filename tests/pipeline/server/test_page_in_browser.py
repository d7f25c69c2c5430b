"""The page in a real browser: photographs in, answers seen; by keyboard, on a phone, from the camera."""

from __future__ import annotations

import base64
import contextlib
import pathlib

import pytest

from components.faces.frame import Frame
from components.systems.mgg_net.system import MGGNetSystem
from keras_models import MGGNet
from pipeline.server.app import create_app
from pipeline.server.faces import Faces
from pipeline.server.versions import Versions
from tests.support.browser import Browser, needs_browser
from tests.support.photographs import GRACE_HOPPER, needs_dlib
from tests.support.servers import running
from tests.support.serving import COLOURS, IMAGES, SIZE, bound, colours, exported, image, learnt
from tests.support.tensorflow_serving import tensorflow_serving

pytestmark = [pytest.mark.slow, needs_browser, needs_dlib]
FRAME = Frame(0.8, ((0.7, 0.4), (0.6, 0.4), (0.3, 0.4), (0.4, 0.4), (0.5, 0.6)))
PHONE = 390


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of three models."""
    folder = tmp_path_factory.mktemp("serving")
    frames = {task.name: FRAME for task in COLOURS}
    exported(colours(), learnt(*COLOURS), folder / "colours" / "3", frames=frames)
    exported(colours(), learnt(COLOURS[-1]), folder / "ages" / "1")
    groups = {"mouth": ("Smiling",), "whole face": ("Male",)}
    attributes = bound("attributes", "multi_label", ("Male", "Smiling"), scores="probabilities")
    network = MGGNet((*SIZE, 3), "resnet10", backbone_width=4, groups=groups, attributes=attributes.names)
    exported(network, learnt(attributes), folder / "looks" / "1", MGGNetSystem())
    return folder


@pytest.fixture(scope="module")
def address(folder):
    models = {name: Versions(name, str(folder / name)) for name in ("colours", "ages", "looks")}
    with running(create_app(models, Faces())) as address:
        yield address
    for versions in models.values():
        versions.stop()


@pytest.fixture
def served_elsewhere(address, folder):
    """Starts TensorFlow Serving's API of another origin for the model "colours"; returns the address of the page."""
    versions = Versions("colours", str(folder / "colours"))
    with contextlib.ExitStack() as servers:

        def start(cors: bool) -> str:
            app = tensorflow_serving("colours", versions.current, cors, another=image(1, (900, 700)))
            return f"{address}/?server={servers.enter_context(running(app))}&model=colours"

        yield start
    versions.stop()


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path) as browser:
        yield browser


def ready(browser: Browser, url: str, **window) -> None:
    browser.open(url, **window)
    browser.wait_for("document.body?.dataset.ready === 'yes'")


def answered(browser: Browser, *paths: pathlib.Path) -> str:
    """The text of the answers, the last photograph's first."""
    browser.choose_files("#files", paths)
    browser.wait_for(f"document.querySelectorAll('.photograph').length === {len(paths)}")
    browser.wait_for("!document.querySelector('#status').textContent.endsWith('...')")
    return browser.evaluate("document.querySelector('#results').innerText")


def test_a_photograph_s_answers(browser, address):
    ready(browser, address)
    assert browser.evaluate("document.querySelector('#version').textContent") == "version 3"
    text = answered(browser, GRACE_HOPPER)
    assert "grace_hopper.jpg" in text and "Face 1, found with a score of" in text
    for each in ("redder", "emotion", "age", "2 points, drawn into the photograph"):
        assert each in text
    assert browser.evaluate("document.querySelectorAll('.whole svg .box').length") == 1
    assert browser.evaluate("document.querySelectorAll('.whole svg .point').length") == 2
    # The label map's colours are in the photograph, around the face alone.
    canvas = "document.querySelector('.whole canvas').getContext('2d')"
    painted = f"{canvas}.getImageData({{}}).data.filter((value, i) => i % 4 === 3 && value > 100).length"
    assert browser.evaluate(painted.format("180, 100, 190, 250")) > 1000
    assert browser.evaluate(painted.format("0, 500, 60, 100")) == 0
    assert browser.errors == []


PAINTED = """(() => {
  const canvas = document.querySelector('.whole canvas');
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.reduce((sum, value, i) => sum + (i % 4 === 3 && value > 0), 0);
})()"""


def test_the_page_asks_tensorflow_serving_of_another_origin(browser, address, served_elsewhere):
    ready(browser, address)
    expected, painted = answered(browser, GRACE_HOPPER), browser.evaluate(PAINTED)
    elsewhere = served_elsewhere(cors=True)
    ready(browser, elsewhere)
    assert browser.evaluate("document.querySelector('#server').textContent") in elsewhere
    assert browser.evaluate("document.querySelector('#version').textContent") == "version 3"
    assert answered(browser, GRACE_HOPPER) == expected
    # The batch had a larger image beside the face: its label map came padded, and lies where the face is all the same.
    assert browser.evaluate(PAINTED) == pytest.approx(painted, rel=0.01)
    assert browser.errors == []


def test_tensorflow_serving_that_no_other_origin_may_ask(browser, served_elsewhere):
    ready(browser, served_elsewhere(cors=False))
    assert "The model can't be reached" in browser.evaluate("document.querySelector('#status').textContent")


def test_legend_meters_and_what_is_dropped(browser, address):
    ready(browser, address)
    browser.evaluate("document.querySelector('#as-is').click()")
    dropped = base64.b64encode(IMAGES[5]).decode()
    browser.evaluate(DROP % dropped)
    browser.wait_for("document.querySelectorAll('.legend li').length > 0")
    browser.wait_for("!document.querySelector('#status').textContent.endsWith('...')")
    legend = browser.evaluate("[...document.querySelectorAll('.legend li')].map((each) => each.innerText)")
    assert set(legend) <= {"red", "green", "blue"}
    emotion = "[...document.querySelectorAll('h3')].find((each) => each.textContent === 'emotion').nextElementSibling"
    shares = browser.evaluate(f"[...{emotion}.querySelectorAll('.meter i')].map((bar) => parseFloat(bar.style.width))")
    assert len(shares) == 3 and sum(shares) == pytest.approx(100, abs=0.1)
    assert browser.errors == []


DROP = """(() => {
  const bytes = Uint8Array.from(atob("%s"), (each) => each.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
})()"""


def test_where_it_looks(browser, address):
    ready(browser, f"{address}/?model=looks")
    text = answered(browser, GRACE_HOPPER)
    assert "Where it looks for each group of attributes" in text
    captions = browser.evaluate("[...document.querySelectorAll('.maps figcaption')].map((each) => each.textContent)")
    assert captions == ["mouth", "whole face"]
    heats = "[...document.querySelectorAll('.maps canvas')].map((each) => [each.width, each.height])"
    assert browser.evaluate(heats) == [[512, 600]] * 2
    assert browser.errors == []


def test_whole_images_and_what_cannot_be_read(browser, address, tmp_path):
    (tmp_path / "clouds.png").write_bytes(IMAGES[5])
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    ready(browser, address)
    browser.evaluate("document.querySelector('#as-is').click()")
    text = answered(browser, tmp_path / "clouds.png", tmp_path / "broken.jpg")
    assert "The image" in text and "2 that it says no to" in text
    assert "the file is neither JPEG nor PNG" in text


def test_a_model_that_no_face_can_be_shown_to(browser, address):
    ready(browser, f"{address}/?model=ages")
    assert "Faces are not looked for" in browser.evaluate("document.querySelector('#status').textContent")
    text = answered(browser, GRACE_HOPPER)
    assert "The image" in text and "age" in text and "Face 1" not in text


def test_a_server_that_cannot_be_reached_is_said(browser, address):
    ready(browser, f"{address}/?server=http://127.0.0.1:9&model=faces")
    assert "The model can't be reached" in browser.evaluate("document.querySelector('#status').textContent")


def test_on_a_phone_nothing_is_cut(browser, address):
    ready(browser, address, width=PHONE)
    answered(browser, GRACE_HOPPER)
    assert browser.evaluate("document.documentElement.scrollWidth") <= PHONE
    sizes = browser.evaluate("[...document.querySelectorAll('button, .button')].map((each) => each.offsetHeight)")
    assert min(size for size in sizes if size) >= 40


def test_by_keyboard(browser, address):
    ready(browser, address)
    focused = []
    for _ in range(4):
        browser.press("Tab")
        focused.append(browser.evaluate("document.activeElement.id"))
    assert focused == ["model", "files", "camera", "as-is"]


def test_from_the_camera(browser, address):
    ready(browser, address)
    browser.evaluate("document.querySelector('#camera').click()")
    browser.wait_for("document.querySelector('#video').videoWidth > 0")
    assert browser.evaluate("document.activeElement.id") == "shoot"
    browser.press("Enter")
    browser.wait_for("document.querySelectorAll('.photograph').length === 1")
    browser.wait_for("document.querySelector('#status').textContent.startsWith('Picture')")
    assert "No face was found." in browser.evaluate("document.querySelector('#results').innerText")
    assert browser.evaluate("document.querySelector('#viewfinder').hidden")
    assert browser.errors == []

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from components.page import figures
from components.page.figures import Line


def texts(svg):
    """What is written in a drawing; a long axis label is written in several lines."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_line_chart_says_what_its_axes_and_curves_are():
    lines = [Line("up", np.arange(5.0)), Line("down", -np.arange(5.0))]
    svg = figures.line_chart("A chart", np.arange(1, 6), lines, "epochs", "loss (no unit)")
    assert {"epochs", "loss (no unit)", "up", "down"} <= set(texts(svg))
    assert 'aria-label="A chart"' in svg


def test_a_figure_takes_its_colours_and_its_font_from_the_page():
    svg = figures.line_chart("Lines", np.arange(2), [Line("a", np.array([3.0, np.nan]))], "epochs", "share (%)")
    assert "var(--s1)" in svg
    assert "var(--sans)" in svg
    assert not re.findall(r"#0102\w\w|DejaVu", svg)
    assert {"epochs", "share (%)"} <= set(texts(svg))


def test_names_are_text_not_markup_and_not_mathematics():
    lines = [Line(name, np.arange(2.0)) for name in ("<b>$x$", "$")]
    svg = figures.line_chart("<Lines>", np.arange(2), lines, "epochs", "share (%)")
    assert {"&lt;b&gt;$x$", "$"} <= set(texts(svg))
    assert "<Lines>" not in svg


@pytest.mark.parametrize("values", [[0.001], [1e-3, 1e-3], [1e-3, 1e-4]])
def test_levels_are_the_ticks(values):
    svg = figures.line_chart(
        "Rate", np.arange(len(values)), [Line("r", np.array(values))], "epochs", "rate", levels=True
    )
    assert {f"{value:g}" for value in values} <= set(texts(svg))


def test_a_curve_of_nothing_but_nan_is_left_unnamed():
    lines = [Line("known", np.ones(3)), Line("unknown", np.full(3, np.nan))]
    written = texts(figures.line_chart("Gaps", np.arange(3), lines, "epochs", "loss"))
    assert "known" in written
    assert "unknown" not in written
    lines = [Line("one", np.full(3, np.nan)), Line("other", np.array([np.nan, np.inf, np.nan]))]
    assert not {"one", "other"} & set(texts(figures.line_chart("Nothing", np.arange(3), lines, "epochs", "loss")))


def test_spread_worked_by_hand():
    assert figures.spread([0.0, 5.0, 5.0], 2).tolist() == [0, 4, 6]
    assert figures.spread([1.0, 0.0], 2).tolist() == [1.5, -0.5]


def test_spread_keeps_order_and_distance():
    places = np.random.default_rng(0).random(30)
    moved = figures.spread(places, 0.05)
    assert np.array_equal(np.argsort(places), np.argsort(moved))
    assert np.diff(np.sort(moved)).min() >= 0.05 - 1e-9


def test_an_image_has_a_mark_on_every_landmark():
    image = np.zeros((100, 200, 3), np.uint8)
    svg = figures.annotated_image(
        image, "a face", points=np.array([[0.25, 0.5], [1.0, 1.0]]), true_points=np.array([[0.5, 0.5]])
    )
    assert re.findall(r'<circle class="(\w+)" cx="([\d.]+)" cy="([\d.]+)"', svg) == [
        ("given", "100.0", "50.0"), ("predicted", "50.0", "50.0"), ("predicted", "200.0", "100.0"),
    ]  # fmt: skip
    assert "overlay" not in figures.annotated_image(image, "a face")


def test_bounds_are_dashed_lines_that_name_nothing():
    lines = [Line("up", np.arange(4.0)), Line("down", -np.arange(4.0))]
    plain = figures.line_chart("Plain", np.arange(4), lines, "epochs", "loss")
    bounded = figures.line_chart("Bounded", np.arange(4), lines, "epochs", "loss", bounds=[0.5, 2.5])
    assert bounded.count("stroke-dasharray: 3.6") == plain.count("stroke-dasharray: 3.6") + 2
    assert texts(bounded) == texts(plain)


def test_large_images_are_made_small():
    noise = np.random.default_rng(0).integers(0, 256, (800, 600, 3), np.uint8)
    assert len(figures.image_uri(noise, longest=100)) < len(figures.image_uri(noise, longest=400)) / 8


def test_marks_of_a_chart_are_not_connected():
    some = np.array([np.nan, 1.0, np.nan, 2.0])
    lines = [Line("curve", np.arange(4.0)), Line("marks", some, marks=True)]
    svg = figures.line_chart("Marks", np.arange(50)[:4], lines, "epochs", "F1")
    last = re.findall(r'<g id="marks-line2d_\d+">.*?</g>\n', svg, re.DOTALL)[-1]
    assert {"curve", "marks"} <= set(texts(svg))
    assert last.count("<use") == 2 and 'style="fill: none; stroke: var(--s2)' not in last


def stored(markup):
    """Kind and pixels of an image in the page."""
    kind, data = re.search(r"data:image/(\w+);base64,([^\"]+)", markup).groups()
    return kind, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_flat_colours_keep_every_pixel():
    image = np.random.default_rng(0).choice(np.array([[200, 0, 0], [0, 90, 0]], np.uint8), (60, 48))
    markup = figures.plain_image(image, "classes", flat=True)
    kind, kept = stored(markup)
    assert kind == "png" and 'class="pixels"' in markup
    np.testing.assert_array_equal(kept, image)
    large = np.repeat(np.repeat(image, 10, axis=0), 10, axis=1)
    markup = figures.plain_image(large, "classes", flat=True)
    kept = stored(markup)[1]
    assert kept.shape == (360, 288, 3) and 'class="pixels"' not in markup, "it is made smaller, not larger"
    assert len(np.unique(kept.reshape(-1, 3), axis=0)) == 2, "no colour that was not there"


def test_a_photograph_is_a_jpeg_with_a_description():
    markup = figures.plain_image(np.zeros((8, 6, 3), np.uint8), 'Zoë "7".jpg, <image>')
    assert stored(markup)[0] == "jpeg"
    assert 'alt="Zoë &#34;7&#34;.jpg, &lt;image&gt;"' in markup

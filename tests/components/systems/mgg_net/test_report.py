"""The attention section, its drawings, and how it is read from a served model."""

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.page import figures
from components.systems.mgg_net import drawings
from components.systems.mgg_net.report import Attention, attention_section, read_attention
from tests.components.page.page_checks import check
from tests.components.report import sample_run

FACE = np.tile(np.array([200, 100, 50], np.uint8), (40, 32, 1))


def texts(drawing):
    """What stands in the axes of the matrix or the faces, with its place."""
    return {text.get_position(): text.get_text() for text in drawing.axes[0].texts}


def cells(masks):
    """[rows, columns, h, w, 3]: the images of a mask drawing, the face itself being column 0."""
    drawing = drawings.mask_drawing([FACE] * len(masks), masks, [str(k) for k in range(masks.shape[-1])])
    (grid,) = drawing.axes[0].get_images()
    pixels = np.asarray(grid.get_array())
    rows, columns = len(masks), masks.shape[-1] + 1
    height, width = pixels.shape[0] // rows, pixels.shape[1] // columns
    return pixels.reshape(rows, height, columns, width, 3).swapaxes(1, 2).astype(int)


def colour(pixels):
    """How far pixels are from grey."""
    return pixels[..., 0] - pixels[..., 2]


def test_a_row_is_a_target_and_a_column_a_source():
    affinities = np.array([[0, 0.9, 0.1], [0.25, 0, 0.75], [0.4, 0.6, 0]])
    drawing = drawings.affinity_drawing(affinities, ["Big_Nose", "mouth", "neck"])
    axes = drawing.axes[0]
    assert texts(drawing) == {
        (1.5, 0.5): "0.90", (2.5, 0.5): "0.10",
        (0.5, 1.5): "0.25", (2.5, 1.5): "0.75",
        (0.5, 2.5): "0.40", (1.5, 2.5): "0.60",
    }  # fmt: skip
    assert axes.get_ylim() == (3, 0), "the first row is above"
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("target group", "source group")
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [tick.get_text() for tick in ticks] == ["Big Nose", "mouth", "neck"]


def test_the_more_the_fuller_and_nothing_on_the_diagonal():
    affinities = np.array([[0, 0.9, 0.1], [0.25, 0, 0.75], [0.4, 0.6, 0]])
    (squares,) = drawings.affinity_drawing(affinities, "abc").axes[0].collections[:1]
    corners = [tuple(path.vertices[0].astype(int)) for path in squares.get_paths()]
    opacity = {corner: colour[3] for corner, colour in zip(corners, squares.get_facecolor(), strict=True)}
    assert opacity.keys() == {(1, 0), (2, 0), (0, 1), (2, 1), (0, 2), (1, 2)}
    for (column, row), value in opacity.items():
        assert value == pytest.approx(0.55 * affinities[row, column] / 0.9)


def test_what_everyone_alike_would_be_is_in_the_legend():
    drawing = drawings.affinity_drawing((1 - np.eye(5)) / 4, "abcde")
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["0.25: all alike", "0.25: the most"]


def test_masks_lie_where_they_are_large():
    masks = np.zeros((1, 4, 4, 2))
    masks[0, 0, 3, 0] = 1  # above on the right
    masks[0, 3, 0, 1] = 1  # below on the left
    face, first, second = cells(masks)[0]
    np.testing.assert_allclose(face, np.broadcast_to([200, 100, 50], face.shape), atol=1)
    for cell, corner, other in ((first, (0, -1), (-1, 0)), (second, (-1, 0), (0, -1))):
        assert colour(cell[corner]) > 100
        assert colour(cell[other]) == 0
        assert colour(cell)[0, 0] == colour(cell)[-1, -1] == 0


def test_masks_are_smooth_between_their_places():
    """Bilinear: halfway between the centres of two places, half the weight of each."""
    masks = np.zeros((1, 2, 2, 1))
    masks[0, :, 1] = 1
    across = colour(cells(masks)[0, 1][0])
    assert across[0] == 0
    assert across[len(across) // 2] == pytest.approx(across[-1] / 2, rel=0.05)
    assert (np.diff(across) >= 0).all()


def test_all_masks_of_a_drawing_share_one_scale():
    masks = np.ones((2, 3, 3, 2)) * [[[[1.0, 2.0]]], [[[1.0, 4.0]]]]
    strength = colour(cells(masks))[:, 1:, 50, 50]
    assert strength[0, 0] == strength[1, 0]
    np.testing.assert_allclose(strength / strength[1, 1], [[0.25, 0.5], [0.25, 1.0]], atol=0.02)


def test_a_dead_mask_is_grey_and_says_so():
    masks = np.ones((2, 3, 3, 3))
    masks[..., 1] = 0
    masks[0, ..., 2] = 0  # of one image only
    assert (colour(cells(masks)[:, 2]) == 0).all()
    drawing = drawings.mask_drawing([FACE, FACE], masks, ["a", "b", "c"])
    zero = {place for place, text in texts(drawing).items() if text == "all 0"}
    assert zero == {(2.5, 0.5), (2.5, 1.5), (3.5, 0.5)}
    assert drawings.dead(masks).tolist() == [1]


def test_nothing_but_dead_masks():
    assert (colour(cells(np.zeros((1, 3, 3, 2)))[:, 1:]) == 0).all()


def test_a_network_that_diverged_has_drawings_too():
    """A drawing must not end a training."""
    figures.pixels(drawings.mask_drawing([FACE], np.full((1, 3, 3, 2), np.nan), ["a", "b"]))
    figures.pixels(drawings.affinity_drawing(np.full((3, 3), np.nan), "abc"))


def test_images_of_other_sizes_keep_their_shape():
    masks = np.ones((2, 3, 3, 1))
    drawing = drawings.mask_drawing([FACE, np.zeros((20, 60, 3), np.uint8)], masks, ["a"])
    grid = np.asarray(drawing.axes[0].get_images()[0].get_array())
    lower = grid[len(grid) // 2 :, : grid.shape[1] // 2]
    black = (lower == 0).all(axis=-1)
    assert black.any(axis=0).all()
    assert black.any(axis=1).mean() == pytest.approx(32 / 40 / 3, abs=0.02)  # a third as high as wide


def test_one_bright_place_does_not_set_the_scale():
    masks = np.ones((1, 20, 20, 1))
    masks[0, 0, 0] = 1000
    assert drawings.full_colour(masks) == 1
    masks[0, 1:] = 0
    assert drawings.full_colour(masks[:, 2:]) == 0
    masks[0, 0, 1:] = 0
    assert drawings.full_colour(masks) == 1000  # else the only place that counts had no colour


def test_the_most_varied_masks_in_their_order():
    masks = np.zeros((2, 2, 2, 4))
    masks[..., 0] = 7  # large, and the same everywhere
    masks[:, 0, 0, 1] = 3
    masks[:, 0, 0, 2] = 1
    masks[:, 0, 0, 3] = 2
    assert drawings.most_varied(masks, 2).tolist() == [1, 3]
    assert drawings.most_varied(masks).tolist() == [0, 1, 2, 3]


def test_photographs_in_a_drawing_are_jpegs():
    drawing = drawings.mask_drawing([FACE], np.ones((1, 3, 3, 1)), ["a"])
    markup = figures.svg(drawing, "masks")
    assert markup.count("data:image/jpeg;base64,") == 2  # the images, and the scale
    assert "image/png" not in markup


def test_a_drawing_as_pixels_is_black_on_white():
    pixels = figures.pixels(drawings.affinity_drawing((1 - np.eye(3)) / 2, "abc"))
    assert pixels.dtype == np.uint8
    assert pixels.shape[2:] == (3,)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels.min() < 50


GROUPS = ("eyes", "nose", "mouth", "hairline", "around head", "middle face", "neck", "whole face")


def attention(groups=GROUPS, count=16):
    """`count` images, four of them shown; each mask is a spot, and that of the third group in block 3 is dead."""
    rng = np.random.default_rng(11)
    masks, affinities = {}, {}
    for block, side in (("block3", 12), ("block4", 6)):
        y, x = np.mgrid[:side, :side][..., None] / (side - 1)
        spots = np.exp(-((y - rng.random(len(groups))) ** 2 + (x - rng.random(len(groups))) ** 2) / 0.05)
        masks[block] = np.maximum(spots + rng.normal(0, 0.1, (count, *spots.shape)), 0).astype(np.float32)
        raw = rng.random((count, len(groups), len(groups))) * (1 - np.eye(len(groups)))
        affinities[block] = (raw / raw.sum(axis=-1, keepdims=True)).astype(np.float32)
    masks["block3"][..., 2] = 0
    return Attention(tuple(groups), (FACE,) * 4, masks, affinities)


def page(found):
    html = sample_run.page_of(sample_run.artifacts(sample_run.ATTRIBUTES), attention_section(found))
    return html, check(html)


def test_the_section_has_masks_and_affinities_of_each_block():
    html, reader = page(attention())
    assert reader.sections == ["attention"]
    assert reader.count("svg", role="img") == 4
    for group in GROUPS:
        assert html.count(f">{group}</text>") == 2 + 4  # over the masks, and at both sides of the matrices
    assert "12 × 12" in reader.text and "6 × 6" in reader.text
    assert html.count("all 0</text>") == 4  # the dead mask, on each image
    assert [
        note.text.startswith("Dead masks in block 3: mouth.") for note in attention_section(attention()).blocks[1:]
    ] == [True]


def test_the_strongest_tie_has_its_direction():
    affinities = np.zeros((2, 3, 3))
    affinities[:] = [[0, 0.9, 0.1], [0.25, 0, 0.75], [0.4, 0.6, 0]]
    sample = attention(groups=("nose", "mouth", "neck"))
    text = page(dataclasses.replace(sample, images=sample.images[:2], affinities={"block3": affinities}))[1].text
    assert "from “mouth” to “nose” (0.900); the other way round it is 0.250." in text


def test_forty_groups_are_shown_in_part():
    html, reader = page(attention(groups=sample_run.NAMES))
    assert len(html) < 1_500_000
    assert "Of the 40 masks, the figure has the 8" in reader.text
    assert ">0.03</text>" not in html
    assert html.count("0.026: all alike</text>") == 2


def test_no_affinities_without_a_graph():
    assert page(dataclasses.replace(attention(), affinities={}))[1].count("svg", role="img") == 2


class Served:
    """The signature of a model whose maps hold the number that the image is filled with."""

    def __init__(self):
        self.requests = []
        self.signatures = {"attention": self.attention}

    def attention(self, image_bytes):
        self.requests.append(len(image_bytes))
        level = np.array([float(tf.io.decode_png(image)[0, 0, 0]) for image in image_bytes], np.float32)
        return {
            "groups": tf.constant([["a", "b"]] * len(level)),
            "masks_block4": tf.ones([len(level), 2, 2, 2]) * level[:, None, None, None],
            "masks_block3": tf.zeros([len(level), 4, 4, 2]),
            "affinities_block4": tf.ones([len(level), 2, 2]) * level[:, None, None],
        }


def test_attention_is_asked_for_in_small_requests_and_kept_in_order():
    files = []
    for level in range(20):
        file = io.BytesIO()
        Image.new("L", (9, 7), level).save(file, "PNG")
        files.append(file.getvalue())
    model = Served()
    found = read_attention(model, files)
    assert model.requests == [16, 4]
    assert found.groups == ("a", "b")
    assert list(found.masks) == ["block3", "block4"]
    assert found.masks["block4"][:, 0, 0, 1].tolist() == list(range(20))
    assert found.affinities["block4"][:, 1, 0].tolist() == list(range(20))
    assert [image[0, 0].tolist() for image in found.images] == [[level] * 3 for level in range(4)]
    assert found.images[0].shape == (7, 9, 3)


def test_the_system_shows_what_the_served_model_attends_to():
    run = sample_run.artifacts(sample_run.ATTRIBUTES, system="components.systems.mgg_net.system.MGGNetSystem")
    assert "attention" not in check(sample_run.whole_page(run)).sections, "the model has no such signature"
    reader = check(sample_run.whole_page(dataclasses.replace(run, model=Served())))
    assert reader.sections[2:6] == ["attributes-mistakes", "attributes", "attributes-scores", "attention"]

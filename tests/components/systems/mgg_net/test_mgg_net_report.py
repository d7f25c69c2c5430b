"""The attention section, its drawings, and how it is gathered from a served model."""

import dataclasses
import io
import types

import numpy as np
import pytest
import sample_data
import tensorflow as tf
from page_checks import check
from PIL import Image
from sample_data import attribute_page

from components.report import attention_figures, figures, gather
from components.report.data import Attention

FACE = np.tile(np.array([200, 100, 50], np.uint8), (40, 32, 1))


def texts(drawing):
    """What stands in the axes of the matrix or the faces, with its place."""
    return {text.get_position(): text.get_text() for text in drawing.axes[0].texts}


def cells(masks):
    """[rows, columns, h, w, 3]: the pictures of a mask drawing, the face itself being column 0."""
    drawing = attention_figures.mask_drawing([FACE] * len(masks), masks, [str(k) for k in range(masks.shape[-1])])
    (grid,) = drawing.axes[0].get_images()
    pixels = np.asarray(grid.get_array())
    rows, columns = len(masks), masks.shape[-1] + 1
    height, width = pixels.shape[0] // rows, pixels.shape[1] // columns
    return pixels.reshape(rows, height, columns, width, 3).swapaxes(1, 2).astype(int)


def colour(pixels):
    """How far pixels are from grey."""
    return pixels[..., 0] - pixels[..., 2]


def test_a_row_listens_and_a_column_is_heard():
    affinities = np.array([[0, 0.9, 0.1], [0.25, 0, 0.75], [0.4, 0.6, 0]])
    drawing = attention_figures.affinity_drawing(affinities, ["Big_Nose", "mouth", "neck"])
    axes = drawing.axes[0]
    assert texts(drawing) == {
        (1.5, 0.5): "0.90", (2.5, 0.5): "0.10",
        (0.5, 1.5): "0.25", (2.5, 1.5): "0.75",
        (0.5, 2.5): "0.40", (1.5, 2.5): "0.60",
    }  # fmt: skip
    assert axes.get_ylim() == (3, 0), "the first row is above"
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("who listens", "who is heard")
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [tick.get_text() for tick in ticks] == ["Big Nose", "mouth", "neck"]


def test_the_more_the_fuller_and_nothing_on_the_diagonal():
    affinities = np.array([[0, 0.9, 0.1], [0.25, 0, 0.75], [0.4, 0.6, 0]])
    (squares,) = attention_figures.affinity_drawing(affinities, "abc").axes[0].collections[:1]
    corners = [tuple(path.vertices[0].astype(int)) for path in squares.get_paths()]
    opacity = {corner: colour[3] for corner, colour in zip(corners, squares.get_facecolor(), strict=True)}
    assert opacity.keys() == {(1, 0), (2, 0), (0, 1), (2, 1), (0, 2), (1, 2)}
    for (column, row), value in opacity.items():
        assert value == pytest.approx(0.55 * affinities[row, column] / 0.9)


def test_what_everyone_alike_would_be_is_in_the_legend():
    drawing = attention_figures.affinity_drawing((1 - np.eye(5)) / 4, "abcde")
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["0.25: everyone alike", "0.25: the most"]


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
    masks[0, ..., 2] = 0  # of one picture only
    assert (colour(cells(masks)[:, 2]) == 0).all()
    drawing = attention_figures.mask_drawing([FACE, FACE], masks, ["a", "b", "c"])
    zero = {place for place, text in texts(drawing).items() if text == "all 0"}
    assert zero == {(2.5, 0.5), (2.5, 1.5), (3.5, 0.5)}
    assert attention_figures.dead(masks).tolist() == [1]


def test_nothing_but_dead_masks():
    assert (colour(cells(np.zeros((1, 3, 3, 2)))[:, 1:]) == 0).all()


def test_a_network_that_diverged_has_drawings_too():
    """A picture must not end a training."""
    figures.pixels(attention_figures.mask_drawing([FACE], np.full((1, 3, 3, 2), np.nan), ["a", "b"]))
    figures.pixels(attention_figures.affinity_drawing(np.full((3, 3), np.nan), "abc"))


def test_pictures_of_other_sizes_keep_their_shape():
    masks = np.ones((2, 3, 3, 1))
    drawing = attention_figures.mask_drawing([FACE, np.zeros((20, 60, 3), np.uint8)], masks, ["a"])
    grid = np.asarray(drawing.axes[0].get_images()[0].get_array())
    lower = grid[len(grid) // 2 :, : grid.shape[1] // 2]
    black = (lower == 0).all(axis=-1)
    assert black.any(axis=0).all()
    assert black.any(axis=1).mean() == pytest.approx(32 / 40 / 3, abs=0.02)  # a third as high as wide


def test_one_bright_place_does_not_set_the_scale():
    masks = np.ones((1, 20, 20, 1))
    masks[0, 0, 0] = 1000
    assert attention_figures.full_colour(masks) == 1
    masks[0, 1:] = 0
    assert attention_figures.full_colour(masks[:, 2:]) == 0
    masks[0, 0, 1:] = 0
    assert attention_figures.full_colour(masks) == 1000  # else the only place that counts had no colour


def test_the_most_varied_masks_in_their_order():
    masks = np.zeros((2, 2, 2, 4))
    masks[..., 0] = 7  # large, and the same everywhere
    masks[:, 0, 0, 1] = 3
    masks[:, 0, 0, 2] = 1
    masks[:, 0, 0, 3] = 2
    assert attention_figures.most_varied(masks, 2).tolist() == [1, 3]
    assert attention_figures.most_varied(masks).tolist() == [0, 1, 2, 3]


def test_photographs_in_a_drawing_are_jpegs():
    drawing = attention_figures.mask_drawing([FACE], np.ones((1, 3, 3, 1)), ["a"])
    markup = figures.svg(drawing, "masks")
    assert markup.count("data:image/jpeg;base64,") == 2  # the pictures, and the scale
    assert "image/png" not in markup


def test_a_drawing_as_pixels_is_black_on_white():
    pixels = figures.pixels(attention_figures.affinity_drawing((1 - np.eye(3)) / 2, "abc"))
    assert pixels.dtype == np.uint8
    assert pixels.shape[2:] == (3,)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels.min() < 50


def page(attention):
    html = attribute_page(sample_data.run(), attention=attention).render()
    return html, check(html)


def test_the_section_has_masks_and_affinities_of_each_block():
    html, reader = page(sample_data.attention())
    assert reader.sections == ["result", "attention", "run"]
    for title in ("Masks of block {}", "Who listens to whom, block {}"):
        assert all(f'aria-label="{title.format(block)}"' in html for block in (3, 4))
    for group in sample_data.GROUPS:
        assert html.count(f">{group}</text>") == 2 + 4  # over the masks, and at both sides of the matrices
    assert "Each mask has 12 × 12 places" in reader.text and "Each mask has 6 × 6 places" in reader.text
    assert "listening to all alike would make each 0.143" in reader.text
    assert "Mean of the first 16 test pictures" in reader.text
    assert html.count("all 0</text>") == 4  # the dead mask, on each picture
    assert "Dead masks in block 3: mouth." in reader.text
    assert "Dead masks in block 4" not in reader.text


def test_the_strongest_tie_is_said_with_its_direction():
    affinities = np.zeros((2, 3, 3))
    affinities[:] = [[0, 0.9, 0.1], [0.25, 0, 0.75], [0.4, 0.6, 0]]
    sample = sample_data.attention(groups=("nose", "mouth", "neck"))
    text = page(dataclasses.replace(sample, images=sample.images[:2], affinities={"block3": affinities}))[1].text
    assert "Most of all, “nose” listens to “mouth” (0.900); the other way round it is 0.250." in text
    assert "varies by about 0.000" in text


def test_forty_groups_are_shown_in_part():
    html, reader = page(sample_data.attention(groups=sample_data.NAMES))
    assert len(html) < 1_500_000
    assert "Of the 40 masks, the figure has the 8 that differ most" in reader.text
    assert html.count("Mouth Slightly Open</text>") == 4  # at the matrices alone: its name is broken over a mask
    assert ">0.03</text>" not in html
    assert html.count("0.026: everyone alike</text>") == 2


def test_no_affinities_without_a_graph():
    html, reader = page(dataclasses.replace(sample_data.attention(), affinities={}))
    assert "Masks of block 3" in reader.text
    assert "listens" not in html


def test_wrong_shapes_are_refused():
    sample = sample_data.attention()
    with pytest.raises(ValueError, match=r"Attention.masks\['block3'\] .* end with \[8\], got shape \[16, 12, 12, 7\]"):
        dataclasses.replace(sample, masks={"block3": sample.masks["block3"][..., :7]})
    with pytest.raises(ValueError, match=r"Attention.affinities\['block4'\] should have 4 or more pictures"):
        dataclasses.replace(sample, affinities={"block4": sample.affinities["block4"][:3]})


class Served:
    """The signature of a model whose maps hold the number that the picture is filled with."""

    def __init__(self):
        self.requests = []
        self.signatures = {"attention": self.attention}

    def attention(self, image_bytes):
        self.requests.append(len(image_bytes))
        level = np.array([float(tf.io.decode_png(image)[0, 0, 0]) for image in image_bytes], np.float32)
        return {
            "groups": tf.constant(["a", "b"]),
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
    attention = gather.attention(model, files)
    assert isinstance(attention, Attention)
    assert model.requests == [16, 4]
    assert attention.groups == ("a", "b")
    assert list(attention.masks) == ["block3", "block4"]
    assert attention.masks["block4"][:, 0, 0, 1].tolist() == list(range(20))
    assert attention.affinities["block4"][:, 1, 0].tolist() == list(range(20))
    assert [image[0, 0].tolist() for image in attention.images] == [[level] * 3 for level in range(4)]
    assert attention.images[0].shape == (7, 9, 3)


def test_a_model_without_the_signature_has_no_attention():
    assert gather.attention(types.SimpleNamespace(signatures={"serving_default": None}), [b""]) is None
    assert "attention" not in check(attribute_page(sample_data.run()).render()).sections

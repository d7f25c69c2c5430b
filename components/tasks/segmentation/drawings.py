"""Drawings of label maps: in colours, and where they are wrong. The report and TensorBoard show them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from components.page.formatting import readable
from components.record import IGNORE_LABEL

# A class has the colour of its number. Found by a search for colours that are far from each other in CIELAB; a test
# holds their distance. Dark grey for background, the second for skin.
PALETTE = np.array(
    [
        [0x45, 0x4B, 0x54], [0xF2, 0xC3, 0x9B], [0xFF, 0x5A, 0xA5], [0x00, 0x78, 0x00], [0xB4, 0x78, 0xF0],
        [0x00, 0xFF, 0xD2], [0xB4, 0x3C, 0x00], [0xF0, 0xE1, 0x5A], [0x2D, 0xB4, 0xFF], [0x00, 0x78, 0x5A],
        [0x87, 0x3C, 0x78], [0xFF, 0xB4, 0xF0], [0xFF, 0xA5, 0x3C], [0x78, 0x5A, 0x00], [0x96, 0xFF, 0x87],
        [0x1E, 0xD2, 0xE1], [0xB4, 0x5A, 0x5A], [0x00, 0x5A, 0xB4], [0x96, 0xB4, 0x69],
    ],
    np.uint8,
)  # fmt: skip
WRONG = np.array([255, 62, 48], np.uint8)
UNKNOWN = np.array([208, 208, 208], np.uint8)  # pixels without a class


# CelebAMask-HQ's names of its classes, which can be misread: l_lip is the lower lip, l_eye the left eye.
_SPELT_OUT = {
    "eye_g": "glasses",
    "l_eye": "left eye",
    "r_eye": "right eye",
    "l_brow": "left brow",
    "r_brow": "right brow",
    "l_ear": "left ear",
    "r_ear": "right ear",
    "u_lip": "upper lip",
    "l_lip": "lower lip",
    "ear_r": "earring",
    "neck_l": "necklace",
}


def class_name(name: str) -> str:
    """A class as a person reads it: `l_lip` -> `lower lip`."""
    return _SPELT_OUT.get(name, readable(name))


def css(colour: np.ndarray) -> str:
    """[3] uint8 as CSS has it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def label_colours(labels: np.ndarray) -> np.ndarray:
    """[H, W] uint8 classes -> [H, W, 3] uint8: each class in its colour, IGNORE_LABEL in light grey."""
    return np.where((labels == IGNORE_LABEL)[..., None], UNKNOWN, PALETTE[labels % IGNORE_LABEL])


def overlay(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The image in grey under its classes' colours: what is where, and the face it is of.

    Args:
        image: [H, W, 3] uint8 RGB.
        labels: [H, W] uint8.

    Returns:
        [H, W, 3] uint8.
    """
    grey = np.asarray(Image.fromarray(image).convert("L").convert("RGB"), np.float32)
    return np.round(0.4 * grey + 0.6 * label_colours(labels)).astype(np.uint8)


def error_map(image: np.ndarray, predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The image in dim grey with its wrong pixels in one strong colour; those without a class are in light grey.

    Args:
        image: [H, W, 3] uint8 RGB.
        predicted, truth: [H, W] uint8.

    Returns:
        [H, W, 3] uint8.
    """
    grey = np.asarray(Image.fromarray(image).convert("L").convert("RGB"), np.float32) * 0.4 + 16
    drawn = np.round(grey).astype(np.uint8)
    drawn[predicted != truth] = WRONG
    drawn[truth == IGNORE_LABEL] = UNKNOWN
    return drawn

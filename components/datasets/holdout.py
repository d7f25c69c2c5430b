"""For data sets whose release has no validation split: images at equal distances are held out for it."""

from __future__ import annotations


def check_every(every: int) -> None:
    """ValueError if `every` is neither 0 (hold out none) nor a distance that leaves images to train on."""
    if every != int(every) or every < 0 or every == 1:
        raise ValueError(f"validation_every is {every}; expected 0 to hold out no image, or a whole number from 2 on.")


def is_held_out(number: int, every: int) -> bool:
    """Whether the `number`th image, counted from 1, goes to validation when every `every`th does; 0: none."""
    return every > 0 and number % every == 0

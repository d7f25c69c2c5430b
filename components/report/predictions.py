"""Pictures with what an attribute model says of them, and the mistakes it is surest of."""

from __future__ import annotations

import numpy as np

from components.report import figures
from components.report.common import decimal, readable
from components.report.data import Picture, Pictures
from components.report.page import Block, Card, Chip, Gallery, Heading, Section

_MISTAKES = 6


def predictions_section(pictures: Pictures) -> Section:
    """Faces with landmarks and decisions; wrong decisions first."""
    shown = pictures.pictures
    legend = [
        Chip("✓", "said, and so labelled", "good"),
        Chip("+", "said, but not labelled", "bad"),
        Chip("−", "labelled, but not said", "bad"),
        Chip("?", "said; no label to hold against it"),
    ]
    labelled = {picture.attributes is not None for picture in shown}
    if labelled == {True}:
        legend = legend[:3]
    if labelled == {False}:
        legend = legend[3:]
    parts = ["● predicted" if any(picture.landmarks is not None for picture in shown) else ""]
    parts.append("✕ given" if any(picture.true_landmarks is not None for picture in shown) else "")
    overlay = f"landmarks: {', '.join(filter(None, parts))}" if any(parts) else ""
    blocks: list[Block] = [Gallery(tuple(_card(pictures, each) for each in shown), tuple(legend), overlay)]
    mistakes = most_confident_mistakes(pictures)
    if mistakes:
        blocks += [
            Heading(
                "The mistakes it is surest of",
                "Wrong answers with the scores furthest on the wrong side of the threshold. "
                "Look twice: with facial attributes, the label is sometimes what is wrong.",
            ),
            Gallery(tuple(_mistake_card(pictures, *mistake) for mistake in mistakes), small=True),
        ]
    lead = (
        "What the model says of pictures it never saw in training. Attributes that are neither said nor labelled "
        "are not listed. Point at one for its score."
    )
    return Section("Predictions", "predictions", tuple(blocks), lead)


def most_confident_mistakes(pictures: Pictures, limit: int = _MISTAKES) -> list[tuple[Picture, int]]:
    """(picture, attribute index) of the wrong decisions, the furthest from its threshold first."""
    wrong = [
        (abs(float(picture.scores[index] - pictures.thresholds[index])), picture, int(index))
        for picture in pictures.pictures
        if picture.attributes is not None
        for index in np.flatnonzero(np.asarray(picture.decisions) != np.asarray(picture.attributes))
    ]
    wrong.sort(key=lambda each: -each[0])
    return [(picture, index) for _, picture, index in wrong[:limit]]


def _card(pictures: Pictures, picture: Picture) -> Card:
    markup = figures.picture(picture.image, f"Image {picture.id}", picture.landmarks, picture.true_landmarks)
    decisions = np.asarray(picture.decisions).astype(bool)
    if picture.attributes is None:
        said = np.flatnonzero(decisions)
        chips = [_chip(pictures, picture, index, "?", "") for index in said]
        return Card(markup, picture.id, "not labelled", tuple(chips))
    labels = np.asarray(picture.attributes).astype(bool)
    margin = np.abs(np.asarray(picture.scores) - pictures.thresholds)
    wrong = sorted(np.flatnonzero(decisions != labels), key=lambda index: -margin[index])
    chips = [_chip(pictures, picture, index, "+" if decisions[index] else "−", "bad") for index in wrong]
    chips += [_chip(pictures, picture, index, "✓", "good") for index in np.flatnonzero(decisions & labels)]
    return Card(markup, picture.id, f"{len(labels) - len(wrong)} of {len(labels)} right", tuple(chips))


def _chip(pictures: Pictures, picture: Picture, index: int, symbol: str, tone: str) -> Chip:
    return Chip(symbol, readable(pictures.names[index]), tone, _score(pictures, picture, index))


def _score(pictures: Pictures, picture: Picture, index: int) -> str:
    return (
        f"score {decimal(float(picture.scores[index]), 2)}, threshold {decimal(float(pictures.thresholds[index]), 2)}"
    )


def _mistake_card(pictures: Pictures, picture: Picture, index: int) -> Card:
    name = readable(pictures.names[index])
    title = f"+ said {name}" if picture.decisions[index] else f"− missed {name}"
    thumbnail = figures.picture(picture.image, f"Image {picture.id}", longest=192)
    return Card(thumbnail, title, f"{picture.id}: {_score(pictures, picture, index)}")

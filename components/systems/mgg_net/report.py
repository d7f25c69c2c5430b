"""Where the network looks for each group of attributes, and the groups' affinities (MGG-Net, Fig. 2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from components.page import figures
from components.page.formatting import decimal, readable
from components.page.page import Block, Figure, Figures, Note, Part, Section
from components.systems.mgg_net import drawings
from components.tasks.reporting import decoded

if TYPE_CHECKING:
    from components.report.collect import RunArtifacts

_NUM_IMAGES = 4  # shown with masks
_REQUEST = 16  # images: forty masks of a batch are large


@dataclasses.dataclass(frozen=True, eq=False)
class Attention:
    """Where a network looks for each of K groups of attributes, and which groups it relates, on P images.

    Attributes:
        groups: [K] names; with a group for every attribute, the attributes'.
        images: the first few of the P images, those to show, each [H, W, 3] uint8 RGB.
        masks: by block of the backbone ("block3"): [P, h, w, K], 0 where a place counts nothing.
        affinities: by block: [P, K, K], row i has the source groups of target group i; empty without a graph.
    """

    groups: tuple[str, ...]
    images: tuple[np.ndarray, ...]
    masks: Mapping[str, np.ndarray]
    affinities: Mapping[str, np.ndarray]


def attention_parts(artifacts: RunArtifacts) -> Sequence[Part]:
    """What the served model attends to on the first test images."""
    images = [record.image for records in artifacts.tested.values() for record in records]
    attention = read_attention(artifacts.model, images)
    return () if attention is None else (Part(sections=(attention_section(attention),)),)


def read_attention(model, images: Sequence[bytes]) -> Attention | None:
    """What a served model attends to on encoded images; None if it has no such signature."""
    if "attention" not in model.signatures or not images:
        return None
    requests = [tf.constant(images[start : start + _REQUEST]) for start in range(0, len(images), _REQUEST)]
    answers = [model.signatures["attention"](request) for request in requests]

    def maps(kind):
        names = sorted(name for name in answers[0] if name.startswith(kind))
        return {name.removeprefix(kind): np.concatenate([answer[name] for answer in answers]) for name in names}

    return Attention(
        groups=tuple(name.decode() for name in answers[0]["groups"].numpy()[0]),
        images=tuple(decoded(image) for image in images[:_NUM_IMAGES]),
        masks=maps("masks_"),
        affinities=maps("affinities_"),
    )


def attention_section(attention: Attention) -> Section:
    """Masks over a few faces and the affinities between the groups, block by block of the backbone."""
    shown = [_mask_figure(attention, block) for block in attention.masks]
    shown += [_affinity_figure(attention, block) for block in attention.affinities]
    blocks: list[Block] = [Figures(tuple(shown))]
    blocks += [note for block in attention.masks for note in _dead_notes(attention, block)]
    lead = (
        "The network weighs the places of an image anew for each group of attributes: with a mask over the features of "
        "a block of its backbone. A mask shows where features count for the group, which is no proof of what an answer "
        "rests on: every feature has itself seen the surroundings of its place."
    )
    return Section("Attention", "attention", tuple(blocks), lead)


def _block_name(block):
    """`block3` -> `block 3`."""
    return block.replace("block", "block ")


def _mask_figure(attention, block):
    masks, count = attention.masks[block], len(attention.groups)
    chosen = drawings.most_varied(masks)
    title = f"Masks of {_block_name(block)}"
    shown = masks[: len(attention.images)][..., chosen]
    drawing = drawings.mask_drawing(attention.images, shown, [attention.groups[i] for i in chosen])
    height, width = masks.shape[1:3]
    caption = (
        f"Each mask has {height} × {width} places, stretched over the image. No colour: the place counts nothing for "
        f"the group. Full colour: it has a weight of {drawings.full_colour(shown):.2g} or more, the top hundredth of "
        "what is shown. All masks of this figure share the scale. As Fig. 2 of the MGG-Net paper."
    )
    if len(chosen) < count:
        caption += (
            f" Of the {count} masks, the figure has the {len(chosen)} that differ most from place to place (standard "
            f"deviation, mean of {_images(len(masks))})."
        )
    return Figure(figures.svg(drawing, title), title, caption, wide=True)


def _affinity_figure(attention, block):
    affinities, count = attention.affinities[block], len(attention.groups)
    mean = affinities.mean(axis=0)
    title = f"Affinities of the groups, {_block_name(block)}"
    drawing = drawings.affinity_drawing(mean, attention.groups)
    target, source = np.unravel_index(np.argmax(mean), mean.shape)
    spread = affinities.std(axis=0)[~np.eye(count, dtype=bool)].mean()
    names = [f"“{readable(attention.groups[i])}”" for i in (source, target)]
    caption = (
        "A row is a target group, a column a source group whose features it takes in. The numbers of a row add up to "
        f"1; all sources alike would make each {decimal(1 / (count - 1))}. The strongest is from {names[0]} to "
        f"{names[1]} ({decimal(mean[target, source])}); the other way round it is {decimal(mean[source, target])}. "
        f"Mean of {_images(len(affinities))}; from one to another a number varies by about {decimal(spread)} (standard "
        "deviation)."
    )
    return Figure(figures.svg(drawing, title), title, caption, wide=count > drawings.NUMBERS_SHOWN)


def _dead_notes(attention, block):
    """A sentence on the masks of a block that are zero everywhere, if there are any."""
    dead = [readable(attention.groups[i]) for i in drawings.dead(attention.masks[block])]
    if not dead:
        return ()
    text = (
        f"Dead masks in {_block_name(block)}: {', '.join(dead)}. They are 0 everywhere on "
        f"{_images(len(attention.masks[block]))}, so that nothing of the block enters these groups' own features."
    )
    return (Note(text, "bad"),)


def _images(count):
    return "one test image" if count == 1 else f"the first {count} test images"

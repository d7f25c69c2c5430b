"""Where the network looks for each group of attributes, and which groups hear of which (MGG-Net, Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.report import attention_figures, figures
from components.report.common import decimal, readable
from components.report.data import Attention
from components.report.page import Block, Figure, Figures, Note, Section


def attention_section(attention: Attention) -> Section:
    """Masks over a few faces and the affinities between the groups, block by block of the backbone."""
    shown = [_mask_figure(attention, block) for block in attention.masks]
    shown += [_affinity_figure(attention, block) for block in attention.affinities]
    blocks: list[Block] = [Figures(tuple(shown))]
    blocks += [note for block in attention.masks for note in _dead_notes(attention, block)]
    lead = (
        "The network weighs the places of a picture anew for each group of attributes: with a mask over the features "
        "of a block of its backbone. A mask shows where features count for the group, which is no proof of what an "
        "answer rests on: every feature has itself seen the surroundings of its place."
    )
    return Section("Attention", "attention", tuple(blocks), lead)


def _block_name(block: str) -> str:
    """`block3` -> `block 3`."""
    return block.replace("block", "block ")


def _mask_figure(attention: Attention, block: str) -> Figure:
    masks, count = attention.masks[block], len(attention.groups)
    chosen = attention_figures.most_varied(masks)
    title = f"Masks of {_block_name(block)}"
    shown = masks[: len(attention.images)][..., chosen]
    drawing = attention_figures.mask_drawing(attention.images, shown, [attention.groups[i] for i in chosen])
    height, width = masks.shape[1:3]
    full = attention_figures.full_colour(shown)
    caption = (
        f"Each mask has {height} × {width} places, stretched over the picture. No colour: the place counts nothing for "
        f"the group. Full colour: it has a weight of {full:.2g} or more, the top hundredth of what is shown. All masks "
        "of this figure share the scale. As Fig. 2 of the MGG-Net paper."
    )
    if len(chosen) < count:
        caption += (
            f" Of the {count} masks, the figure has the {len(chosen)} that differ most from place to place (standard "
            f"deviation, mean of {_pictures(len(masks))})."
        )
    return Figure(figures.svg(drawing, title), title, caption, wide=True)


def _affinity_figure(attention: Attention, block: str) -> Figure:
    affinities, count = attention.affinities[block], len(attention.groups)
    mean = affinities.mean(axis=0)
    title = f"Who listens to whom, {_block_name(block)}"
    drawing = attention_figures.affinity_drawing(mean, attention.groups)
    listener, heard = np.unravel_index(np.argmax(mean), mean.shape)
    spread = affinities.std(axis=0)[~np.eye(count, dtype=bool)].mean()
    who, whom = (f"“{readable(attention.groups[i])}”" for i in (listener, heard))
    caption = (
        "A row is a group that listens, a column a group that is heard. The numbers of a row add up to 1; listening to "
        f"all alike would make each {decimal(1 / (count - 1))}. Most of all, {who} listens to {whom} "
        f"({decimal(mean[listener, heard])}); the other way round it is {decimal(mean[heard, listener])}. Mean of "
        f"{_pictures(len(affinities))}; from one to another a number varies by about {decimal(spread)} (standard "
        "deviation)."
    )
    return Figure(figures.svg(drawing, title), title, caption, wide=count > attention_figures.NUMBERS_SHOWN)


def _dead_notes(attention: Attention, block: str) -> Sequence[Note]:
    """A sentence on the masks of a block that are zero everywhere, if there are any."""
    dead = [readable(attention.groups[i]) for i in attention_figures.dead(attention.masks[block])]
    if not dead:
        return ()
    text = (
        f"Dead masks in {_block_name(block)}: {', '.join(dead)}. They are 0 everywhere on "
        f"{_pictures(len(attention.masks[block]))}, so that nothing of the block enters these groups' own features."
    )
    return (Note(text, "bad"),)


def _pictures(count: int) -> str:
    return "one test picture" if count == 1 else f"the first {count} test pictures"

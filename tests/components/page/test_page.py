import re
import subprocess
import sys

import pytest
from markupsafe import Markup

from components.page.formatting import (
    by_name,
    change_text,
    decimal,
    figure_text,
    percent,
    percent_cell,
    percentage_points,
)
from components.page.page import (
    Card,
    Cell,
    Chip,
    Code,
    Column,
    Details,
    Gallery,
    Heading,
    Headline,
    Headlines,
    Meter,
    Note,
    Page,
    Section,
    Table,
)
from tests.components.page.page_checks import check

NASTY = "<script>alert('Zoë & 李')</script>\""


def test_every_block_escapes_what_it_is_given():
    table = Table((Column(NASTY, NASTY),), ((Cell(NASTY),),), footer=((Cell(NASTY),),))
    blocks = (
        Heading(NASTY, NASTY),
        Note(NASTY),
        Headlines((Headline(NASTY, NASTY, NASTY),)),
        table,
        Gallery(
            (Card(((NASTY, ""),), NASTY, NASTY, (Chip("+", NASTY, "bad", NASTY),)),), (Chip("+", NASTY),), overlay=NASTY
        ),
        Gallery((), (Chip("", "", colour=NASTY),), wide=True),
        Code(NASTY, NASTY),
        Details(NASTY, (Note(NASTY),)),
    )
    page = Page(NASTY, (Section(NASTY, "one", blocks, NASTY),), NASTY, NASTY, (NASTY,), (Chip("!", NASTY),)).render()
    reader = check(page)
    assert reader.count("script") == 1  # the page's own
    assert "<script>alert" not in page
    assert reader.text.count(NASTY) == 30  # every place above; in the tooltips of the column and the chip, too


@pytest.mark.parametrize("wide, layout", [(False, "stack"), (True, "strip")])
def test_a_cards_images_stand_below_each_other_or_in_a_row(wide, layout):
    panes = (("face", Markup("<img alt=one>")), ("", Markup("<img alt=two>")))
    page = Page("A page", (Section("S", "s", (Gallery((Card(panes, "A card"),), wide=wide),)),)).render()
    assert check(page).count("div", cls=f"image {layout}", style="--panes: 2") == 1
    assert re.findall(r'<div class="pane"><img alt=(\w+)>(?:<p>(\w+)</p>)?</div>', page) == [
        ("one", "face"),
        ("two", ""),
    ]


def test_sections_are_linked_in_order():
    sections = tuple(Section(name.title(), name, ()) for name in ("first", "second"))
    reader = check(Page("A page", sections).render())
    assert reader.sections == ["first", "second"]
    assert reader.addresses == ["data:,", "#first", "#second"]


def test_a_table_without_headings_has_no_head():
    columns = (Column("", number=False),) * 2
    page = Page("A page", (Section("S", "s", (Table(columns, ((Cell("seed"), Cell("7")),)),)),)).render()
    assert check(page).count("thead") == 0 and "seed 7" in check(page).text


def test_sections_need_anchors_of_their_own():
    twice = (Section("One", "same", ()), Section("Two", "same", ()))
    with pytest.raises(ValueError, match="share an anchor"):
        Page("A page", twice).render()


def test_a_cell_sorts_by_its_value_even_if_it_is_zero():
    page = Page("A page", (Section("S", "s", (Table((Column("C"),), ((Cell("nought", sort=0.0),),), sortable=True),)),))
    reader = check(page.render())
    assert reader.count("table", cls="sortable") == 1
    assert reader.count("th", **{"data-sort": "0.0"}) == 1


@pytest.mark.parametrize(
    "meter, expected",
    [
        (Meter(0.25), (0, 25, None)),
        (Meter(0.75, start=0.5, low=0.5), (0, 50, None)),
        (Meter(-1.0, tick=0.0, low=-2.0, high=2.0), (25, 25, 50)),  # to the left of its tick
        (Meter(7.0, tick=-7.0), (0, 100, 0)),  # stays in its cell
    ],
)
def test_meter_worked_by_hand(meter, expected):
    assert (meter.left, meter.width, meter.tick_left) == expected


@pytest.mark.parametrize("value, written", [(0.917, "91.70\u00a0%"), (None, "–"), (float("nan"), "–")])
def test_percent(value, written):
    assert percent(value) == written


def test_no_number_is_minus_nought():
    assert (percentage_points(-0.00001), decimal(-0.0001)) == ("+0.00", "0.000")
    assert percentage_points(-0.0117) == "−1.17"


def test_a_figure_of_any_kind_is_a_share_in_percent_or_a_plain_number():
    assert (figure_text(0.05, share=True), figure_text(5.0, share=False), figure_text(None, True)) == (
        "5.00", "5.00", "–",
    )  # fmt: skip
    assert (change_text(-0.05, share=True), change_text(-5.0, share=False)) == ("−5.00", "−5.00")
    assert change_text(float("nan"), share=False) == "–"


def test_figures_for_programs_are_finite_or_none():
    assert by_name("ab", [0.5, float("nan")]) == {"a": 0.5, "b": None}
    assert percent_cell(float("nan"), Meter(0.5)).meter is None


def test_a_page_needs_neither_tensorflow_nor_tasks():
    code = "import sys, components.page.figures, components.page.formatting; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if re.match(r"tensorflow$|tfx$|components\.(?!page)", name)}
    assert loaded == set()

"""What counts as other pictures: by how much, and by more than chance."""

import collections

import numpy as np
import pytest

from components.prediction import comparison
from components.prediction.comparison import CHANCE, Difference, differences, holm, shares
from components.prediction.comparison_page import comparison_page
from components.prediction.new_pictures import NewPictures
from tests.components.page.page_checks import check

WORDS = {"attributes.Smiling": ["no", "yes"], "emotion": ["calm", "angry", "happy"]}
COUNT = 300


def values(seed, brightness=0.5, smiling=0.5, emotions=(0.5, 0.2, 0.3), count=COUNT):
    random = np.random.default_rng(seed)
    return {
        "image brightness": random.normal(brightness, 0.1, count),
        "attributes.Smiling": (random.random(count) < smiling).astype(float),
        "emotion": random.choice(3, count, p=emotions).astype(float),
    }


def by_name(known, new):
    return {each.name: each for each in differences(known, new, WORDS)}


def test_distances_are_tfdvs_and_bars_the_schemas():
    known, new = values(0), values(1, brightness=0.7, smiling=0.2, emotions=(0.1, 0.2, 0.7))
    found = by_name(known, new)
    smiling = abs(known["attributes.Smiling"].mean() - new["attributes.Smiling"].mean())
    assert found["attributes.Smiling"].distance == pytest.approx(smiling)
    of_classes = [np.bincount(of["emotion"].astype(int), minlength=3) / COUNT for of in (known, new)]
    assert found["emotion"].distance == pytest.approx(np.abs(of_classes[0] - of_classes[1]).max())
    assert 0.2 < found["image brightness"].distance < 1
    assert all(each.bar == pytest.approx(0.1) and each.counts for each in found.values())
    assert list(found) == [each.name for each in sorted(found.values(), key=lambda each: -each.distance)]


def test_pictures_of_one_kind_stay_silent():
    for seed in range(0, 20, 2):
        assert not any(each.counts for each in differences(values(seed), values(seed + 1), WORDS))


def test_chance_alone_is_called_a_difference_as_rarely_as_it_says(monkeypatch):
    monkeypatch.setattr(comparison, "_distances", lambda known, new, words: dict.fromkeys(known, (0.0, 0.1)))
    runs = [differences(values(seed), values(seed + 1), WORDS) for seed in range(0, 1000, 2)]
    assert sum(any(each.beyond_chance for each in run) for run in runs) <= 2 * 500 * CHANCE


def test_a_difference_that_few_pictures_show_is_chance():
    found = by_name(values(0, smiling=0.5), values(1, smiling=0.9, count=4))
    assert found["attributes.Smiling"].distance > 0.1 and not found["attributes.Smiling"].counts


def test_a_small_difference_that_many_show_does_not_count():
    found = by_name(values(0, count=20_000), values(1, smiling=0.55, count=20_000))
    smiling = found["attributes.Smiling"]
    assert smiling.beyond_chance and not smiling.counts


def test_only_what_both_have_is_compared():
    known = values(0)
    assert set(by_name(known, {"emotion": known["emotion"], "age": known["emotion"]})) == {"emotion"}
    assert differences(known, {"age": known["emotion"]}, WORDS) == []


def test_what_is_always_the_same():
    same = {"attributes.Smiling": np.zeros(50), "image brightness": np.full(50, 0.25)}
    for each in differences(same, same, WORDS):
        assert each.chance == 1 and each.distance == 0 and not each.counts


def test_holm():
    # Sorted 0.01, 0.03, 0.04: times 3, 2, 1 is 0.03, 0.06, 0.04, which doesn't fall again.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1, 1] and holm([]) == []


def test_shares():
    assert shares(np.array([0.0, 2.0, 2.0, 1.0]), 4).tolist() == [0.25, 0.25, 0.5, 0]


def _difference(name, known, new, words=(), chance=0.0, distance=0.5):
    return Difference(name, np.array(known, float), np.array(new, float), words, distance, 0.1, chance)


def test_sentences():
    brightness = _difference("image brightness", [0.4, 0.6], [0.2, 0.2])
    assert brightness.sentence() == "image brightness: 0.200 on average instead of 0.500"
    smiling = _difference("attributes.Smiling", [0, 1], [0, 0], ("no", "yes"))
    assert smiling.sentence() == "attributes.Smiling: yes 0.0 % instead of 50.0 %"
    emotion = _difference("emotion", [0, 0, 2, 1], [2, 2, 2, 1], ("calm", "angry", "happy"))
    assert emotion.sentence() == "emotion: calm 0.0 % instead of 50.0 %"


def test_the_page():
    found = NewPictures({}, looked_at=40, unreadable=collections.Counter({"the file is empty": 3}), without_face=2)
    small = _difference("age", [30, 31], [31, 31], chance=1e-9, distance=0.05)
    other = _difference("emotion", [0, 0, 2, 1], [2, 2, 2, 1], ("calm", "angry", "happy"))
    page = comparison_page("colours", "17", found, {"fer2013": [other, small], "mtfl": [small]}).render()
    reader = check(page)
    assert reader.sections == ["result", "against-fer2013", "against-mtfl"]
    for words in (
        "Other pictures", "emotion: calm 0.0 % instead of 50.0 %", "the file is empty 3", "without a face 2",
        "Beyond chance but within the bars: age: 31.000 on average instead of 30.500", "Against mtfl",
    ):  # fmt: skip
        assert words in reader.text, words
    silent = check(comparison_page("colours", "17", found, {"mtfl": [small]}).render())
    assert "The same kind of pictures" in silent.text and "Against the model's own pictures" in silent.text

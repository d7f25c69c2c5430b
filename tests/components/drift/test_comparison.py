"""What counts as other images: by how much, and by more than chance."""

import numpy as np
import pytest
from scipy import stats

from components.drift import comparison
from components.drift.comparison import SIGNIFICANCE, Drift, find_drift, holm, p_value, read_thresholds, shares

CATEGORIES = {"attributes.Smiling": ("no", "yes"), "emotion": ("calm", "angry", "happy")}
COUNT = 300


def values(seed, brightness=0.5, smiling=0.5, emotions=(0.5, 0.2, 0.3), count=COUNT):
    random = np.random.default_rng(seed)
    return {
        "image brightness": random.normal(brightness, 0.1, count),
        "attributes.Smiling": (random.random(count) < smiling).astype(float),
        "emotion": random.choice(3, count, p=emotions).astype(float),
    }


def by_name(known, new):
    return {
        each.name: each for each in find_drift({"drawn": known}, {"drawn": new}, CATEGORIES, read_thresholds())["drawn"]
    }


def test_distances_are_tfdvs_and_thresholds_the_schemas():
    known, new = values(0), values(1, brightness=0.7, smiling=0.2, emotions=(0.1, 0.2, 0.7))
    found = by_name(known, new)
    smiling = abs(known["attributes.Smiling"].mean() - new["attributes.Smiling"].mean())
    assert found["attributes.Smiling"].distance == pytest.approx(smiling)
    of_classes = [np.bincount(of["emotion"].astype(int), minlength=3) / COUNT for of in (known, new)]
    assert found["emotion"].distance == pytest.approx(np.abs(of_classes[0] - of_classes[1]).max())
    assert 0.2 < found["image brightness"].distance < 1
    assert all(each.threshold == pytest.approx(0.1) and each.drifted for each in found.values())
    assert list(found) == [each.name for each in sorted(found.values(), key=lambda each: -each.distance)]


def test_images_of_one_kind_stay_silent():
    for seed in range(0, 20, 2):
        assert not any(each.drifted for each in by_name(values(seed), values(seed + 1)).values())


def rare(seed, count):
    """Forty attributes that one in a hundred has, and a class that hardly any has."""
    random = np.random.default_rng(seed)
    found = {f"attributes.{number}": (random.random(count) < 0.01).astype(float) for number in range(40)}
    return {**found, "emotion": random.choice(3, count, p=(0.6, 0.39, 0.01)).astype(float)}


@pytest.mark.parametrize(("made", "count"), [(values, COUNT), (values, 20), (rare, 5), (rare, 20)])
def test_chance_alone_is_significant_as_rarely_as_it_says(made, count, monkeypatch):
    monkeypatch.setattr(comparison, "_distances", lambda known, new, *others: dict.fromkeys(new, (0.0, 0.1)))
    categories = CATEGORIES | {f"attributes.{number}": ("no", "yes") for number in range(40)}
    runs = 300
    found = [
        find_drift({"a": made(seed, count=COUNT)}, {"a": made(seed + 1, count=count)}, categories, {})["a"]
        for seed in range(0, 2 * runs, 2)
    ]
    significant = sum(any(each.significant for each in run) for run in found)
    assert stats.binom.sf(significant - 1, runs, SIGNIFICANCE) > 1e-3, significant


def test_a_difference_that_few_images_show_is_chance():
    smiling = by_name(values(0, smiling=0.5), values(1, smiling=0.9, count=4))["attributes.Smiling"]
    assert smiling.distance > 0.1 and not smiling.drifted


def test_a_small_difference_that_many_show_does_not_count():
    smiling = by_name(values(0, count=20_000), values(1, smiling=0.55, count=20_000))["attributes.Smiling"]
    assert smiling.significant and not smiling.drifted


def test_only_what_both_have_is_compared():
    known = values(0)
    assert set(by_name(known, {"emotion": known["emotion"], "age": known["emotion"]})) == {"emotion"}


def test_what_is_always_the_same():
    same = {"attributes.Smiling": np.zeros(50), "image brightness": np.full(50, 0.25)}
    for each in by_name(same, same).values():
        assert each.p_value == 1 and each.distance == 0 and not each.drifted


def test_p_values():
    # Of 3 and 3, all "no" and all "yes": 2 of the 20 ways to deal six cards.
    assert p_value(np.zeros(3), np.ones(3), ("no", "yes")) == pytest.approx(2 / 20)
    # No two numbers in a wrong order: 2 of the 20 ways.
    assert p_value(np.arange(3.0), np.arange(3.0) + 5, ()) == pytest.approx(2 / 20)
    # 10, 20 and 30 of 60 on both sides; a class that one image has goes with none of them.
    known = np.repeat([0, 1, 2, 3], [10, 20, 30, 1])
    assert p_value(known, known[:-1], ("a", "b", "c", "d")) == pytest.approx(1, abs=0.2)
    # χ² of the table (20, 40), (40, 20), with Fisher's exact test in its place as there are two classes left.
    known, new = np.repeat([0, 1], [20, 40]), np.repeat([0, 1], [40, 20])
    assert p_value(known, new, ("a", "b", "c")) == pytest.approx(0.0005, abs=2e-4)


def test_holm():
    # Sorted 0.01, 0.03, 0.04: times 3, 2, 1 is 0.03, 0.06, 0.04, which doesn't fall again.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1, 1] and holm([]) == []


def test_all_data_sets_are_corrected_together():
    known, new = values(0), values(1, smiling=0.3)
    alone = find_drift({"a": known}, {"a": new}, CATEGORIES, read_thresholds())["a"]
    both = find_drift({"a": known, "b": known}, {"a": new, "b": new}, CATEGORIES, read_thresholds())["a"]
    (one,), (two,) = ([each.p_value for each in of if each.name == "attributes.Smiling"] for of in (alone, both))
    assert two == pytest.approx(2 * one)


def test_shares():
    assert shares(np.array([0.0, 2.0, 2.0, 1.0]), 4).tolist() == [0.25, 0.25, 0.5, 0]


NUMBER = 'feature { name: "number" drift_comparator { jensen_shannon_divergence { threshold: 0.1 } } } '


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'feature { name: "number" } feature { name: "category" }',
            "number has no comparator; expected jensen_",
        ),
        (
            NUMBER + NUMBER.replace("number", "category"),
            "category has jensen_shannon_divergence; expected infinity_norm",
        ),
        ("feature {", r"drift\.pbtxt can't be read: "),
        ('feature { name: "number" type: FLOAT }', "has the entries number; expected number and category"),
        (
            NUMBER + 'feature { name: "category" drift_comparator { infinity_norm { threshold: 2 } } }',
            r"the infinity_norm of category is from 0 to below 1; received 2\.0",
        ),
    ],
)
def test_thresholds_that_can_not_be(text, message, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "THRESHOLDS", tmp_path / "drift.pbtxt")
    (tmp_path / "drift.pbtxt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_thresholds()


def _drift(name, known, new, categories=(), p=0.0, distance=0.5):
    return Drift(name, np.array(known, float), np.array(new, float), categories, distance, 0.1, p)


def test_sentences():
    brightness = _drift("image brightness", [0.4, 0.6], [0.2, 0.2])
    assert brightness.sentence() == "image brightness: 0.2 ± 0 instead of 0.5 ± 0.1"
    smiling = _drift("attributes.Smiling", [0, 1], [0, 0], ("no", "yes"))
    assert smiling.sentence() == "attributes.Smiling: yes 0.0 % instead of 50.0 %"
    emotion = _drift("emotion", [0, 0, 2, 1], [2, 2, 2, 1], ("calm", "angry", "happy"))
    assert emotion.sentence() == "emotion: calm 0.0 % instead of 50.0 %"

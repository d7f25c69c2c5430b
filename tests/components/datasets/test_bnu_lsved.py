import collections
import hashlib
import itertools
import pickle

import numpy as np
import pytest
import quarantine

from components.datasets import builder_class
from components.datasets.bnu_lsved import BNULSVED, held_out_subjects
from components.record import RecordError

EMOTIONS = ("happy", "surprised", "disgusted", "puzzled", "concentrated", "tired", "distracted")


def in_order(subjects):
    return sorted(subjects, key=lambda subject: hashlib.sha256(subject.encode()).hexdigest())


def random_subjects(seed, count, num_emotions=7, chance=0.3):
    """{subject: the emotions that it shows}"""
    rng = np.random.default_rng(seed)
    shown = ({int(e) for e in np.flatnonzero(rng.random(num_emotions) < chance)} for _ in range(count))
    return {f"S{i:04d}": emotions or {int(rng.integers(num_emotions))} for i, emotions in enumerate(shown)}


def by_emotion(subjects):
    """{emotion: its subjects}"""
    found = collections.defaultdict(set)
    for subject, emotions in subjects.items():
        for emotion in emotions:
            found[emotion].add(subject)
    return found


def quota(count, share):
    return int(share * count + 0.5)


def distance(subjects, held_out, share):
    return sum(abs(len(s & held_out) - quota(len(s), share)) for s in by_emotion(subjects).values())


def write(folder, path, content):
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(content)


def write_subjects(folder, subjects, content, images=1):
    for emotion, found in by_emotion(subjects).items():
        for subject, i in itertools.product(sorted(found), range(images)):
            write(folder, f"{EMOTIONS[emotion]}/{subject}/{i}.jpg", content)


@pytest.fixture
def release(tmp_path, jpeg):
    """60 subjects, each with some of the emotions, and two images of each emotion that a subject shows."""
    folder = tmp_path / "BNU-LSVED"
    write_subjects(folder, random_subjects(0, 60), jpeg(), images=2)
    return folder


def splits_by_subject(folder, **options):
    """{subject: its splits}"""
    found = collections.defaultdict(set)
    for reference in BNULSVED(str(folder), **options).references():
        found[reference.id.split("/")[1]].add(reference.split)
    return found


def problems(folder):
    return quarantine.reasons(BNULSVED(str(folder)))


def test_the_emotions():
    assert BNULSVED.ANNOTATIONS["emotion"].names == EMOTIONS
    assert set(BNULSVED.ANNOTATIONS) == {"emotion"}
    assert BNULSVED.SPLITS == ("train", "validation", "test")


def test_references_and_records(release, jpeg):
    for i, path in enumerate(("happy/S0000/a.png", "happy/S0000/b.JPEG", "tired/S0001/ü.jpg")):
        write(release, path, jpeg(i))
    builder = BNULSVED(str(release))
    builder.check()
    references = list(builder.references())
    expected = sorted(str(path.relative_to(release)) for path in release.glob("*/*/*"))
    assert [reference.id for reference in references] == expected
    another = BNULSVED(str(release))
    for reference in references:
        record = another.load(pickle.loads(pickle.dumps(reference)))
        assert (record.id, record.dataset) == (reference.id, "bnu_lsved")
        assert record.image == (release / reference.id).read_bytes()
        assert EMOTIONS[record.labels["emotion"]] == reference.id.split("/")[0]
        assert record.labels.keys() == {"emotion"}
    assert not problems(release)


def test_emotions_in_whatever_case(release, jpeg):
    splits = splits_by_subject(release)
    for old, new in (("happy", "Happy"), ("tired", "TIRED")):
        (release / old).rename(release / new)
    assert splits_by_subject(release) == splits
    builder = BNULSVED(str(release))
    emotions = {r.id.split("/")[0]: builder.load(r).labels["emotion"] for r in builder.references()}
    assert emotions.keys() == {*EMOTIONS, "Happy", "TIRED"} - {"happy", "tired"}
    assert all(emotion == EMOTIONS.index(name.lower()) for name, emotion in emotions.items())


def test_no_subject_is_in_two_splits(release):
    splits = splits_by_subject(release)
    assert len(splits) == 60
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "validation", "test"}


def test_the_share_of_each_emotion_s_subjects(release):
    subjects, splits = random_subjects(0, 60), splits_by_subject(release, validation_share=0.25)
    for found in by_emotion(subjects).values():
        count = collections.Counter(split for subject in found for split in splits[subject])
        assert count["test"] == quota(len(found), 0.2)
        assert count["validation"] == quota(len(found) - count["test"], 0.25)


def test_without_validation(release):
    builder = BNULSVED(str(release), validation_share=0)
    assert builder.SPLITS == ("train", "test")
    assert {reference.split for reference in builder.references()} == {"train", "test"}
    with_validation = splits_by_subject(release)
    for subject, found in splits_by_subject(release, validation_share=0).items():
        assert (found == {"test"}) == (with_validation[subject] == {"test"}), "test does not depend on validation"


@pytest.mark.parametrize("share", [-0.1, 1, 10, float("nan")])
def test_a_share_that_is_none(share):
    with pytest.raises(ValueError, match=f"validation_share is {share}; expected a share from 0"):
        BNULSVED("somewhere", validation_share=share)


def test_the_number_of_images_does_not_decide(release, jpeg):
    splits = splits_by_subject(release)
    for image in list(release.glob("*/S000*/*"))[::3]:
        for i in range(5):
            write(release, f"{image.parent}/more{i}.jpg", jpeg())
    assert splits_by_subject(release) == splits


def test_nothing_is_lost_silently(release, jpeg):
    before = {reference.id: reference.split for reference in BNULSVED(str(release)).references()}
    strays = ("face.jpg", "happy/face.jpg", "bored/S0000/0.jpg", "happy/S0000/clip/0.jpg", "happy/new/clip/0.jpg")
    for stray in strays:
        write(release, stray, jpeg())
    for other in ("readme.txt", "happy/Thumbs.db", "happy/S0000/._0.jpg"):
        write(release, other, b"no image")
    assert problems(release) == {
        stray: f"{stray} is not in a subject's folder of an emotion; expected <emotion>/<subject>/<name>."
        for stray in strays
    }
    after = {reference.id: reference.split for reference in BNULSVED(str(release)).references()}
    assert after == {**before, **dict.fromkeys(strays)}, "strays are no subjects"


def test_an_image_that_is_damaged_or_vanishes(release):
    builder = BNULSVED(str(release))
    first, second, *_ = builder.references()
    (release / first.id).write_bytes(b"no image")
    assert problems(release) == {first.id: "the image is neither JPEG nor PNG: it starts with b'no image'"}
    (release / second.id).unlink()
    with pytest.raises(RecordError, match="can't be read"):
        builder.load(second)


def test_missing_folders_are_named(release):
    for name in ("happy", "tired"):
        (release / name).rename(release / f"{name}_")
    with pytest.raises(
        FileNotFoundError, match=rf"Folder '{release}' has no happy, tired. .* for each of happy, surpr"
    ):
        BNULSVED(str(release)).check()
    with pytest.raises(FileNotFoundError, match="It should hold a folder for each emotion"):
        BNULSVED(str(release / "none")).check()


def test_the_fingerprint_covers_the_images(release):
    before = BNULSVED(str(release)).fingerprint()
    assert BNULSVED(str(release)).fingerprint() == before
    next(release.glob("happy/*/*")).write_bytes(b"other")
    assert BNULSVED(str(release)).fingerprint() != before


def test_it_is_registered():
    assert builder_class("bnu_lsved") is BNULSVED


class TestHeldOutSubjects:
    def test_none_of_none(self):
        assert held_out_subjects({}, 0.2) == frozenset()

    @pytest.mark.parametrize(
        ("count", "share", "expected"), [(1, 0.2, 0), (2, 0.2, 0), (3, 0.2, 1), (10, 0.25, 3), (7, 0, 0), (7, 1, 7)]
    )
    def test_one_emotion_has_its_first_subjects_held_out(self, count, share, expected):
        subjects = {f"S{i}": {0} for i in range(count)}
        assert held_out_subjects(subjects, share) == set(in_order(subjects)[:expected])

    @pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
    def test_subjects_that_show_all_emotions(self, share):
        subjects = {f"S{i}": set(range(7)) for i in range(23)}
        assert held_out_subjects(subjects, share) == set(in_order(subjects)[: quota(23, share)])

    def test_each_emotion_has_subjects_of_its_own(self):
        subjects = {f"S{i}": {i % 7} for i in range(100)}
        assert distance(subjects, held_out_subjects(subjects, 0.2), 0.2) == 0

    def test_a_subject_counts_for_all_of_its_emotions(self):
        # Each emotion has 5 subjects, of which 1 is held out: the one that shows both if it comes first, else one each.
        names = in_order(f"S{i}" for i in range(9))
        both_first = dict(zip(names, [{0, 1}, {0}, {0}, {1}, {0}, {0}, {1}, {1}, {1}], strict=True))
        assert held_out_subjects(both_first, 0.2) == {names[0]}
        both_last = dict(zip(names, [{0}, {0}, {0}, {1}, {0}, {1}, {1}, {1}, {0, 1}], strict=True))
        assert held_out_subjects(both_last, 0.2) == {names[0], names[3]}

    def test_an_exchange_where_the_order_leads_astray(self):
        # Each emotion has 3 subjects, of which 1 is held out: after the first none comes closer, the last alone does.
        names = in_order("abcd")
        subjects = dict(zip(names, [{0, 1}, {1, 2}, {0, 2}, {0, 1, 2}], strict=True))
        assert held_out_subjects(subjects, 0.3) == {names[3]}

    @pytest.mark.parametrize("seed", range(5))
    def test_no_choice_is_much_closer(self, seed):
        subjects = random_subjects(seed, 12, num_emotions=4, chance=0.5)
        held_out = held_out_subjects(subjects, 0.2)
        names = list(subjects)
        best = min(
            distance(subjects, set(chosen), 0.2) for size in range(6) for chosen in itertools.combinations(names, size)
        )
        assert best <= distance(subjects, held_out, 0.2) <= best + 1

    @pytest.mark.parametrize("seed", range(5))
    def test_as_many_subjects_as_the_real_data_set_has(self, seed):
        subjects = random_subjects(seed, 1572)
        assert distance(subjects, held_out_subjects(subjects, 0.2), 0.2) == 0

    @pytest.mark.parametrize("seed", range(5))
    def test_no_change_or_exchange_comes_closer(self, seed):
        subjects = random_subjects(seed, 30, chance=0.6)
        held_out = set(held_out_subjects(subjects, 0.2))
        reached = distance(subjects, held_out, 0.2)
        others = subjects.keys() - held_out
        changes = [{subject} for subject in subjects] + [{out, back} for out in held_out for back in others]
        assert all(distance(subjects, held_out ^ change, 0.2) >= reached for change in changes)

    def test_the_order_of_the_folders_does_not_matter(self):
        subjects = random_subjects(3, 50)
        backwards = dict(reversed(subjects.items()))
        assert held_out_subjects(subjects, 0.2) == held_out_subjects(backwards, 0.2)

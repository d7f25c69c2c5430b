import collections
import itertools
import pickle

import numpy as np
import pytest
import quarantine

from components.datasets import builder_class
from components.datasets.bnu_lsved import BNULSVED
from components.record import RecordError

EMOTIONS = ("happy", "surprised", "disgusted", "puzzled", "concentrated", "tired", "distracted")


def random_subjects(seed, count):
    """{subject: the emotions that it shows}"""
    rng = np.random.default_rng(seed)
    shown = ({int(e) for e in np.flatnonzero(rng.random(7) < 0.3)} for _ in range(count))
    return {f"S{i:04d}": emotions or {int(rng.integers(7))} for i, emotions in enumerate(shown)}


def by_emotion(subjects):
    """{emotion: its subjects}"""
    found = collections.defaultdict(set)
    for subject, emotions in subjects.items():
        for emotion in emotions:
            found[emotion].add(subject)
    return found


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


def splits_by_subject(folder):
    """{subject: its splits}"""
    found = collections.defaultdict(set)
    for reference in BNULSVED(str(folder)).references():
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


@pytest.mark.parametrize("seed", range(3))
def test_the_share_of_each_emotion_s_subjects(tmp_path, jpeg, seed):
    subjects = random_subjects(seed, 200)
    write_subjects(tmp_path, subjects, jpeg())
    splits = splits_by_subject(tmp_path)
    for found in by_emotion(subjects).values():
        count = collections.Counter(split for subject in found for split in splits[subject])
        assert count["test"] == pytest.approx(0.2 * len(found), abs=2)
        assert count["validation"] == pytest.approx(0.1 * len(found), abs=2)


def test_too_few_subjects_to_part(tmp_path, jpeg):
    write_subjects(tmp_path, {f"S{i}": set(range(7)) for i in range(9)}, jpeg())
    with pytest.raises(ValueError, match="has 9 subjects; expected 10 or more who show the same emotion"):
        list(BNULSVED(str(tmp_path)).references())


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

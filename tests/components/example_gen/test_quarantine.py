"""What was put aside, counted by kind; and when a run stops for it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from components.config import DatasetConfig
from components.example_gen.quarantine import check_losses, counted_reasons
from components.record import RecordError
from components.tasks.segmentation.label_maps import decode_mask

FACES, SCENES = DatasetConfig("faces", labels=("age",)), DatasetConfig("scenes", labels=("mood",))


def test_reasons_that_name_an_image_or_a_number_are_one():
    alike = [f"'img/{number}.jpg' is missing; {number} of 9 lines name it" for number in (1, 20, 300)]
    counts = counted_reasons(["a label 'mood'", *alike, "a label 'mood'"])
    assert list(counts.items()) == [
        (f"… is missing; … of … lines name it (such as: {alike[0]})", 3),
        ("a label 'mood'", 2),
    ]


def test_reasons_of_broken_files_are_one():
    broken = []
    for name in ("a.png", "it's.png", "b c.png"):
        with pytest.raises(RecordError) as error:
            decode_mask(b"no image", name)
        broken.append(str(error.value))
    assert list(counted_reasons(broken).values()) == [3]
    assert len(counted_reasons(["it can't be read, nor can't that", "it can't be had, nor can't that"])) == 2


@pytest.fixture
def ingested(tmp_path):
    """Writes what ingestion leaves, {split: (kept, quarantined)}; returns the folder."""

    def write(**splits):
        counts = {name: {"read": sum(of), "kept": of[0], "quarantined": of[1]} for name, of in splits.items()}
        (tmp_path / "counts.json").write_text(json.dumps(counts))
        rows = [
            {"id": f"{n}.jpg", "split": name, "reason": f"'{n}.jpg' is missing"}
            for name, (_, lost) in splits.items()
            for n in range(lost)
        ]
        (tmp_path / "quarantine-00000-of-00001.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return str(tmp_path)

    return write


def test_a_part_may_be_lost(ingested):
    check_losses([FACES], ingested(train=(60, 40), validation=(10, 0), test=(9, 1)))
    check_losses([FACES], ingested(train=(60, 0), validation=(0, 0), test=(9, 0)))  # without a validation split
    check_losses([replace(FACES, max_quarantined=1.0)], ingested(train=(1, 99), test=(9, 0)))


def test_most_of_it_stops_the_run(ingested):
    folder = ingested(faces_train=(40, 60), faces_test=(9, 1), scenes_train=(5, 0), scenes_test=(5, 0))
    with pytest.raises(ValueError) as stopped:
        check_losses([SCENES, FACES], folder)
    assert str(stopped.value) == (
        "61 of 110 records of faces can't be used. The reasons:\n"
        "  61: … is missing (such as: '0.jpg' is missing)\n"
        "If that is as it should be: SET=data.datasets.faces.max_quarantined=1, which is 0.5."
    )


def test_all_of_a_split_stops_the_run(ingested):
    with pytest.raises(ValueError, match=r"5 of 105 records of faces can't be used, and all of test\. The reasons"):
        check_losses([FACES], ingested(train=(100, 0), test=(0, 5)))
    check_losses([replace(FACES, max_quarantined=1.0)], ingested(train=(100, 0), test=(0, 5)))

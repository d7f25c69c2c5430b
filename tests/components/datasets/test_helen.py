import pickle

import numpy as np
import pytest
import quarantine
import tensorflow as tf
from PIL import Image

from components.datasets import builder_class
from components.datasets.helen import Helen, HelenMerged
from components.datasets.lapa import LaPa
from components.example_gen.checks import check_record
from components.record import RecordError

SIZE = (16, 12)  # width, height
NAMES = ("100032540_1", "100040721_1", "1002681492_1", "10405146_1")
LISTS = {"exemplars.txt": NAMES[:2], "tuning.txt": NAMES[2:3], "testing.txt": NAMES[3:]}
CLASSES, MERGED = Helen.ANNOTATIONS["parsing"].names, HelenMerged.ANNOTATIONS["parsing"]


def probabilities(seed):
    """[11, 12, 16] uint8: at each pixel a few classes share 255, as the release's soft edges do."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(11, 0.2), (12, 16))
    return np.moveaxis(np.uint8(np.rint(shares * 255)), -1, 0)


def map_path(folder, name, label):
    return folder / "labels" / name / f"{name}_lbl{label:02d}.png"


def write_maps(folder, name, maps):
    for label, values in enumerate(maps):
        map_path(folder, name, label).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(map_path(folder, name, label))


def write_list(folder, name, lines):
    (folder / name).write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def release(tmp_path, jpeg):
    """Two exemplars, an image for tuning and one for testing."""
    folder = tmp_path / "SmithCVPR2013_dataset_resized"
    (folder / "images").mkdir(parents=True)
    for i, name in enumerate(NAMES):
        (folder / "images" / f"{name}.jpg").write_bytes(jpeg(10 * i, SIZE))
        write_maps(folder, name, probabilities(i))
    for file, names in LISTS.items():
        write_list(folder, file, [f"{number} , {name}" for number, name in enumerate(names, start=1)])
    return folder


def label_map(record):
    return tf.io.decode_png(record.labels["parsing"])[..., 0].numpy()


def loaded(folder):
    builder = Helen(str(folder))
    return builder.load(next(builder.references()))


def problems(folder):
    return quarantine.reasons(Helen(str(folder)))


def test_the_classes():
    # http://pages.cs.wisc.edu/~lizhang/projects/face-parsing/README.txt
    eyes = ("left_eyebrow", "right_eyebrow", "left_eye", "right_eye")
    mouth = ("upper_lip", "inner_mouth", "lower_lip")
    assert ("background", "skin", *eyes, "nose", *mouth, "hair") == CLASSES
    assert LaPa.ANNOTATIONS["parsing"].names == CLASSES
    assert set(Helen.ANNOTATIONS) == {"parsing"}
    assert Helen.SPLITS == ("train", "validation", "test")


def test_references_and_records(release, jpeg):
    builder = Helen(str(release))
    builder.check()
    references = list(builder.references())
    assert [(r.id, r.split) for r in references] == [
        ("100032540_1.jpg", "train"),
        ("100040721_1.jpg", "train"),
        ("1002681492_1.jpg", "validation"),
        ("10405146_1.jpg", "test"),
    ]
    another = Helen(str(release))
    for i, reference in enumerate(references):
        record = another.load(pickle.loads(pickle.dumps(reference)))
        assert (record.id, record.dataset, record.image) == (reference.id, "helen", jpeg(10 * i, SIZE))
        np.testing.assert_array_equal(label_map(record), probabilities(i).argmax(0))
        assert record.labels.keys() == {"parsing"}
    assert not problems(release)


def test_the_largest_value_wins_and_the_first_of_equals(release):
    maps = np.zeros((11, 12, 16), np.uint8)
    maps[:, 0, 1] = 20  # all equal: background
    maps[[0, 3, 7], 0, 2] = 100, 101, 54
    maps[[4, 10], 0, 3] = 127  # equal: the left eye
    maps[10, 0, 4] = 1  # one step of 255 is more than nothing
    maps[[1, 9, 10], 0, 5] = 84, 85, 86
    maps[[0, 5], 0, 6] = 255, 254
    maps[[2, 8], 0, 7] = 1, 255
    write_maps(release, NAMES[0], maps)
    labels = label_map(loaded(release))
    assert labels[0].tolist() == [0, 0, 3, 4, 10, 10, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]
    assert not labels[1:].any(), "0 in all maps: background"


def test_a_part_without_a_map_is_not_in_the_image(release):
    map_path(release, NAMES[0], 10).unlink()
    map_path(release, NAMES[0], 4).unlink()
    maps = probabilities(0)
    maps[[4, 10]] = 0
    np.testing.assert_array_equal(label_map(loaded(release)), maps.argmax(0))
    assert not problems(release)


def test_without_the_background_s_map(release):
    map_path(release, NAMES[0], 0).unlink()
    folder = release / "labels" / NAMES[0]
    assert problems(release) == {
        f"{NAMES[0]}.jpg": f"{str(folder)!r} has no {NAMES[0]}_lbl00.png, the map of the background."
    }


def test_without_any_map(release):
    for label in range(11):
        map_path(release, NAMES[0], label).unlink()
    ((name, reason),) = problems(release).items()
    assert name == f"{NAMES[0]}.jpg"
    assert f"{NAMES[0]}' has no {NAMES[0]}_lbl00.png" in reason
    (release / "labels" / NAMES[0]).rmdir()
    ((name, reason),) = problems(release).items()
    assert name == f"{NAMES[0]}.jpg"
    assert f"The folder '{release}/labels/{NAMES[0]}' can't be listed" in reason


@pytest.mark.parametrize("stray", [f"{NAMES[0]}_lbl11.png", f"{NAMES[1]}_lbl00.png", f"{NAMES[0]}_lbl1.png"])
def test_a_map_of_no_class(release, stray):
    (release / "labels" / NAMES[0] / stray).write_bytes(map_path(release, NAMES[0], 1).read_bytes())
    ((name, reason),) = problems(release).items()
    assert name == f"{NAMES[0]}.jpg"
    assert f"has {stray}; expected {NAMES[0]}_lbl00.png to {NAMES[0]}_lbl10.png" in reason


@pytest.mark.parametrize("label", [0, 7, 10])
def test_a_map_of_another_size(release, label):
    Image.new("L", (15, 12)).save(map_path(release, NAMES[1], label))
    ((name, reason),) = problems(release).items()
    assert name == f"{NAMES[1]}.jpg"
    assert f"_lbl{label:02d}.png' is 15x12, its image 16x12" in reason


def test_an_unreadable_map(release):
    path = map_path(release, NAMES[1], 6)
    content = path.read_bytes()
    for damaged in (b"", b"no image", content[:-30]):
        path.write_bytes(damaged)
        ((name, reason),) = problems(release).items()
        assert name == f"{NAMES[1]}.jpg"
        assert f"{str(path)!r} can't be read as a PNG" in reason


@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_a_map_that_is_not_grey(release, mode):
    Image.fromarray(probabilities(0)[6]).convert(mode).save(map_path(release, NAMES[1], 6))
    ((name, reason),) = problems(release).items()
    assert name == f"{NAMES[1]}.jpg"
    assert f"_lbl06.png' is a PNG of the kind {mode!r}; expected 8-bit grey" in reason


def test_nothing_is_lost_silently(release, jpeg):
    write_list(release, "exemplars.txt", ["1 , 100032540_1", "", "2", "3 , ", "4 , 100040721_1, x", "5 , ghost_1"])
    write_list(release, "tuning.txt", ["1 , 1002681492_1", "2 , 1002681492_1"])
    write_list(release, "testing.txt", ["1,10405146_1", "2 , 100032540_1"])
    (release / "images" / "unlisted_1.jpg").write_bytes(jpeg(0, SIZE))
    (release / "images" / "Thumbs.db").write_bytes(b"no image")
    write_maps(release, "maps_1", probabilities(0))
    (release / "labels" / ".DS_Store").write_bytes(b"no folder")
    found = problems(release)
    lists = "Of the lists exemplars.txt, tuning.txt, testing.txt"
    expected = {
        "exemplars.txt:3": "exemplars.txt has the line '2'; expected a number, a comma and a name.",
        "exemplars.txt:4": "'3 ,'",
        "exemplars.txt:5": "'4 , 100040721_1, x'",
        "100032540_1.jpg": f"{lists}, exemplars.txt and testing.txt name 100032540_1.jpg; expected one, once.",
        "1002681492_1.jpg": f"{lists}, tuning.txt and tuning.txt name 1002681492_1.jpg",
        "ghost_1.jpg": f"{release}/images/ghost_1.jpg' can't be read",
        "100040721_1.jpg": f"{lists}, none name 100040721_1.jpg",
        "unlisted_1.jpg": f"{lists}, none name unlisted_1.jpg",
        "maps_1.jpg": f"{lists}, none name maps_1.jpg",
    }
    assert found.keys() == expected.keys()
    for name, reason in found.items():
        assert expected[name] in reason
    good = {reference.id for reference in Helen(str(release)).references()} - found.keys()
    assert good == {"10405146_1.jpg"}


def test_an_image_that_is_missing_or_damaged(release):
    (release / "images" / f"{NAMES[0]}.jpg").unlink()
    (release / "images" / f"{NAMES[3]}.jpg").write_bytes(b"no image")
    found = problems(release)
    assert list(found) == [f"{NAMES[0]}.jpg", f"{NAMES[3]}.jpg"]
    assert "can't be read" in found[f"{NAMES[0]}.jpg"]
    assert "size of the image" in found[f"{NAMES[3]}.jpg"]


@pytest.mark.parametrize("name", ["exemplars.txt", "tuning.txt", "testing.txt", "images", "labels"])
def test_a_missing_file_is_named_with_where_it_comes_from(release, name):
    (release / name).rename(release / "elsewhere")
    with pytest.raises(FileNotFoundError, match=rf"Folder '{release}' has no {name}. It is part .*SmithCVPR2013"):
        Helen(str(release)).check()


def test_the_fingerprint_covers_lists_images_and_maps(release, jpeg):
    prints = [Helen(str(release)).fingerprint()]
    assert Helen(str(release)).fingerprint() == prints[0]
    (release / "images" / f"{NAMES[0]}.jpg").write_bytes(jpeg(99, (90, 90)))
    prints.append(Helen(str(release)).fingerprint())
    map_path(release, NAMES[3], 10).unlink()
    prints.append(Helen(str(release)).fingerprint())
    for name in LISTS:
        write_list(release, name, ["1 , another_1"])
        prints.append(Helen(str(release)).fingerprint())
    assert len(set(prints)) == 6


def test_they_are_registered():
    assert builder_class("helen") is Helen
    assert builder_class("helen_merged") is HelenMerged


class TestHelenMerged:
    def test_the_classes(self):
        # iFAN, Table 2, with the background first
        mouth = ("upper_lip", "inner_mouth", "lower_lip")
        assert ("background", "skin", "eyebrows", "eyes", "nose", *mouth, "hair") == MERGED.names
        assert HelenMerged.SPLITS == Helen.SPLITS
        assert {
            "brows": ("eyebrows",),
            "eyes": ("eyes",),
            "nose": ("nose",),
            "mouth": mouth,
        } == MERGED.merged_parts

    def test_references_and_records(self, release):
        sides, merged = Helen(str(release)), HelenMerged(str(release))
        merged.check()
        assert list(merged.references()) == list(sides.references())
        assert merged.fingerprint() == sides.fingerprint()
        names = {"left_eyebrow": "eyebrows", "right_eyebrow": "eyebrows", "left_eye": "eyes", "right_eye": "eyes"}
        for reference in merged.references():
            with_sides, record = sides.load(reference), merged.load(reference)
            check_record(record, Helen.ANNOTATIONS)
            assert (record.id, record.dataset, record.image) == (reference.id, "helen_merged", with_sides.image)
            for label, name in enumerate(CLASSES):
                found = label_map(record)[label_map(with_sides) == label]
                assert found.size and (found == MERGED.names.index(names.get(name, name))).all()

    def test_sides_are_merged_after_the_largest_value_has_won(self, release):
        maps = np.zeros((11, 12, 16), np.uint8)
        maps[[1, 2, 3], 0, 0] = 100, 80, 75  # skin, though both eyebrows together have more
        maps[[4, 5], 0, 1] = 127, 128
        maps[[3, 4], 0, 2] = 128, 127
        maps[10, 0, 3] = 255
        write_maps(release, NAMES[0], maps)
        builder = HelenMerged(str(release))
        labels = label_map(builder.load(next(builder.references())))
        assert [MERGED.names[label] for label in labels[0, :4]] == ["skin", "eyes", "eyebrows", "hair"]
        assert not labels[1:].any()

    def test_what_helen_refuses_is_refused(self, release):
        map_path(release, NAMES[0], 0).unlink()
        builder = HelenMerged(str(release))
        with pytest.raises(RecordError, match=r"has no 100032540_1_lbl00.png, the map of the background"):
            builder.load(next(builder.references()))

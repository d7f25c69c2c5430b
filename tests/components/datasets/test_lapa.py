import pickle

import numpy as np
import pytest
import quarantine
import tensorflow as tf
from PIL import Image

from components.datasets import builder_class
from components.datasets.lapa import LaPa

SIZE = (16, 12)  # width, height
NAMES = {"train": ("10001868414_0", "HELEN_137346980_1_5"), "val": ("11025473473_2",), "test": ("LFPW_image_0116_0",)}


def labels(shift=0):
    """[12, 16] uint8: every label in turn."""
    return ((np.arange(12 * 16).reshape(12, 16) + shift) % 11).astype(np.uint8)


@pytest.fixture
def release(tmp_path, jpeg):
    """Two images of train, one of val, one of test, with label maps and (for one) landmarks."""
    folder = tmp_path / "LaPa"
    for split, names in NAMES.items():
        for part in ("images", "labels", "landmarks"):
            (folder / split / part).mkdir(parents=True)
        for i, name in enumerate(names):
            (folder / split / "images" / f"{name}.jpg").write_bytes(jpeg(10 * i, SIZE))
            Image.fromarray(labels(i)).save(folder / split / "labels" / f"{name}.png")
    (folder / "train" / "landmarks" / f"{NAMES['train'][0]}.txt").write_text("106\n" + "1.5 2.5\n" * 106)
    return folder


def problems(folder):
    return quarantine.reasons(LaPa(str(folder)))


def test_the_classes():
    # https://github.com/JDAI-CV/lapa-dataset
    eyes = ("left_eyebrow", "right_eyebrow", "left_eye", "right_eye")
    mouth = ("upper_lip", "inner_mouth", "lower_lip")
    assert ("background", "skin", *eyes, "nose", *mouth, "hair") == LaPa.ANNOTATIONS["parsing"].names
    assert set(LaPa.ANNOTATIONS) == {"parsing"}
    assert LaPa.SPLITS == ("train", "validation", "test")


def test_references_and_records(release, jpeg):
    builder = LaPa(str(release))
    builder.check()
    references = list(builder.references())
    assert [(reference.id, reference.split) for reference in references] == [
        ("train/10001868414_0.jpg", "train"),
        ("train/HELEN_137346980_1_5.jpg", "train"),
        ("val/11025473473_2.jpg", "validation"),
        ("test/LFPW_image_0116_0.jpg", "test"),
    ]
    another = LaPa(str(release))
    for i, reference in enumerate(references[:2]):
        record = another.load(pickle.loads(pickle.dumps(reference)))
        assert (record.id, record.dataset, record.image) == (reference.id, "lapa", jpeg(10 * i, SIZE))
        assert record.labels["parsing"] == (release / "train" / "labels" / f"{NAMES['train'][i]}.png").read_bytes()
        np.testing.assert_array_equal(tf.io.decode_png(record.labels["parsing"])[..., 0], labels(i))
        assert record.labels.keys() == {"parsing"}
    assert not problems(release)


@pytest.mark.parametrize(("label", "refused"), [(10, False), (11, True), (200, True), (254, True), (255, False)])
def test_a_label_that_is_no_class(release, label, refused):
    wrong = labels()
    wrong[3, 4] = label
    path = release / "val" / "labels" / "11025473473_2.png"
    Image.fromarray(wrong).save(path)
    reason = f"{str(path)!r} has the label {label}; expected 0 to 10, or 255 for a pixel to ignore."
    assert problems(release) == ({"val/11025473473_2.jpg": reason} if refused else {})


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGB", "RGBA", "I;16"])
def test_a_map_that_is_not_8_bit_grey(release, mode):
    image = Image.fromarray(labels().astype(np.uint16)) if mode == "I;16" else Image.fromarray(labels()).convert(mode)
    image.save(release / "test" / "labels" / "LFPW_image_0116_0.png")
    ((name, reason),) = problems(release).items()
    assert name == "test/LFPW_image_0116_0.jpg"
    assert "LFPW_image_0116_0.png' is a PNG of the kind " in reason
    assert "expected 8-bit grey" in reason


def test_a_map_of_another_size(release):
    Image.fromarray(labels().T).save(release / "test" / "labels" / "LFPW_image_0116_0.png")
    ((name, reason),) = problems(release).items()
    assert name == "test/LFPW_image_0116_0.jpg"
    assert "LFPW_image_0116_0.png' is 12x16, its image 16x12" in reason


def test_an_unreadable_map(release):
    path = release / "train" / "labels" / "10001868414_0.png"
    content = path.read_bytes()
    for damaged in (b"", b"no image", content[:-30]):
        path.write_bytes(damaged)
        ((name, reason),) = problems(release).items()
        assert name == "train/10001868414_0.jpg"
        assert f"{str(path)!r} can't be read as a PNG" in reason


def test_an_unreadable_image(release):
    path = release / "train" / "images" / "10001868414_0.jpg"
    path.write_bytes(b"no image")
    ((name, reason),) = problems(release).items()
    assert name == "train/10001868414_0.jpg"
    assert f"size of the image {str(path)!r} can't be read" in reason


def test_an_image_without_a_map_and_a_map_without_an_image(release):
    (release / "train" / "labels" / "10001868414_0.png").unlink()
    (release / "val" / "images" / "11025473473_2.jpg").unlink()
    for folder in ("images", "labels"):
        (release / "train" / folder / "Thumbs.db").write_bytes(b"neither of them")
        (release / "train" / folder / f"._10001868414_0.{'jpg' if folder == 'images' else 'png'}").write_bytes(b"nor")
    found = problems(release)
    assert list(found) == ["train/10001868414_0.jpg", "val/11025473473_2.jpg"]
    assert f"{release}/train/labels/10001868414_0.png' can't be read" in found["train/10001868414_0.jpg"]
    assert f"{release}/val/images/11025473473_2.jpg' can't be read" in found["val/11025473473_2.jpg"]
    splits = [reference.split for reference in LaPa(str(release)).references()]
    assert splits == ["train", "train", "validation", "test"]


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("part", ["images", "labels"])
def test_a_missing_folder_is_named_with_where_it_comes_from(release, split, part):
    (release / split / part).rename(release / "elsewhere")
    with pytest.raises(
        FileNotFoundError, match=rf"Folder '{release}/{split}' has no {part}. It is part .*lapa-dataset"
    ):
        LaPa(str(release)).check()
    with pytest.raises(FileNotFoundError):
        list(LaPa(str(release)).references())


def test_the_folder_above_is_refused(release):
    with pytest.raises(FileNotFoundError, match="give the folder that holds train/, val/ and test/"):
        LaPa(str(release.parent)).check()


def test_the_fingerprint_covers_images_and_maps_but_not_landmarks(release, jpeg):
    prints = [LaPa(str(release)).fingerprint()]
    (release / "train" / "landmarks" / "10001868414_0.txt").unlink()
    assert LaPa(str(release)).fingerprint() == prints[0]
    for split, (name, *_) in NAMES.items():
        (release / split / "images" / f"{name}.jpg").write_bytes(jpeg(99, (90, 90)))
        prints.append(LaPa(str(release)).fingerprint())
        (release / split / "labels" / f"{name}.png").write_bytes(b"")
        prints.append(LaPa(str(release)).fingerprint())
    assert len(set(prints)) == 7


def test_it_is_registered():
    assert builder_class("lapa") is LaPa

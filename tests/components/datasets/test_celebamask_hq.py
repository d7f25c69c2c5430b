import collections
import io
import pathlib
import pickle
import shutil

import numpy as np
import pytest
import quarantine
import tensorflow as tf
from PIL import Image

from components.datasets import builder_class
from components.datasets.celebamask_hq import CelebAMaskHQ
from components.datasets.helen import Helen
from components.example_gen.checks import check_record
from components.record import FaceRecord, RecordError

SAMPLE = pathlib.Path(__file__).parents[4] / "shared" / "data" / "CelebAMask-HQ"
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
PARTITION = "list_eval_partition.txt"
IMAGES = "CelebA-HQ-img"
MASKS = "CelebAMask-HQ-mask-anno"
SIZE = (16, 12)  # width, height
# face_parsing/README.md of the release
OFFICIAL = (
    *("background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear"),
    *("mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
)
# CelebA's number, and its partition, of each image
ORIGINS = {0: (119614, 0), 1: (99095, 0), 2: (170001, 1), 2000: (190002, 2)}


def box(left, top, right, bottom, size=SIZE):
    """[H, W] booleans: a mask of one rectangle."""
    mask = np.zeros(size[::-1], bool)
    mask[top:bottom, left:right] = True
    return mask


def mask_path(folder, index, part):
    return folder / MASKS / str(index // 2000) / f"{index:05d}_{part}.png"


def write_mask(folder, index, part, mask, mode="RGB"):
    path = mask_path(folder, index, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.uint8(mask) * 255).convert(mode).save(path)


def write_mapping(folder, rows, header="idx     orig_idx     orig_file"):
    (folder / MAPPING).write_text("".join(f"{line}\n" for line in [header, *rows]))


def mapping_rows(origins=ORIGINS):
    return [f"{index}       {number - 1}      {number:06d}.jpg" for index, (number, _) in origins.items()]


def write_partition(folder, rows):
    (folder / PARTITION).write_text("".join(f"{row}\n" for row in rows))


def partition_rows(origins=ORIGINS):
    return ["000001.jpg 0", *(f"{number:06d}.jpg {partition}" for number, partition in origins.values())]


@pytest.fixture
def release(tmp_path, jpeg):
    """Four images with a skin and a nose: two of train, one of validation, one of test, in two folders of masks."""
    folder = tmp_path / "CelebAMask-HQ"
    (folder / IMAGES).mkdir(parents=True)
    write_mapping(folder, mapping_rows())
    write_partition(folder, partition_rows())
    for shade, index in enumerate(ORIGINS):
        (folder / IMAGES / f"{index}.jpg").write_bytes(jpeg(shade, SIZE))
        write_mask(folder, index, "skin", box(2, 2, 14, 12))
        write_mask(folder, index, "nose", box(6, 4, 10, 8))
    return folder


def label_map(record):
    """[H, W]: the record's label map, decoded as training does."""
    return tf.io.decode_png(record.labels["parsing"])[..., 0].numpy()


def counts(labels):
    """[256]: how many pixels have each label."""
    return np.bincount(labels.ravel(), minlength=256)


def loaded(folder, image="0.jpg"):
    builder = CelebAMaskHQ(str(folder))
    return builder.load(next(r for r in builder.references() if r.id == image))


def problems(folder):
    return quarantine.reasons(CelebAMaskHQ(str(folder)))


def test_the_classes_are_the_release_s():
    assert CelebAMaskHQ.ANNOTATIONS["parsing"].names == OFFICIAL
    assert set(CelebAMaskHQ.ANNOTATIONS) == {"parsing"}
    assert CelebAMaskHQ.SPLITS == ("train", "validation", "test")


def test_the_parts_of_an_overall_f1_are_helen_s():
    parsing = CelebAMaskHQ.ANNOTATIONS["parsing"]
    assert parsing.merged_parts.keys() == Helen.ANNOTATIONS["parsing"].merged_parts.keys()
    assert {name for names in parsing.merged_parts.values() for name in names} < {*parsing.names}
    assert parsing.merged_parts == {
        "brows": ("l_brow", "r_brow"),
        "eyes": ("l_eye", "r_eye"),
        "nose": ("nose",),
        "mouth": ("mouth", "u_lip", "l_lip"),
    }


def test_references_and_records(release, jpeg):
    builder = CelebAMaskHQ(str(release))
    builder.check()
    references = list(builder.references())
    assert [(r.id, r.split) for r in references] == [
        ("0.jpg", "train"),
        ("1.jpg", "train"),
        ("2.jpg", "validation"),
        ("2000.jpg", "test"),
    ]
    another = CelebAMaskHQ(str(release))
    expected = np.where(box(6, 4, 10, 8), 2, box(2, 2, 14, 12))
    for shade, reference in enumerate(references):
        record = another.load(pickle.loads(pickle.dumps(reference)))
        assert (record.id, record.dataset, record.image) == (reference.id, "celebamask_hq", jpeg(shade, SIZE))
        np.testing.assert_array_equal(label_map(record), expected)
        check_record(record, CelebAMaskHQ.ANNOTATIONS)
        assert FaceRecord.from_example(record.to_example()).labels["parsing"] == record.labels["parsing"]
        assert record.labels.keys() == {"parsing"}


def test_each_part_has_its_label(release):
    for label, part in enumerate(OFFICIAL[1:], start=1):
        write_mask(release, 0, part, box(label % 16, label // 16, label % 16 + 1, label // 16 + 1))
    labels = label_map(loaded(release)).ravel()
    assert labels[:20].tolist() == [*range(19), 0]
    assert not labels[20:].any()


def test_a_later_part_lies_over_an_earlier_one(release):
    everywhere = np.ones(SIZE[::-1], bool)
    for label in range(18, 0, -1):  # written in the other order than merged
        write_mask(release, 0, OFFICIAL[label], everywhere)
    builder = CelebAMaskHQ(str(release))
    for label in range(18, 0, -1):
        assert (label_map(builder.load(next(builder.references()))) == label).all()
        mask_path(release, 0, OFFICIAL[label]).unlink()


def test_a_part_without_a_file_is_not_in_the_image(release):
    mask_path(release, 0, "skin").unlink()
    np.testing.assert_array_equal(label_map(loaded(release)), 2 * box(6, 4, 10, 8))


def test_an_empty_mask_is_a_mask(release):
    for part in ("skin", "nose"):
        write_mask(release, 0, part, np.zeros(SIZE[::-1], bool))
    assert not label_map(loaded(release)).any()


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA"])
def test_masks_of_any_kind_are_where_they_are_not_black(release, mode):
    write_mask(release, 0, "nose", box(6, 4, 10, 8), mode)
    with Image.open(mask_path(release, 0, "nose")) as image:
        assert image.mode == mode
    np.testing.assert_array_equal(label_map(loaded(release)) == 2, box(6, 4, 10, 8))


@pytest.mark.parametrize("shade", [1, (0, 0, 1), (0, 1, 0), (1, 0, 0)])
def test_the_darkest_shade_is_not_black(release, shade):
    image = Image.new("L" if isinstance(shade, int) else "RGB", SIZE)
    image.putpixel((3, 5), shade)
    image.save(mask_path(release, 0, "nose"))
    assert np.argwhere(label_map(loaded(release)) == 2).tolist() == [[5, 3]]


@pytest.mark.parametrize("factor", [2, 3])
def test_a_larger_image_has_each_label_repeated(release, jpeg, factor):
    (release / IMAGES / "0.jpg").write_bytes(jpeg(0, (SIZE[0] * factor, SIZE[1] * factor)))
    record = loaded(release)
    check_record(record, CelebAMaskHQ.ANNOTATIONS)
    expected = Image.fromarray(np.where(box(6, 4, 10, 8), 2, box(2, 2, 14, 12)).astype(np.uint8))
    larger = expected.resize((SIZE[0] * factor, SIZE[1] * factor), Image.NEAREST)
    np.testing.assert_array_equal(label_map(record), np.asarray(larger))
    np.testing.assert_array_equal(label_map(record)[::factor, ::factor], np.asarray(expected))


@pytest.mark.parametrize("size", [(24, 18), (32, 12), (16, 24), (8, 6), (17, 13), (32, 36)])
def test_an_image_that_is_no_whole_multiple_of_its_masks(release, jpeg, size):
    (release / IMAGES / "0.jpg").write_bytes(jpeg(0, size))
    ((name, reason),) = problems(release).items()
    assert name == "0.jpg"
    assert f"0.jpg' is {size[0]}x{size[1]}, its masks are 16x12" in reason


def test_a_mask_of_another_size(release):
    write_mask(release, 0, "nose", box(3, 2, 5, 4, size=(8, 6)))
    ((name, reason),) = problems(release).items()
    assert name == "0.jpg"
    assert "00000_nose.png' is 8x6, but" in reason
    assert "00000_skin.png' 16x12" in reason


def test_an_image_without_any_mask(release):
    for part in ("skin", "nose"):
        mask_path(release, 2000, part).unlink()
    assert problems(release) == {"2000.jpg": f"{MASKS} has no mask of the image: no 1/02000_<part>.png."}
    mask_path(release, 2000, "skin").parent.rmdir()
    assert list(problems(release)) == ["2000.jpg"]


def test_an_unreadable_mask_is_named(release):
    path = mask_path(release, 1, "nose")
    content = path.read_bytes()
    for damaged in (b"", b"no image", content[:-30], content[:40]):
        path.write_bytes(damaged)
        ((name, reason),) = problems(release).items()
        assert name == "1.jpg"
        assert f"{str(path)!r} can't be read as a PNG" in reason
    Image.new("L", SIZE).save(path, "JPEG")
    assert "can't be read as a PNG" in problems(release)["1.jpg"]


def test_damage_anywhere_in_a_mask_raises_nothing_else(release):
    path = mask_path(release, 0, "nose")
    write_mask(release, 0, "nose", np.random.default_rng(0).random(SIZE[::-1]) < 0.5)
    content = path.read_bytes()
    builder = CelebAMaskHQ(str(release))
    reference = next(builder.references())
    refused = 0
    for place in range(len(content)):
        for damaged in (content[:place], content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]):
            path.write_bytes(damaged)
            try:
                builder.load(reference)
            except RecordError:
                refused += 1
    assert refused > len(content), "at least every file that was cut off before its last bytes"


def test_a_mask_that_vanishes_after_the_listing(release):
    builder = CelebAMaskHQ(str(release))
    reference = next(builder.references())
    mask_path(release, 0, "nose").unlink()
    with pytest.raises(RecordError, match=r"00000_nose.png' can't be read"):
        builder.load(reference)


def test_an_image_that_is_missing_or_damaged(release):
    (release / IMAGES / "0.jpg").unlink()
    (release / IMAGES / "1.jpg").write_bytes(b"no image")
    found = problems(release)
    assert list(found) == ["0.jpg", "1.jpg"]
    assert f"{str(release / IMAGES / '0.jpg')!r} can't be read" in found["0.jpg"]
    assert f"size of the image {str(release / IMAGES / '1.jpg')!r} can't be read" in found["1.jpg"]


def test_masks_that_no_part_has(release):
    write_mask(release, 0, "tooth", box(0, 0, 1, 1))
    shutil.copy(mask_path(release, 1, "skin"), mask_path(release, 2000, "skin").parent / "00001_hair.png")
    mask_path(release, 2, "nose").rename(mask_path(release, 2, "nose").with_suffix(".PNG"))
    mask_path(release, 0, "skin").with_name("Thumbs.db").write_bytes(b"no mask")
    mask_path(release, 0, "skin").with_name("._00000_skin.png").write_bytes(b"no mask either")
    (release / MASKS / "readme.txt").write_text("no folder")
    found = problems(release)
    assert list(found) == ["0.jpg", "1.jpg", "2.jpg"]
    assert "has 0/00000_tooth.png, which is no mask of a part; expected 0/00000_<part>.png" in found["0.jpg"]
    assert "has 1/00001_hair.png, which" in found["1.jpg"]
    assert "has 0/00002_nose.PNG, which" in found["2.jpg"]


def test_nothing_is_lost_silently(release, jpeg):
    origins = {index: (1000 + index, 0) for index in (3, 4, 5, 6)}
    write_mapping(
        release,
        [
            *mapping_rows(),
            "three       1002      001003.jpg",
            "3       x      001003.jpg",
            "-3       1002      001003.jpg",
            "3       1002",
            "3       1002      001003.jpg      1",
            "",
            *mapping_rows({index: origins[index] for index in (4, 5, 6)}),
            "0       1002      001003.jpg",
        ],
    )
    write_partition(release, [*partition_rows(), "001003.jpg 0", "001005.jpg 3", "001006.jpg 0", "001006.jpg 1"])
    for index in (3, 4, 5, 6):
        (release / IMAGES / f"{index}.jpg").write_bytes(jpeg(0, SIZE))
        write_mask(release, index, "skin", box(2, 2, 14, 12))
    for stray in ("007.jpg", "8.png", "face.jpg", "9.jpg"):
        (release / IMAGES / stray).write_bytes(jpeg(0, SIZE))
    (release / IMAGES / "Thumbs.db").write_bytes(b"no image")
    write_mask(release, 4000, "skin", box(2, 2, 14, 12))
    found = problems(release)
    expected = {
        f"{MAPPING}:6": "has the row 'three       1002      001003.jpg'; expected idx orig_idx orig_file",
        f"{MAPPING}:7": "the first two numbers",
        f"{MAPPING}:8": "'-3 ",
        f"{MAPPING}:9": "'3       1002'",
        f"{MAPPING}:10": "001003.jpg      1'",
        "0.jpg": f"{MAPPING} has several rows for 0.jpg; expected one",
        "4.jpg": f"{PARTITION} has no row for 001004.jpg; expected one",
        "5.jpg": f"{PARTITION} has the partition '3' for 001005.jpg; expected 0, 1 or 2",
        "6.jpg": f"{PARTITION} has several rows for 001006.jpg; expected one",
        "3.jpg": f"{MAPPING} has no row for 3.jpg",
        "9.jpg": f"{MAPPING} has no row for 9.jpg",
        "007.jpg": f"{MAPPING} has no row for 007.jpg",
        "8.png": "no row for 8.png: images are called by their idx, like 0.jpg",
        "face.jpg": f"{MAPPING} has no row for face.jpg",
        "4000.jpg": f"{MAPPING} has no row for 4000.jpg",
    }
    assert found.keys() == expected.keys()
    for name, reason in found.items():
        assert expected[name] in reason
    good = {reference.id for reference in CelebAMaskHQ(str(release)).references()} - found.keys()
    assert good == {"1.jpg", "2.jpg", "2000.jpg"}


@pytest.mark.parametrize("row", ["119614.jpg", "119614.jpg 0 0", "119614.jpg train"])
def test_a_partition_that_is_none(release, row):
    write_partition(release, [row, *partition_rows()[2:]])
    ((name, reason),) = problems(release).items()
    assert name == "0.jpg"
    assert f"has the partition {row[11:]!r} for 119614.jpg" in reason


@pytest.mark.parametrize(
    ("name", "origin"),
    [(MAPPING, "CelebAMask-HQ"), (IMAGES, "CelebAMask-HQ"), (MASKS, "CelebAMask-HQ"), (PARTITION, "CelebA.html")],
)
def test_a_missing_file_is_named_with_where_it_comes_from(release, name, origin):
    (release / name).rename(release / "elsewhere")
    with pytest.raises(FileNotFoundError, match=rf"Folder '{release}' has no {name}. It is part .*{origin}"):
        CelebAMaskHQ(str(release)).check()


@pytest.mark.parametrize("header", ["", "idx orig_file orig_idx", "0       119613      119614.jpg"])
def test_a_mapping_with_other_columns_is_refused(release, header):
    write_mapping(release, mapping_rows(), header)
    with pytest.raises(ValueError, match=rf"Line 1 of '{release}/{MAPPING}' should name the columns idx orig_idx"):
        CelebAMaskHQ(str(release)).check()


def test_an_empty_mapping_is_refused(release):
    (release / MAPPING).write_text("")
    with pytest.raises(ValueError, match="Line 1"):
        CelebAMaskHQ(str(release)).check()


def test_the_fingerprint_covers_lists_images_and_masks(release, jpeg):
    prints = [CelebAMaskHQ(str(release)).fingerprint()] * 2
    assert CelebAMaskHQ(str(release)).fingerprint() == prints.pop()
    (release / IMAGES / "0.jpg").write_bytes(jpeg(99, (90, 90)))
    prints.append(CelebAMaskHQ(str(release)).fingerprint())
    mask_path(release, 2000, "nose").unlink()
    prints.append(CelebAMaskHQ(str(release)).fingerprint())
    write_mapping(release, mapping_rows()[1:])
    prints.append(CelebAMaskHQ(str(release)).fingerprint())
    write_partition(release, partition_rows()[1:])
    prints.append(CelebAMaskHQ(str(release)).fingerprint())
    assert len(set(prints)) == 5


def test_tensorflow_datasets_reads_the_label_map(release, tmp_path):
    builder = CelebAMaskHQ(str(release), data_dir=str(tmp_path / "prepared"))
    builder.download_and_prepare()
    (example,) = builder.as_dataset(split="validation")
    assert example["id"].numpy() == b"2.jpg"
    np.testing.assert_array_equal(example["parsing"][0, ..., 0], label_map(loaded(release, "2.jpg")))


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"the CelebAMask-HQ sample is not at {SAMPLE}")
class TestTheRealSample:
    @pytest.fixture(scope="class")
    def references(self):
        builder = CelebAMaskHQ(str(SAMPLE))
        builder.check()
        return {reference.id: reference for reference in builder.references()}

    @pytest.fixture(scope="class")
    def maps(self, references):
        """Every fifteenth image's label map."""
        builder = CelebAMaskHQ(str(SAMPLE))
        return {name: label_map(builder.load(references[name])) for name in [*references][::15]}

    def test_the_splits(self, references):
        assert collections.Counter(r.split for r in references.values()) == {"train": 560, "validation": 70, "test": 70}
        assert [*references] == [f"{index}.jpg" for index in range(700)]

    @pytest.mark.parametrize("index", [0, 7, 123, 456, 699])
    def test_a_record(self, references, index):
        record = CelebAMaskHQ(str(SAMPLE)).load(references[f"{index}.jpg"])
        check_record(record, CelebAMaskHQ.ANNOTATIONS)
        assert record.image == (SAMPLE / IMAGES / f"{index}.jpg").read_bytes()
        # The masks pasted one over the other.
        merged = Image.new("L", (512, 512))
        for label, part in enumerate(OFFICIAL[1:], start=1):
            path = SAMPLE / MASKS / "0" / f"{index:05d}_{part}.png"
            if path.exists():
                with Image.open(path) as mask:
                    merged.paste(label, mask=mask.convert("1", dither=Image.Dither.NONE))
        with Image.open(io.BytesIO(record.labels["parsing"])) as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.asarray(image), np.asarray(merged))

    def test_a_class_is_in_as_many_maps_as_have_its_mask(self, maps):
        present = collections.Counter(
            label for labels in maps.values() for label in np.flatnonzero(counts(labels)) if label
        )
        masks = [name for name in maps for _ in (SAMPLE / MASKS / "0").glob(f"{int(name[:-4]):05d}_*.png")]
        # The sample's masks don't overlap, so that none is hidden.
        assert sum(present.values()) == len(masks)
        assert present[1] == present[2] == len(maps), "skin and nose are in every image"

    def test_the_classes_frequencies(self, maps):
        share = np.sum([counts(labels) for labels in maps.values()], axis=0) / (len(maps) * 512 * 512)
        assert not share[19:].any()
        background, skin, hair = (share[OFFICIAL.index(name)] for name in ("background", "skin", "hair"))
        assert 0.15 < background < 0.5
        assert 0.2 < skin < 0.5
        assert 0.15 < hair < 0.5
        parts = ("l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip")
        assert all(0.0005 < share[OFFICIAL.index(name)] < 0.02 for name in parts)
        assert share[OFFICIAL.index("u_lip")] < share[OFFICIAL.index("nose")] < skin

    def test_left_is_the_person_s_left(self, maps):
        for part in ("eye", "brow"):
            left, right = (OFFICIAL.index(f"{side}_{part}") for side in "lr")
            both = [labels for labels in maps.values() if (labels == left).any() and (labels == right).any()]
            assert len(both) > 40
            further = [(m == left).any(0).nonzero()[0].mean() > (m == right).any(0).nonzero()[0].mean() for m in both]
            # Not all: in 59 of the 700 images the sides' masks have each other's names.
            assert np.mean(further) > 0.85


def test_it_is_registered():
    assert builder_class("celebamask_hq") is CelebAMaskHQ

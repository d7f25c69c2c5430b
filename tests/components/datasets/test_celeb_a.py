import collections
import concurrent.futures
import pathlib
import pickle
import re
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.datasets.celeb_a import celeb_a_dataset_builder as stock

from components.datasets import builder_class
from components.datasets.celeb_a import CelebA
from components.images.limits import MAX_BYTES
from components.record import FaceRecord, RecordError

SAMPLE = pathlib.Path(__file__).parents[4] / "shared" / "data" / "celeba"
NAMES = ("000001.jpg", "000002.jpg", "000003.jpg", "000004.jpg")
POINTS = "69 109 106 113 77 142 73 152 108 154"


def labels(number):
    """The labels of the image of that number: attribute j is 1 where j + number is a multiple of 3."""
    return [int((j + number) % 3 == 0) for j in range(40)]


def attribute_row(name, number):
    return name + "".join(f" {2 * label - 1:2d}" for label in labels(number))


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def write_attributes(folder, rows, count=None, header=CelebA.ANNOTATIONS["attributes"].names):
    write(folder / "list_attr_celeba.txt", len(rows) if count is None else count, " ".join(header) + " ", *rows)


def write_landmarks(folder, rows, count=None, header=stock.LANDMARK_HEADINGS):
    write(folder / "list_landmarks_align_celeba.txt", len(rows) if count is None else count, " ".join(header), *rows)


@pytest.fixture
def release(tmp_path, jpeg):
    """Four images: two of train, one of validation, one of test."""
    folder = tmp_path / "celeba"
    write_attributes(folder, [attribute_row(name, i) for i, name in enumerate(NAMES)])
    write(folder / "list_eval_partition.txt", *(f"{n} {p}" for n, p in zip(NAMES, "0012", strict=True)))
    (folder / "img_align_celeba").mkdir()
    for i, name in enumerate(NAMES):
        (folder / "img_align_celeba" / name).write_bytes(jpeg(i))
    return folder


def references(folder):
    builder = CelebA(str(folder))
    builder.check()
    result = {reference.id: reference for reference in builder.references()}
    assert len(result) == len(list(builder.references())), "ids must be unique"
    return result


def problems(folder):
    """The reasons for quarantine by id: what the lists show, and what reading shows."""
    builder, reasons = CelebA(str(folder)), {}
    for reference in references(folder).values():
        assert (reference.split is None) == (reference.problem is not None)
        try:
            builder.load(reference)
        except RecordError as error:
            reasons[reference.id] = str(error)
    return reasons


def zipped(folder):
    """Packs the images as the release does, and removes the folder."""
    images = folder / "img_align_celeba"
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        archive.writestr("img_align_celeba/", b"")
        for path in sorted(images.iterdir()):
            archive.write(path, f"img_align_celeba/{path.name}")
            path.unlink()
    images.rmdir()


def test_is_the_data_set_of_its_name():
    assert builder_class("celeb_a") is CelebA
    assert tuple(stock.ATTR_HEADINGS) == CelebA.ANNOTATIONS["attributes"].names


def test_references_and_records(release, jpeg):
    builder = CelebA(str(release))
    found = list(builder.references())
    assert [reference.id for reference in found] == list(NAMES)
    assert [reference.split for reference in found] == ["train", "train", "validation", "test"]
    for i, reference in enumerate(found):
        record = builder.load(reference)
        assert (record.id, record.dataset, record.image) == (NAMES[i], "celeb_a", jpeg(i))
        assert record.labels["attributes"].tolist() == labels(i)
        assert record.labels.keys() == {"attributes"}


def test_the_release_s_own_folders_and_its_zip(release, jpeg):
    zipped(release)
    for name, place in {"attr_celeba": "Anno", "eval_partition": "Eval"}.items():
        (release / place).mkdir()
        (release / f"list_{name}.txt").rename(release / place / f"list_{name}.txt")
    (release / "Img").mkdir()
    (release / "img_align_celeba.zip").rename(release / "Img" / "img_align_celeba.zip")
    builder = CelebA(str(release))
    builder.check()
    assert [builder.load(reference).image for reference in builder.references()] == [jpeg(i) for i in range(4)]


def test_columns_are_taken_by_name(release):
    order = [*CelebA.ANNOTATIONS["attributes"].names[20:], *CelebA.ANNOTATIONS["attributes"].names[:20]]
    values = dict(zip(CelebA.ANNOTATIONS["attributes"].names, labels(0), strict=True))
    row = " ".join([NAMES[0], *(str(2 * values[name] - 1) for name in order)])
    write_attributes(release, [row, *(attribute_row(name, 0) for name in NAMES[1:])], header=order)
    builder = CelebA(str(release))
    assert builder.load(next(builder.references())).labels["attributes"].tolist() == labels(0)


def test_landmarks_are_normalised_by_the_image_s_size(release):
    write_landmarks(release, [f"{name}  {POINTS}" for name in NAMES[:3]])
    builder = CelebA(str(release))
    builder.check()
    *_, third, fourth = map(builder.load, builder.references())
    assert third.labels["landmarks"].dtype == np.float32
    np.testing.assert_allclose(third.labels["landmarks"][0], [69.5 / 178, 109.5 / 218], rtol=1e-6)
    np.testing.assert_allclose(third.labels["landmarks"][4], [108.5 / 178, 154.5 / 218], rtol=1e-6)
    assert "landmarks" not in fourth.labels, "no row in the landmark list: not annotated"


def test_names_need_not_be_ascii(release, jpeg):
    name = "gesicht_ä_顔.jpg"
    write_attributes(release, [attribute_row(name, 1)])
    write(release / "list_eval_partition.txt", f"{name} 2")
    for path in (release / "img_align_celeba").iterdir():
        path.unlink()
    (release / "img_align_celeba" / name).write_bytes(jpeg(7))
    for _ in ("folder", "zip"):
        (reference,) = CelebA(str(release)).references()
        record = CelebA(str(release)).load(pickle.loads(pickle.dumps(reference)))
        assert (record.id, record.image) == (name, jpeg(7))
        assert FaceRecord.from_example(record.to_example()).id == name
        if (release / "img_align_celeba").exists():
            zipped(release)


def test_nothing_is_lost_silently(release, jpeg):
    good = attribute_row("000001.jpg", 0)
    write_attributes(
        release,
        [
            good,
            good.replace(NAMES[0], "short.jpg").rpartition(" ")[0],
            good.replace(NAMES[0], "long.jpg") + " 1",
            good.replace(NAMES[0], "zero.jpg").rpartition(" ")[0] + " 0",
            good.replace(NAMES[0], "two.jpg").rpartition(" ")[0] + " 2",
            "bare.jpg",
            "",
            good.replace(NAMES[0], "twice.jpg"),
            good.replace(NAMES[0], "twice.jpg"),
            good.replace(NAMES[0], "nowhere.jpg"),
            good.replace(NAMES[0], "three.jpg"),
            good.replace(NAMES[0], "none.jpg"),
            good.replace(NAMES[0], "again.jpg"),
            good.replace(NAMES[0], "missing.jpg"),
            good.replace(NAMES[0], "header.jpg"),
        ],
    )
    in_train = ["short", "long", "zero", "two", "bare", "twice", "again", "again", "missing", "unlabelled", "header"]
    write(
        release / "list_eval_partition.txt",
        *[f"{NAMES[0]} 1", "three.jpg 3", "none.jpg", *(f"{name}.jpg 0" for name in in_train)],
    )
    write_landmarks(release, [f"{NAMES[0]} {POINTS}", f"header.jpg {POINTS[:-3]} x", f"ghost.jpg {POINTS}"])
    for name in ("short", "long", "zero", "two", "bare", "twice", "nowhere", "three", "none", "again", "header"):
        (release / "img_align_celeba" / f"{name}.jpg").write_bytes(jpeg())
    (release / "img_align_celeba" / "Thumbs.db").write_bytes(b"no image")
    expected = {
        "short.jpg": "39 values for short.jpg; expected 40",
        "long.jpg": "41 values",
        "zero.jpg": "label '0'; expected -1 or 1",
        "two.jpg": "label '2'; expected -1 or 1",
        "bare.jpg": "0 values",
        "twice.jpg": "list_attr_celeba.txt has several rows",
        "nowhere.jpg": "list_eval_partition.txt has no row for nowhere.jpg",
        "three.jpg": "partition '3'; expected 0, 1 or 2",
        "none.jpg": "partition ''",
        "again.jpg": "list_eval_partition.txt has several rows",
        "missing.jpg": f"{release}/img_align_celeba/missing.jpg",
        "unlabelled.jpg": "list_attr_celeba.txt has no row for unlabelled.jpg",
        "header.jpg": "expected whole numbers",
        "ghost.jpg": "list_attr_celeba.txt has no row for ghost.jpg",
        # in the folder, but in neither list
        **dict.fromkeys(NAMES[1:], "list_attr_celeba.txt has no row"),
    }
    found = problems(release)
    assert found.keys() == expected.keys() | {"list_attr_celeba.txt:count"}
    assert "promises '15' rows, but 14 follow" in found.pop("list_attr_celeba.txt:count")
    for name, reason in found.items():
        assert expected[name] in reason
    assert references(release).keys() == found.keys() | {NAMES[0], "list_attr_celeba.txt:count"}


def test_a_landmark_list_that_was_cut_off_is_told(release):
    write_landmarks(release, [f"{NAMES[0]} {POINTS}"], count=4)
    found = problems(release)
    assert list(found) == ["list_landmarks_align_celeba.txt:count"]
    assert "promises '4' rows, but 1 follow" in found["list_landmarks_align_celeba.txt:count"]


def test_images_without_a_size_have_no_landmarks(release):
    write_landmarks(release, [f"{name} {POINTS}" for name in NAMES])
    (release / "img_align_celeba" / NAMES[0]).write_bytes(b"")
    (release / "img_align_celeba" / NAMES[1]).write_bytes(b"no image")
    found = problems(release)
    assert list(found) == list(NAMES[:2])
    assert all("size" in reason for reason in found.values())


def test_a_missing_or_damaged_member_of_the_zip_is_quarantined(release):
    (release / "img_align_celeba" / NAMES[1]).unlink()
    zipped(release)
    path = release / "img_align_celeba.zip"
    path.write_bytes(path.read_bytes().replace(b"JFIF", b"JUNK", 1))
    found = problems(release)
    assert "can't be unpacked" in found.pop(NAMES[0])
    assert "has no member img_align_celeba/000002.jpg" in found.pop(NAMES[1])
    assert not found


def test_a_member_that_can_not_be_unpacked_or_is_huge_is_quarantined(release):
    zipped(release)
    path = release / "img_align_celeba.zip"
    data = bytearray(path.read_bytes())
    _, first, second, *_ = (match.start() for match in re.finditer(b"PK\x01\x02", data))  # behind the folder's own
    data[first + 8] |= 1  # encrypted
    data[second + 10] = 99  # a method that nobody has
    path.write_bytes(data)
    found = problems(release)
    assert "can't be unpacked" in found[NAMES[0]] and "password required" in found[NAMES[0]]
    assert "can't be unpacked" in found[NAMES[1]] and "compression" in found[NAMES[1]]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"img_align_celeba/{NAMES[0]}", bytes(MAX_BYTES + 1))
    assert f"has {MAX_BYTES + 1:,} bytes, allowed are {MAX_BYTES:,}" in problems(release)[NAMES[0]]


def test_threads_and_other_builders_read_the_zip(release, jpeg):
    zipped(release)
    builder = CelebA(str(release))
    found = list(builder.references()) * 20
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        images = [record.image for record in threads.map(builder.load, found)]
    assert images == [jpeg(i) for i in range(4)] * 20
    assert CelebA(str(release)).load(found[2]).image == jpeg(2)


@pytest.mark.parametrize("name", ["list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba"])
def test_a_missing_file_is_named_with_where_it_comes_from(release, name):
    (release / name).rename(release / "elsewhere")
    with pytest.raises(FileNotFoundError, match=rf"Folder '{release}' has no {name}. It is part .*CelebA.html"):
        CelebA(str(release)).check()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no list_attr_celeba.txt"):
        CelebA(str(tmp_path / "none")).check()


def test_other_columns_are_refused(release):
    write_attributes(release, [], header=["Bearded", *CelebA.ANNOTATIONS["attributes"].names[1:]])
    with pytest.raises(ValueError, match=r"Missing: \['5_o_Clock_Shadow'\]; unknown: \['Bearded'\]"):
        CelebA(str(release)).check()
    write_attributes(release, [])
    write_landmarks(release, [], header=["lefteye_x"])
    with pytest.raises(ValueError, match=r"list_landmarks_align_celeba.txt"):
        CelebA(str(release)).check()


def test_an_empty_list_is_refused(release):
    (release / "list_attr_celeba.txt").write_text("")
    with pytest.raises(ValueError, match="Line 2"):
        CelebA(str(release)).check()


def test_a_half_downloaded_zip_is_refused(release):
    zipped(release)
    path = release / "img_align_celeba.zip"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"is no complete zip archive.*Download it again"):
        CelebA(str(release)).check()


def test_a_zip_of_something_else_is_refused(release):
    zipped(release)
    with zipfile.ZipFile(release / "img_align_celeba.zip", "w") as archive:
        archive.writestr("img_celeba/000001.jpg", b"in the wild")
    with pytest.raises(ValueError, match="should have members img_align_celeba"):
        CelebA(str(release)).check()


def test_the_fingerprint_covers_lists_and_images(release, jpeg):
    prints = {CelebA(str(release)).fingerprint()}
    (release / "img_align_celeba" / NAMES[0]).write_bytes(jpeg(99, size=(90, 90)))
    prints.add(CelebA(str(release)).fingerprint())
    write(release / "list_eval_partition.txt", *(f"{name} 0" for name in NAMES[:3]))
    prints.add(CelebA(str(release)).fingerprint())
    write_landmarks(release, [])
    prints.add(CelebA(str(release)).fingerprint())
    zipped(release)
    prints.add(CelebA(str(release)).fingerprint())
    assert len(prints) == 5


class Stock(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """tensorflow-datasets' own celeb_a with other images: its version and features, written by its writer."""

    name = "celeb_a"
    VERSION = stock.Builder.VERSION
    pkg_dir_path = stock.Builder._get_pkg_dir_path()

    def __init__(self, image, counts, **options):
        self.image, self.counts = image, counts
        super().__init__(**options)

    def _info(self):
        return stock.Builder._info(self)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.counts}

    def _generate_examples(self, split):
        for i in range(self.counts[split]):
            path = pathlib.Path(self.data_dir).parent / f"{split}{i}.jpg"
            path.write_bytes(self.image(i))
            yield (
                f"{split}{i}",
                {
                    "image": path,
                    "attributes": {name: bool(labels(i)[j]) for j, name in enumerate(stock.ATTR_HEADINGS)},
                    "landmarks": dict(zip(stock.LANDMARK_HEADINGS, map(int, POINTS.split()), strict=True)),
                    "identity": {"Identity_No": i},
                },
            )


COUNTS = {"train": 5, "validation": 2, "test": 3}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, jpeg):
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "celeb_a").mkdir()
    Stock(jpeg, COUNTS, data_dir=str(folder)).download_and_prepare()
    return folder


@pytest.mark.parametrize("place", ["", "celeb_a", "celeb_a/2.1.0"])
def test_a_prepared_celeb_a_is_found(prepared, place):
    splits = collections.Counter(reference.split for reference in references(prepared / place).values())
    assert splits == {"train": 5, "validation": 2, "test": 3}


def test_records_of_a_prepared_celeb_a_are_what_tensorflow_datasets_reads(prepared):
    builder = CelebA(str(prepared))
    records = [builder.load(pickle.loads(pickle.dumps(reference))) for reference in builder.references()]
    expected = tfds.builder_from_directory(prepared / "celeb_a" / "2.1.0").as_dataset(
        split="train",
        decoders={"image": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(add_tfds_id=True),
    )
    for record, example in zip(records, expected.as_numpy_iterator(), strict=False):
        assert record.id == example["tfds_id"].decode()
        assert record.image == example["image"]
        assert record.labels["attributes"].tolist() == [
            int(example["attributes"][name]) for name in CelebA.ANNOTATIONS["attributes"].names
        ]
        np.testing.assert_allclose(record.labels["landmarks"][1], [106.5 / 178, 113.5 / 218], rtol=1e-6)
    assert len({record.id for record in records}) == len(records) == 10


def test_the_official_files_come_before_a_prepared_celeb_a(release, jpeg):
    (release / "celeb_a").mkdir()
    Stock(jpeg, COUNTS, data_dir=str(release)).download_and_prepare()
    assert list(references(release)) == list(NAMES)


def test_damage_in_a_prepared_celeb_a_costs_only_what_lies_behind_it(prepared, tmp_path):
    copy = tmp_path / "2.1.0"
    copy.mkdir()
    for path in (prepared / "celeb_a" / "2.1.0").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    shard = copy / "celeb_a-train.tfrecord-00000-of-00001"
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    found = problems(copy)
    assert [name.rpartition("__")[2] for name in found] == ["2", "3", "4"]
    assert all("can't be read from record 2 of 5 on" in reason for reason in found.values())
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no celeb_a-train.tfrecord-00000-of-00001. Prepare celeb_a"):
        CelebA(str(copy)).check()


def test_a_prepared_celeb_a_without_a_split_or_of_another_kind_is_refused(tmp_path, jpeg):
    (tmp_path / "celeb_a").mkdir()
    Stock(jpeg, {"train": 1}, data_dir=str(tmp_path)).download_and_prepare()
    with pytest.raises(ValueError, match=r"has no split \['test', 'validation'\]"):
        CelebA(str(tmp_path)).check()
    features = tmp_path / "celeb_a" / "2.1.0" / "features.json"
    features.write_text(features.read_text().replace('"Young"', '"Old"'))
    with pytest.raises(ValueError, match=r"has no \['attributes/Young'\]"):
        CelebA(str(tmp_path)).check()


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"the CelebA sample is not at {SAMPLE}")
def test_the_real_sample():
    builder = CelebA(str(SAMPLE))
    builder.check()
    found = list(builder.references())
    assert collections.Counter(r.split for r in found) == {"train": 8000, "validation": 1000, "test": 1000}
    record = builder.load(found[0])
    first = (SAMPLE / "list_attr_celeba.txt").read_text().splitlines()[2].split()
    assert record.id == first[0] == "000019.jpg"
    assert record.labels["attributes"].tolist() == [int(value == "1") for value in first[1:]]
    assert tf.io.decode_jpeg(record.image).shape == (218, 178, 3)

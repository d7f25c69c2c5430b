"""FacesExampleGen on a CelebA folder with every kind of bad input: nothing is lost, and the reasons name the cause."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.experimental import simple_artifacts

from components.config import DatasetConfig
from components.example_gen import FacesExampleGen
from components.example_gen.checks import check_record
from components.example_gen.executor import Executor, keep_labels
from components.images.decoding import decode_and_resize
from components.record import FaceRecord, RecordError
from components.tasks.annotation import Annotation
from keras_models.attributes import CELEBA_ATTRIBUTES

pytestmark = pytest.mark.slow

SPREAD = ("--direct_running_mode=multi_threading", "--direct_num_workers=2")
SPLITS = {"0": "train", "1": "validation", "2": "test"}
COLOUR = (200, 100, 50)
CELEB_A = DatasetConfig("celeb_a")
NO_SPLIT = "no split"


def encoded(mode="RGB", file_format="JPEG", colour=COLOUR, size=(40, 48)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).convert(mode).save(file, file_format)
    return file.getvalue()


def noise(seed=0) -> bytes:
    """An image that fills several kilobytes, so that a part of it can be cut off."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (80, 60, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


def sixteen_bit() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((48, 40), 0x9ABC, np.uint16)).save(file, "PNG")
    return file.getvalue()


# name: (partition, file)
GOOD = {
    "000001.jpg": ("0", noise()),
    "cmyk.jpg": ("0", encoded("CMYK")),
    "deep.png": ("0", sixteen_bit()),
    "deep.jpg": ("0", sixteen_bit()),
    "grey.jpg": ("0", encoded("L")),
    "alpha.png": ("1", encoded("RGBA", "PNG")),
    "gesicht_ä_顔.jpg": ("1", noise(1)),
    "000002.jpg": ("2", noise(2)),
}
# name: (partition, file or None, what the reason says)
UNREADABLE = {
    "truncated.jpg": ("0", noise(3)[:-700], "can't be decoded"),
    "torn.png": ("1", encoded("RGB", "PNG")[:-30], "can't be decoded"),
    "empty.jpg": ("0", b"", "file is empty"),
    "text.jpg": ("1", b"no image at all", "neither JPEG nor PNG: it starts with b'no image'"),
    "moving.jpg": ("2", encoded("P", "GIF"), "neither JPEG nor PNG: it starts with b'GIF"),
    "missing.jpg": ("2", None, "missing.jpg"),
}
# name: (labels, what the reason says); a row that the lists alone show to be wrong belongs to no split
MISLABELLED = {
    "long.jpg": ("1 " * 41, "41 values for long.jpg; expected 40"),
    "two.jpg": ("1 " * 39 + "2", "label '2'; expected -1 or 1"),
}
EXPECTED_COUNTS = {
    "train": {"read": 7, "kept": 5, "quarantined": 2},
    "validation": {"read": 4, "kept": 2, "quarantined": 2},
    "test": {"read": 3, "kept": 1, "quarantined": 2},
    NO_SPLIT: {"read": 2, "kept": 0, "quarantined": 2},
}


def labels(index: int) -> list[int]:
    return [int((j + index) % 3 == 0) for j in range(40)]


def write_folder(folder: Path) -> Path:
    """The official layout; "000001.jpg" alone has landmarks."""
    images = folder / "img_align_celeba"
    images.mkdir(parents=True)
    files = {name: (row[0], row[1]) for name, row in {**GOOD, **UNREADABLE}.items()}
    files.update({name: ("0", noise(9)) for name in MISLABELLED})
    rows, partition = [], []
    for index, (name, (split, content)) in enumerate(files.items()):
        values = " ".join(str(2 * label - 1) for label in labels(index))
        rows.append(f"{name} {MISLABELLED[name][0] if name in MISLABELLED else values}")
        partition.append(f"{name} {split}")
        if content is not None:
            (images / name).write_bytes(content)
    names = ["lefteye", "righteye", "nose", "leftmouth", "rightmouth"]
    lists = {
        "list_attr_celeba.txt": [str(len(rows)), " ".join(CELEBA_ATTRIBUTES), *rows],
        "list_eval_partition.txt": partition,
        "list_landmarks_align_celeba.txt": [
            "1",
            " ".join(f"{name}_{axis}" for name in names for axis in "xy"),
            "000001.jpg 10 20 50 20 30 40 15 60 45 60",
        ],
    }
    for name, lines in lists.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return folder


class Ingested:
    """What a run of the executor left."""

    def __init__(self, data_dir: Path, out: Path, beam_args=(), datasets=(CELEB_A,)):
        self.examples, self.ingestion = standard_artifacts.Examples(), simple_artifacts.Metrics()
        self.examples.uri, self.ingestion.uri = str(out / "examples"), str(out / "ingestion")
        component = FacesExampleGen(datasets, str(data_dir), fingerprint="", code_version="")
        Executor(Executor.Context(beam_pipeline_args=list(beam_args))).Do(
            {}, {"examples": [self.examples], "ingestion": [self.ingestion]}, component.exec_properties
        )

    def serialized(self, split: str) -> list[bytes]:
        files = tf.io.gfile.glob(examples_utils.get_split_file_patterns([self.examples], split))
        return [e.numpy() for e in tf.data.TFRecordDataset(sorted(files), "GZIP")]

    def records(self, split: str) -> dict[str, FaceRecord]:
        records = [FaceRecord.from_example(tf.train.Example.FromString(e)) for e in self.serialized(split)]
        return {record.id: record for record in records}

    def quarantine(self) -> dict[str, dict]:
        rows = [
            json.loads(line)
            for file in sorted(Path(self.ingestion.uri).glob("quarantine*.jsonl"))
            for line in file.read_text("utf-8").splitlines()
        ]
        assert len({row["id"] for row in rows}) == len(rows)
        return {row["id"]: row for row in rows}

    def counts(self) -> dict[str, dict[str, int]]:
        return json.loads(Path(self.ingestion.uri, "counts.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("celeba"))


@pytest.fixture(scope="module")
def ingested(folder, tmp_path_factory):
    return Ingested(folder, tmp_path_factory.mktemp("ingested"))


def test_what_is_read_is_kept_or_quarantined(ingested):
    assert ingested.counts() == EXPECTED_COUNTS
    quarantine = ingested.quarantine()
    for split, counts in ingested.counts().items():
        assert counts["read"] == counts["kept"] + counts["quarantined"]
        assert counts["kept"] == (0 if split == NO_SPLIT else len(ingested.serialized(split)))
        assert counts["quarantined"] == sum(row["split"] == split for row in quarantine.values())
    total = sum(counts["read"] for counts in ingested.counts().values())
    assert total == len(GOOD) + len(UNREADABLE) + len(MISLABELLED)


@pytest.mark.parametrize("name", [*UNREADABLE, *MISLABELLED])
def test_the_reason_names_the_problem(ingested, name):
    row = ingested.quarantine()[name]
    assert row["split"] == (SPLITS[UNREADABLE[name][0]] if name in UNREADABLE else NO_SPLIT)
    assert (UNREADABLE[name][2] if name in UNREADABLE else MISLABELLED[name][1]) in row["reason"]
    assert "\n" not in row["reason"]


@pytest.mark.parametrize("split", SPLITS.values())
def test_records_are_the_files_as_found_in_the_order_of_the_list(ingested, split):
    expected = {name: content for name, (place, content) in GOOD.items() if SPLITS[place] == split}
    records = ingested.records(split)
    assert list(records) == list(expected)
    for name, record in records.items():
        assert record.image == expected[name]
        assert record.dataset == "celeb_a"
        assert record.labels["attributes"].tolist() == labels(list(GOOD).index(name))


def test_a_label_that_is_absent_is_absent_from_the_example(ingested):
    first, *others = map(tf.train.Example.FromString, ingested.serialized("train"))
    always = {"image/encoded", "image/id", "dataset", "attributes"}
    assert first.features.feature.keys() == always | {"landmarks"}
    assert len(first.features.feature["landmarks"].float_list.value) == 10
    assert all(example.features.feature.keys() == always for example in others)


def test_the_artifact_says_what_it_holds(ingested):
    assert artifact_utils.decode_split_names(ingested.examples.split_names) == ["train", "validation", "test"]
    assert examples_utils.get_payload_format(ingested.examples) == example_gen_pb2.FORMAT_TF_EXAMPLE
    assert examples_utils.get_file_format(ingested.examples) == "tfrecords_gzip"


@pytest.mark.parametrize(
    ("name", "colour"),
    [("cmyk.jpg", COLOUR), ("alpha.png", COLOUR), ("deep.png", (0x9A,) * 3), ("deep.jpg", (0x9A,) * 3)],
)
def test_unusual_images_keep_their_colours(ingested, name, colour):
    record = (ingested.records("train") | ingested.records("validation"))[name]
    pixels = decode_and_resize(tf.constant(record.image), (48, 40)).numpy()
    np.testing.assert_allclose(pixels, np.broadcast_to(colour, pixels.shape), atol=4)


def test_a_second_run_is_equal(folder, ingested, tmp_path):
    again = Ingested(folder, tmp_path)
    assert again.counts() == ingested.counts()
    assert again.quarantine() == ingested.quarantine()
    for split in SPLITS.values():
        assert again.serialized(split) == ingested.serialized(split)


def test_several_workers_find_the_same(folder, ingested, tmp_path):
    spread = Ingested(folder, tmp_path, SPREAD)
    assert spread.counts() == ingested.counts()
    assert spread.quarantine() == ingested.quarantine()
    for split in SPLITS.values():
        assert sorted(spread.serialized(split)) == sorted(ingested.serialized(split))


def test_the_zip_as_downloaded_gives_the_same_records(ingested, tmp_path):
    folder = write_folder(tmp_path / "celeba")
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for path in sorted((folder / "img_align_celeba").iterdir()):
            archive.write(path, f"img_align_celeba/{path.name}")
            path.unlink()
    (folder / "img_align_celeba").rmdir()
    zipped = Ingested(folder, tmp_path / "out")
    assert zipped.counts() == ingested.counts()
    assert zipped.quarantine().keys() == ingested.quarantine().keys()
    for split in SPLITS.values():
        assert zipped.serialized(split) == ingested.serialized(split)


@pytest.mark.parametrize("name", ["list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba"])
def test_a_missing_official_file_is_told_before_anything_is_written(tmp_path, name):
    folder = write_folder(tmp_path / "celeba")
    (folder / name).rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=name):
        Ingested(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def drawn(name: str, *labels: str, **options) -> DatasetConfig:
    sizes = {"num_train": 3, "num_validation": 1, "num_test": 2, "image_size": 32}
    return DatasetConfig(name, {**sizes, **options}, builder="synthetic_faces", labels=labels)


# The first and the last have the same ids.
SEVERAL = (
    drawn("masks", "parsing"),
    DatasetConfig("celeb_a", labels=("attributes",)),
    drawn("moods", "emotion", "landmarks", "clothing", seed=1, num_validation=0),
)
SEVERAL_SPLITS = [f"{name}_{split}" for name in ("masks", "celeb_a", "moods") for split in SPLITS.values()]


@pytest.fixture(scope="module")
def data_dir(folder, tmp_path_factory):
    """A folder for the one data set that needs files, under a link of another spelling."""
    together = tmp_path_factory.mktemp("together")
    (together / "CelebA").symlink_to(folder)
    return together


@pytest.fixture(scope="module")
def several(data_dir, tmp_path_factory):
    return Ingested(data_dir, tmp_path_factory.mktemp("several"), datasets=SEVERAL)


def test_of_several_data_sets_each_has_splits_of_its_own(several, ingested):
    assert artifact_utils.decode_split_names(several.examples.split_names) == SEVERAL_SPLITS
    for split in SPLITS.values():
        celeb_a = several.records(f"celeb_a_{split}")
        assert list(celeb_a) == list(ingested.records(split))
        assert {record.dataset for record in celeb_a.values()} == {"celeb_a"}
    assert list(several.records("masks_train")) == [f"synthetic-{i:08d}" for i in range(3)]
    assert {record.dataset for record in several.records("masks_test").values()} == {"masks"}


def test_what_is_read_of_several_is_kept_or_quarantined(several):
    counts, quarantine = several.counts(), several.quarantine()
    assert list(counts) == [*SEVERAL_SPLITS, "celeb_a_no split"]
    assert {split.removeprefix("celeb_a_"): counts[split] for split in counts if split.startswith("celeb_a")} == (
        EXPECTED_COUNTS
    )
    assert counts["masks_train"] == {"read": 3, "kept": 3, "quarantined": 0}
    assert counts["moods_validation"] == {"read": 0, "kept": 0, "quarantined": 0}
    for split, counted in counts.items():
        assert counted["read"] == counted["kept"] + counted["quarantined"]
        assert counted["kept"] == (len(several.serialized(split)) if split in SEVERAL_SPLITS else 0)
        assert counted["quarantined"] == sum(row["split"] == split for row in quarantine.values())
    total = sum(counted["read"] for counted in counts.values())
    assert total == 6 + len(GOOD) + len(UNREADABLE) + len(MISLABELLED) + 5
    assert quarantine["torn.png"]["split"] == "celeb_a_validation"
    assert quarantine["two.jpg"]["split"] == "celeb_a_no split"


@pytest.mark.parametrize(
    ("split", "kept"),
    [
        ("masks_train", {"parsing/encoded"}),
        ("moods_test", {"emotion", "landmarks", "clothing"}),
        ("celeb_a_train", {"attributes"}),
    ],
)
def test_labels_that_a_data_set_does_not_give_are_dropped(several, split, kept):
    for example in map(tf.train.Example.FromString, several.serialized(split)):
        assert example.features.feature.keys() == {"image/encoded", "image/id", "dataset", *kept}


def test_a_label_that_is_dropped_need_not_be_right():
    """Else a data set for one task would lose images for the faults of another's labels."""
    labels = {"attributes": [7], "parsing": parsing((1, 1)), "emotion": 9, "clothing": 3}
    record = FaceRecord("a", "test", encoded(), labels)
    kept = keep_labels(record, DatasetConfig("other", labels=("landmarks", "clothing")))
    assert kept == FaceRecord("a", "other", record.image, {"clothing": 3})
    check_record(kept, ANNOTATIONS)
    assert keep_labels(record, DatasetConfig("other")) == dataclasses.replace(record, dataset="other")


def test_several_data_sets_by_several_workers(data_dir, several, tmp_path):
    spread = Ingested(data_dir, tmp_path, SPREAD, SEVERAL)
    assert spread.counts() == several.counts()
    assert spread.quarantine() == several.quarantine()
    for split in SEVERAL_SPLITS:
        assert sorted(spread.serialized(split)) == sorted(several.serialized(split))


def test_progress_names_the_data_sets(data_dir, tmp_path, capsys):
    Ingested(data_dir, tmp_path, datasets=SEVERAL)
    assert "Reading masks, celeb_a, moods: 27 records ..." in capsys.readouterr().err


def test_a_split_that_a_data_set_lacks_is_not_made(tmp_path):
    names = [f"{number}.jpg" for number in range(20)]
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "ages.csv").write_text("\n".join(["file,age", *(f"{name},30" for name in names)]))
    for name in names:
        (tmp_path / "faces" / name).write_bytes(noise())
    options = {"table": "ages.csv", "image": "file", "numbers": ["age"], "split": None, "shares": [0.5, 0, 0.5]}
    ingested = Ingested(tmp_path / "faces", tmp_path / "out", datasets=(DatasetConfig("table", options),))
    assert artifact_utils.decode_split_names(ingested.examples.split_names) == ["train", "test"]
    assert list(ingested.counts()) == ["train", "test"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("clothing", "mood"), "'a' should keep mood; its labels: attributes, landmarks, parsing, emotion, clothing"),
        (("pose", "mood"), "'a' should keep mood, pose; its"),
    ],
)
def test_a_label_that_a_data_set_has_not_got_is_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        FacesExampleGen([CELEB_A, drawn("a", *labels)], "", fingerprint="", code_version="")


def test_another_option_of_one_data_set_is_another_cache_key():
    def properties(*datasets):
        return FacesExampleGen(datasets, "", fingerprint="", code_version="").exec_properties

    whole = properties(*SEVERAL)
    assert whole == properties(*SEVERAL)
    for changed in ({"options": {"seed": 2}}, {"labels": ("emotion",)}, {"name": "others"}):
        other = properties(*SEVERAL[:2], dataclasses.replace(SEVERAL[2], **changed))
        assert {name for name in whole if whole[name] != other[name]} == {"datasets"}


def parsing(size=(40, 48), mode="L", file_format="PNG") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, file_format)
    return file.getvalue()


ANNOTATIONS = {
    "attributes": Annotation("multi_label", ("a", "b", "c")),
    "landmarks": Annotation("landmarks", ("x", "y")),
    "parsing": Annotation("segmentation", ("background", "skin")),
    "emotion": Annotation("classification", tuple("0123456")),
    "clothing": Annotation("classification", tuple("0123456789")),
}


def check(image=None, crop=None, **labels):
    check_record(FaceRecord("a", "test", image or encoded(), labels, crop=crop), ANNOTATIONS)


@pytest.mark.parametrize(
    ("label_map", "reason"),
    [
        (parsing((48, 40)), "parsing: the label map is 48x40, the image, upright, 40x48"),
        (parsing(mode="RGB"), "parsing: the label map is 8-bit RGB, expected 8-bit grey"),
        (parsing(mode="LA"), "the label map is 8-bit grey with alpha"),
        (parsing(mode="P"), "palette"),  # TensorFlow would read its colours
        (sixteen_bit(), "the label map is 16-bit grey"),  # TensorFlow would read the upper byte
        (parsing(file_format="JPEG"), "parsing: the label map is no PNG"),
        (b"no image", "the label map is no PNG"),
        (b"", "the label map is no PNG"),
        (parsing()[:-20], "the label map can't be decoded"),
    ],
    ids=["size", "channels", "alpha", "palette", "depth", "jpeg", "text", "empty", "cut off"],
)
def test_label_maps_that_are_refused(label_map, reason):
    with pytest.raises(RecordError, match=reason):
        check(parsing=label_map)


@pytest.mark.parametrize("size", [(40, 48), (1, 1), (7, 9)])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_label_maps_that_are_kept(size, file_format):
    check(image=encoded(file_format=file_format, size=size), parsing=parsing(size))


def test_a_label_map_is_of_the_upright_photograph():
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    stored = io.BytesIO()
    Image.new("RGB", (48, 40)).save(stored, "JPEG", exif=exif)
    check(image=stored.getvalue(), parsing=parsing((40, 48)))
    with pytest.raises(RecordError, match="the label map is 48x40, the image, upright, 40x48"):
        check(image=stored.getvalue(), parsing=parsing((48, 40)))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"attributes": [0, 1]}, "attributes: 2 values, expected 3"),
        ({"attributes": [0, 1, 2]}, "attributes: label 2, expected 0 or 1, or -1 if not annotated"),
        ({"attributes": [0, 1, -2]}, "attributes: label -2, expected 0 or 1, or -1"),
        ({"landmarks": [[0.5, np.nan], [0, 0]]}, "landmarks: a coordinate is not a finite number"),
        ({"landmarks": [[0.5, 0.5]]}, "landmarks: 2 coordinates, expected 4"),
        ({"emotion": 7}, "emotion: class 7, expected 0 to 6"),
        ({"emotion": -1}, "emotion: class -1, expected 0 to 6"),
        ({"clothing": 10}, "clothing: class 10, expected 0 to 9"),
        ({"mood": 0}, "a label 'mood', but the data set has attributes, landmarks, parsing, emotion, clothing"),
    ],
)
def test_labels_that_are_refused(fields, reason):
    with pytest.raises(RecordError, match=reason):
        check(**fields)


@pytest.mark.parametrize(
    "labels",
    [{"emotion": 0}, {"emotion": 6}, {"clothing": 9}, {"attributes": [0, 1, -1]}, {"landmarks": [[-1, 2], [0.5, 0.5]]}],
)
def test_labels_that_are_kept(labels):
    check(**labels)
    as_written = FaceRecord("a", "test", encoded(), labels).to_example()
    check_record(FaceRecord.from_example(as_written), ANNOTATIONS)


def test_a_record_without_labels_needs_no_annotations():
    check_record(FaceRecord("a", "test", encoded()), {})


@pytest.mark.parametrize(
    ("crop", "reason"),
    [
        ((0.2, 0.2, 0.6), r"the crop \[0.2, 0.2, 0.6\] is not four finite numbers: top, left, height, width"),
        ((), "not four finite numbers"),
        ((0.1,) * 5, "not four finite numbers"),
        ((0.2, np.nan, 0.6, 0.6), "not four finite numbers"),
        ((0.2, 0.2, np.inf, 0.6), "not four finite numbers"),
        ((0.2, 0.2, 0, 0.6), "has no area: height and width must be positive"),
        ((0.2, 0.2, 0.6, -0.1), "has no area"),
        ((-0.1, 0.2, 0.6, 0.6), "reaches beyond the image: its sides are shares from 0 to 1"),
        ((0.2, -0.1, 0.6, 0.6), "reaches beyond the image"),
        ((0.5, 0.2, 0.6, 0.6), "reaches beyond the image"),
        ((0.2, 0.2, 0.6, 0.81), "reaches beyond the image"),
        ((48, 40, 150, 150), "reaches beyond the image"),
    ],
)
def test_crops_that_are_refused(crop, reason):
    with pytest.raises(RecordError, match=reason):
        check(crop=crop)


@pytest.mark.parametrize(
    "crop", [(0, 0, 1, 1), (0.2, 0.2, 0.6, 0.6), (0.7, 0.1, 0.3, 0.9), (0.9, 0, 0.1 + 5e-7, 1), (-5e-7, 0, 1, 1)]
)
def test_crops_that_are_kept(crop):
    check(crop=crop)
    as_written = FaceRecord("a", "test", encoded(), crop=crop).to_example()
    check_record(FaceRecord.from_example(as_written), ANNOTATIONS)


def test_a_jpeg_cut_off_anywhere_is_found():
    whole = noise()
    check(image=whole)
    for length in range(3, len(whole) - 16, 97):
        with pytest.raises(RecordError, match="can't be decoded"):
            check(image=whole[:length])


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"optimize": True, "quality": 5}])
def test_kinds_of_jpeg_that_are_kept(options):
    file = io.BytesIO()
    Image.open(io.BytesIO(noise())).save(file, "JPEG", **options)
    check(image=file.getvalue())

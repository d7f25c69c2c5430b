"""A user's own table: what its columns become, which rows are refused, and that nothing outside the folder is read."""

import collections
import csv
import io
import pathlib
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import quarantine
import tensorflow as tf

from components.config import DatasetConfig, from_json, to_json
from components.datasets import build_dataset, builder_class
from components.datasets.table import Table
from components.example_gen.checks import check_record
from components.record import RecordError
from components.tasks import kinds
from components.tasks.annotation import Annotation

SAMPLE = pathlib.Path(__file__).parents[4] / "shared" / "data" / "UTKFace"
needs_regression = pytest.mark.skipif("regression" not in kinds(), reason="there is no kind regression yet")

LABELS = {"yes_no": {"attributes": ["male", "smiling"]}, "classes": {"mood": ["happy", "sad"]}}
ROWS = [
    {"image": "a.jpg", "split": "train", "male": "1", "smiling": "0", "mood": "sad", "note": "x"},
    {"image": "b/c.jpg", "split": "val", "male": "", "smiling": "Yes", "mood": "", "note": "y, z"},
    {"image": "d.jpg", "split": "TEST", "male": "", "smiling": "", "mood": "0", "note": ""},
]
EXPECTED = [
    ("a.jpg", "train", {"attributes": [1, 0], "mood": 1}),
    ("b/c.jpg", "validation", {"attributes": [-1, 1]}),
    ("d.jpg", "test", {"mood": 0}),
]


def write_csv(folder, rows, start="", end="\n", name="labels.csv"):
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]), lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    (folder / name).write_bytes((start + file.getvalue()).encode())


def write_parquet(folder, columns, name="labels.parquet"):
    pa.parquet.write_table(pa.table(columns), folder / name)


@pytest.fixture
def folder(tmp_path, jpeg):
    """The images of ROWS and their table, beside a file that is none of them."""
    place = tmp_path / "faces"
    (place / "b").mkdir(parents=True)
    for shade, row in enumerate(ROWS):
        (place / row["image"]).write_bytes(jpeg(shade, (8, 8)))
    (tmp_path / "outside.jpg").write_bytes(jpeg(99, (8, 8)))
    write_csv(place, ROWS)
    return place


def found(builder):
    """(id, split, labels) of all records, which ingestion takes."""
    builder.check()
    rows = []
    for reference in builder.references():
        record = builder.load(reference)
        check_record(record, builder.annotations)
        labels = {name: np.asarray(value).tolist() for name, value in record.labels.items()}
        rows.append((record.id, reference.split, labels))
    return rows


def problems(folder, **options):
    return quarantine.reasons(Table(str(folder), **{**LABELS, **options}))


def changed(**values):
    """ROWS with other values in the second row."""
    return [ROWS[0], {**ROWS[1], **values}, ROWS[2]]


class TestWhatColumnsBecome:
    def test_records(self, folder):
        builder = Table(str(folder), **LABELS)
        assert builder.annotations == {
            "attributes": Annotation("multi_label", ("male", "smiling")),
            "mood": Annotation("classification", ("happy", "sad")),
        }
        assert found(builder) == EXPECTED
        first = next(builder.references())
        record = Table(str(folder), **LABELS).load(pickle.loads(pickle.dumps(first)))
        assert record.image == (folder / "a.jpg").read_bytes()
        assert (record.dataset, record.labels["attributes"].dtype) == ("table", np.int64)

    @pytest.mark.parametrize(("start", "end"), [("\ufeff", "\n"), ("", "\r\n"), ("\ufeff", "\r\n")])
    def test_as_spreadsheets_save_it(self, folder, start, end):
        write_csv(folder, ROWS, start, end)
        assert found(Table(str(folder), **LABELS)) == EXPECTED

    def test_blank_lines_and_blanks_around_values(self, folder):
        (folder / "labels.csv").write_text("image , split,mood\n\n a.jpg, train , sad\n\n")
        assert found(Table(str(folder), classes=LABELS["classes"])) == [("a.jpg", "train", {"mood": 1})]

    def test_a_quoted_value_may_hold_a_line_break(self, folder):
        write_csv(folder, changed(note="one\ntwo,\n\nthree"))
        assert found(Table(str(folder), **LABELS)) == EXPECTED

    def test_other_columns_table_and_folder(self, folder):
        (folder / "lists").mkdir()
        rows = [{"file": "c.jpg", "part": "eval", "mood": "happy"}]
        write_csv(folder, rows, name="lists/mine.csv")
        builder = Table(
            str(folder), table="lists/mine.csv", images="b/", image="file", split="part", classes=LABELS["classes"]
        )
        assert found(builder) == [("c.jpg", "validation", {"mood": 0})]

    def test_a_backslash_separates(self, folder):
        write_csv(folder, changed(image="b\\c.jpg"))
        assert found(Table(str(folder), **LABELS)) == EXPECTED

    def test_parquet_with_types(self, folder):
        columns = {
            "image": ["a.jpg", "b/c.jpg", "d.jpg"],
            "split": pa.array(["train", "val", "TEST"]).dictionary_encode(),
            "male": pa.array([1.0, None, float("nan")]),
            "smiling": pa.array([False, True, None]),
            "mood": pa.array([1, None, 0]),
        }
        write_parquet(folder, columns)
        assert found(Table(str(folder), table="labels.parquet", **LABELS)) == EXPECTED

    def test_whole_numbers_as_pandas_writes_them_beside_missing_ones(self, folder):
        write_csv(folder, [{**row, "male": row["male"] and "1.0", "mood": "1.0"} for row in ROWS])
        assert [labels["mood"] for _, _, labels in found(Table(str(folder), **LABELS))] == [1, 1, 1]

    @pytest.mark.parametrize(
        ("text", "value"),
        [("1", 1), ("0", 0), ("TRUE", 1), ("False", 0), ("yes", 1), ("No", 0), ("", -1)],
    )
    def test_yes_or_no(self, folder, text, value):
        write_csv(folder, changed(male=text))
        assert found(Table(str(folder), **LABELS))[1][2]["attributes"] == [value, 1]

    def test_names_that_are_numbers_are_no_indices(self, folder):
        write_csv(folder, [{**row, "mood": stars} for row, stars in zip(ROWS, "131", strict=True)])
        classes = {"mood": ["1", "2", "3"]}
        assert [labels["mood"] for _, _, labels in found(Table(str(folder), classes=classes))] == [0, 2, 0]
        write_csv(folder, changed(mood="0"))
        reason = quarantine.reasons(Table(str(folder), classes=classes))["labels.csv:3"]
        assert reason == "labels.csv:3: mood '0'; expected 1, 2, 3, or blank"

    @needs_regression
    def test_numbers(self, folder):
        write_csv(folder, [{**row, "age": age} for row, age in zip(ROWS, ("31", "", "0.5"), strict=True)])
        builder = Table(str(folder), numbers=["age"])
        assert builder.annotations == {"age": Annotation("regression")}
        assert [labels for _, _, labels in found(builder)] == [{"age": 31.0}, {}, {"age": 0.5}]

    def test_the_options_travel_as_json(self, folder):
        config = DatasetConfig("faces", LABELS, builder="table")
        assert builder_class("table") is Table
        builder = build_dataset(from_json(to_json(config)), str(folder))
        assert found(builder) == EXPECTED
        assert build_dataset(config, None).annotations == builder.annotations

    def test_tensorflow_datasets_prepares_it(self, folder, tmp_path):
        builder = Table(str(folder), data_dir=str(tmp_path / "prepared"), **LABELS)
        builder.download_and_prepare()
        (example,) = builder.as_dataset(split="validation")
        assert example["attributes"].numpy().tolist() == [-1, 1] and example["mood"].shape == (0,)


class TestSplits:
    MANY = tuple({"image": f"{i}.jpg", "person": f"p{i % 50}", "mood": ""} for i in range(400))

    def splits(self, folder, rows=None, **options):
        write_csv(folder, rows or self.MANY)
        builder = Table(str(folder), classes=LABELS["classes"], split=None, **options)
        return builder, {reference.id: reference.split for reference in builder.references()}

    def test_by_the_path_about_as_the_shares_say(self, folder):
        builder, found = self.splits(folder)
        counts = collections.Counter(found.values())
        assert builder.SPLITS == ("train", "validation", "test")
        assert 300 < counts["train"] < 340 and 20 < counts["validation"] < 60 and 20 < counts["test"] < 60

    def test_a_row_less_moves_no_other(self, folder):
        _, found = self.splits(folder)
        _, fewer = self.splits(folder, self.MANY[::-3])
        assert fewer == {name: found[name] for name in fewer}

    def test_it_is_the_same_everywhere(self, folder):
        # The first 8 bytes of each path's sha256, as shares of 2**64:
        # 0.224, 0.298, 0.534, 0.854, 0.676, 0.249, 0.488, 0.526
        _, found = self.splits(folder)
        assert [found[f"{i}.jpg"] for i in range(8)] == [
            "train",
            "train",
            "train",
            "validation",
            "train",
            "train",
            "train",
            "train",
        ]

    def test_a_person_is_on_one_side(self, folder):
        _, found = self.splits(folder, group="person")
        sides = collections.defaultdict(set)
        for row in self.MANY:
            sides[row["person"]].add(found[row["image"]])
        assert all(len(splits) == 1 for splits in sides.values())
        assert {split for splits in sides.values() for split in splits} == {"train", "validation", "test"}

    def test_a_person_that_is_not_named(self, folder):
        write_csv(folder, [{**ROWS[0], "person": "p"}, {**ROWS[1], "person": ""}])
        assert problems(folder, split=None, group="person") == {
            "labels.csv:3": "labels.csv:3: person is blank: it decides to which split the row belongs"
        }

    def test_a_share_of_none(self, folder):
        builder, found = self.splits(folder, shares=[0.5, 0, 0.5])
        assert builder.SPLITS == ("train", "test")
        assert set(found.values()) == {"train", "test"}
        assert build_dataset(DatasetConfig("table", {"split": None, "shares": [1, 0, 0]}), None).SPLITS == ("train",)


class TestQuarantine:
    @pytest.mark.parametrize(
        ("values", "reason"),
        [
            ({"split": "dev"}, "split 'dev'; expected train, validation, val, eval, test"),
            ({"split": ""}, "split ''; expected train"),
            ({"male": "-1"}, "male '-1'; expected 1, 0, true, false, yes, no, or blank"),
            ({"smiling": "maybe"}, "smiling 'maybe'"),
            ({"mood": "Happy"}, "mood 'Happy'; expected 0, 1, happy, sad, or blank"),
            ({"mood": "2"}, "mood '2'"),
            ({"mood": "-1"}, "mood '-1'"),
            ({"image": ""}, "image is blank; expected the path of an image"),
        ],
    )
    def test_a_value_that_cannot_be(self, folder, values, reason):
        write_csv(folder, changed(**values))
        ((name, text),) = problems(folder).items()
        assert name == "labels.csv:3"
        assert text.startswith(f"labels.csv:3: {reason}")

    @needs_regression
    @pytest.mark.parametrize("text", ["old", "nan", "inf", "1e39", "1,5"])
    def test_a_number_that_is_none(self, folder, text):
        write_csv(folder, [{**ROWS[0], "age": text}])
        reason = f"labels.csv:2: age {text!r}; expected a finite number, or blank"
        assert problems(folder, numbers=["age"]) == {"labels.csv:2": reason}

    def test_an_image_in_several_rows(self, folder):
        write_csv(folder, [*ROWS, {**ROWS[1], "image": "./b//c.jpg"}])
        reason = "2 rows have the image 'b/c.jpg'; expected one"
        assert problems(folder) == {f"labels.csv:{i}": f"labels.csv:{i}: {reason}" for i in (3, 5)}

    @pytest.mark.parametrize(
        "path",
        ["../outside.jpg", "b/../../outside.jpg", "..\\outside.jpg", "{root}/outside.jpg", "file://{root}/outside.jpg"],
    )
    def test_a_path_that_leads_out(self, folder, path):
        path = path.format(root=folder.parent)
        write_csv(folder, changed(image=path))
        reason = f"image {path!r} leads out of the folder of the images; expected a path in it"
        assert problems(folder) == {"labels.csv:3": f"labels.csv:3: {reason}"}

    def test_a_path_out_of_the_images_into_the_table_s_folder(self, folder):
        write_csv(folder, [{**ROWS[1], "image": "c.jpg"}, {**ROWS[0], "image": "../a.jpg"}])
        ((name, reason),) = problems(folder, images="b").items()
        assert name == "labels.csv:3" and "leads out" in reason

    @pytest.mark.parametrize("path", ["none.jpg", "b", ".", "a.jpg/x"])
    def test_an_image_that_is_not_there(self, folder, path):
        write_csv(folder, changed(image=path))
        ((name, reason),) = problems(folder).items()
        assert name == path and "can't be read" in reason

    def test_an_image_that_is_damaged(self, folder):
        (folder / "a.jpg").write_bytes(b"GIF89a")
        assert "neither JPEG nor PNG" in problems(folder)["a.jpg"]

    def test_rows_of_another_length(self, folder):
        with (folder / "labels.csv").open("a") as file:
            file.write("e.jpg,train\ne.jpg,train,1,1,sad,x,y\n")
        assert problems(folder) == {
            "labels.csv:5": "labels.csv:5: 2 values; expected 6, as in line 1",
            "labels.csv:6": "labels.csv:6: 7 values; expected 6, as in line 1",
        }

    def test_of_parquet_the_row_is_named(self, folder):
        write_parquet(folder, {"image": ["a.jpg", "d.jpg"], "split": ["train", None]})
        (reason,) = quarantine.reasons(Table(str(folder), table="labels.parquet")).values()
        assert reason.startswith("labels.parquet:2: split ''")


class TestWhatIsCheckedFirst:
    def test_no_table(self, folder):
        (folder / "labels.csv").unlink()
        with pytest.raises(FileNotFoundError, match=r"has no labels\.csv\. .*option `table`"):
            Table(str(folder)).check()

    def test_no_folder_of_images(self, folder):
        with pytest.raises(FileNotFoundError, match=r"has no images\. .*option `images`"):
            Table(str(folder), images="images").check()

    @pytest.mark.parametrize(
        ("options", "missing"),
        [
            ({"image": "path"}, "'path'"),
            ({"split": None, "group": "person"}, "'person'"),
            ({"classes": {"age": ["old", "young"]}, "yes_no": {"is": ["male", "tall"]}}, "'tall', 'age'"),
        ],
    )
    def test_a_missing_column(self, folder, options, missing):
        there = "image, split, male, smiling, mood, note"
        with pytest.raises(ValueError, match=rf"labels\.csv' has no column {missing}\. Its columns: {there}\."):
            Table(str(folder), **options).check()
        write_parquet(folder, {name: [""] for name in ROWS[0]})
        with pytest.raises(ValueError, match=rf"labels\.parquet' has no column {missing}\. Its columns: {there}\."):
            Table(str(folder), table="labels.parquet", **options).check()

    def test_a_column_twice(self, folder):
        (folder / "labels.csv").write_text("image,split,split\na.jpg,train,test\n")
        with pytest.raises(ValueError, match="several columns 'split'"):
            Table(str(folder)).check()

    @pytest.mark.parametrize(
        ("name", "content", "kind"),
        [
            ("labels.csv", b"image,split\n\xff.jpg,train\n", "CSV in UTF-8"),
            ("labels.csv", b"image,split\n\0.jpg,train\n", "CSV in UTF-8"),
            ("labels.parquet", b"image,split\n", "Parquet"),
        ],
    )
    def test_no_such_file(self, folder, name, content, kind):
        (folder / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}' can't be read as {kind}"):
            list(Table(str(folder), table=name).references())

    @pytest.mark.parametrize("content", ["", "image,split\n"])
    def test_an_empty_table(self, folder, content):
        (folder / "labels.csv").write_text(content)
        builder = Table(str(folder))
        if content:
            assert not list(builder.references())
        else:
            with pytest.raises(ValueError, match=r"no column 'image', 'split'\. Its columns: none"):
                builder.check()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"yes_no": {"mood": ["male"]}, "classes": {"mood": ["a", "b"]}}, "Two labels are called 'mood'"),
            ({"classes": {"hair colour": ["a", "b"]}}, "received 'hair colour'"),
            ({"classes": {"image": ["a", "b"]}}, "none of id, image, dataset, crop; received 'image'"),
            ({"classes": {"mood": ["a", "a"]}}, r"'mood' needs names, each once; received \['a', 'a'\]"),
            ({"yes_no": {"attributes": []}}, "'attributes' needs names"),
            ({"numbers": "age"}, r"numbers is a list of names, such as \[\"age\"\]; received 'age'"),
            ({"yes_no": {"smile": "smiling"}}, r"yes_no\['smile'\] is a list of names"),
            ({"classes": {"mood": "glad"}}, r"classes\['mood'\] is a list of names"),
            ({"images": "../faces"}, "'images' is a path in .*; received '../faces'"),
            ({"table": "/etc/passwd"}, "'table' is a path in .*; received '/etc/passwd'"),
            ({"group": "person"}, r"group='person' has no use: set split=None"),
            ({"shares": [0.5, 0.5]}, "shares are those of train, validation, test"),
            ({"shares": [0.9, 0.2, -0.1]}, "shares"),
            ({"shares": [0.8, 0.1, 0.2]}, "add up to 1"),
        ],
    )
    def test_options_that_contradict_each_other(self, options, message):
        with pytest.raises(ValueError, match=message):
            Table("somewhere", **options)

    def test_the_fingerprint_covers_table_and_images(self, folder):
        prints = [Table(str(folder), table=name).fingerprint() for name in ("labels.csv", "labels.csv")]
        assert len(set(prints)) == 1
        for name in ("labels.csv", "b/c.jpg"):
            (folder / name).write_bytes(b"other")
            prints.append(Table(str(folder)).fingerprint())
        assert len(set(prints)) == 3


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"the UTKFace sample is not at {SAMPLE}")
class TestTheRealSample:
    @pytest.fixture(scope="class")
    def builder(self):
        numbers = ["age"] if "regression" in kinds() else []
        return Table(str(SAMPLE), images="images", yes_no={"attributes": ["male"]}, numbers=numbers)

    def test_the_splits(self, builder):
        builder.check()
        references = list(builder.references())
        assert collections.Counter(r.split for r in references) == {"train": 4000, "validation": 500, "test": 500}

    def test_records_are_what_the_names_say(self, builder):
        for reference in list(builder.references())[::100]:
            record = builder.load(reference)
            check_record(record, builder.annotations)
            age, gender, *_ = reference.id.split("_")
            assert record.labels["attributes"].tolist() == [1 - int(gender)]
            assert record.labels.get("age", float(age)) == float(age)


def test_a_table_behind_a_uri(jpeg):
    """ram:// is TensorFlow's own: no function for local files knows it."""
    place = "ram://bucket/faces"
    tf.io.gfile.makedirs(f"{place}/images")
    with tf.io.gfile.GFile(f"{place}/images/a.jpg", "wb") as file:
        file.write(jpeg())
    with tf.io.gfile.GFile(f"{place}/labels.csv", "w") as file:
        file.write("image,split,male\na.jpg,train,1\n../a.jpg,train,0\ngone.jpg,train,0\n")
    options = {"images": "images", "yes_no": {"gender": ["male"]}}
    builder = build_dataset(DatasetConfig("table", options), place)
    builder.check()
    there, outside, gone = builder.references()
    assert builder.fingerprint() and builder.load(there).labels["gender"] == [1]
    for reference, reason in ((outside, "leads out of the folder"), (gone, "can't be read")):
        with pytest.raises(RecordError, match=reason):
            builder.load(reference)

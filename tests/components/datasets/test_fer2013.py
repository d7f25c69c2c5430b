import collections
import pathlib
import pickle

import numpy as np
import pytest
import quarantine
import tensorflow as tf
from PIL import Image

from components.datasets import builder_class, fer2013
from components.datasets.fer2013 import FER2013
from components.example_gen.checks import check_record
from components.record import RecordError

SAMPLE = pathlib.Path(__file__).parents[4] / "shared" / "data" / "fer2013"
# The challenge's: 0=Angry, 1=Disgust, 2=Fear, 3=Happy, 4=Sad, 5=Surprise, 6=Neutral
OFFICIAL = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
NUM_TRAIN = 5
NUM_TEST = 2
USAGES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
# emotion, Usage of each row
ROWS = ((0, "Training"), (6, "Training"), (3, "PublicTest"), (1, "PrivateTest"), (5, "Training"))


def pixels(seed):
    """[48, 48] uint8"""
    return np.random.default_rng(seed).integers(0, 256, (48, 48), np.uint8)


def row(emotion, values, usage):
    return f"{emotion},{' '.join(map(str, np.ravel(values)))},{usage}"


def write_table(folder, rows, header="emotion,pixels,Usage", end="\n"):
    (folder / "fer2013.csv").write_bytes(end.join([header, *rows, ""]).encode())


def official_rows():
    return [row(emotion, pixels(i), usage) for i, (emotion, usage) in enumerate(ROWS)]


@pytest.fixture
def table(tmp_path):
    """The original table with five rows."""
    write_table(tmp_path, official_rows())
    return tmp_path


@pytest.fixture
def folders(tmp_path):
    """Five training and two test images of each emotion."""
    for split, count in (("train", NUM_TRAIN), ("test", NUM_TEST)):
        for emotion in OFFICIAL:
            (tmp_path / split / emotion).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(pixels(i)).save(tmp_path / split / emotion / f"im{i}.png")
    return tmp_path


def problems(folder):
    return quarantine.reasons(FER2013(str(folder)))


def test_the_emotions():
    assert FER2013.ANNOTATIONS["emotion"].names == OFFICIAL
    assert set(FER2013.ANNOTATIONS) == {"emotion"}
    assert FER2013.SPLITS == ("train", "validation", "test")


def test_it_is_registered():
    assert builder_class("fer2013") is FER2013


def test_neither_layout(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"'{tmp_path}' has neither fer2013.csv nor train/ and test/ .*kaggle"):
        FER2013(str(tmp_path)).check()
    with pytest.raises(FileNotFoundError):
        FER2013(str(tmp_path / "none")).check()


def test_of_both_layouts_the_table_is_read(folders):
    write_table(folders, official_rows())
    assert [reference.id for reference in FER2013(str(folders)).references()] == [
        f"fer2013.csv:{i}" for i in range(2, 7)
    ]


class TestTheTable:
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_references_and_records(self, table, end):
        write_table(table, official_rows(), end=end)
        builder = FER2013(str(table))
        builder.check()
        references = list(builder.references())
        assert [(r.id, r.split) for r in references] == [
            (f"fer2013.csv:{line}", USAGES[usage]) for line, (_, usage) in enumerate(ROWS, start=2)
        ]
        another = FER2013(str(table))
        for i in (4, 0, 3, 1, 2):  # in any order
            record = another.load(pickle.loads(pickle.dumps(references[i])))
            assert (record.id, record.dataset, record.labels["emotion"]) == (references[i].id, "fer2013", ROWS[i][0])
            np.testing.assert_array_equal(tf.io.decode_png(record.image)[..., 0], pixels(i))
            assert record.labels.keys() == {"emotion"}
            assert record.crop is None
        assert not problems(table)

    def test_the_image_is_a_grey_png(self, table):
        builder = FER2013(str(table))
        record = builder.load(next(builder.references()))
        assert record.image.startswith(b"\x89PNG")
        assert tf.io.decode_image(record.image).shape == (48, 48, 1)

    def test_references_are_light(self, table):
        rows = [row(i % 7, pixels(i), "Training") for i in range(100)]
        write_table(table, rows)
        assert len(pickle.dumps(list(FER2013(str(table)).references()))) < len("\n".join(rows)) / 50

    def test_the_last_row_may_end_with_the_file(self, table):
        path = table / "fer2013.csv"
        path.write_bytes(path.read_bytes().rstrip(b"\n"))
        assert not problems(table)
        assert len(list(FER2013(str(table)).references())) == len(ROWS)

    def test_a_byte_order_mark_and_quotes(self, table):
        quoted = [f'{emotion},"{values}",{usage}' for emotion, values, usage in (r.split(",") for r in official_rows())]
        write_table(table, quoted, header="\ufeffemotion,pixels,Usage")
        assert not problems(table)

    @pytest.mark.parametrize(
        ("wrong", "reason"),
        [
            ("3", "fer2013.csv:3 has 1 fields; expected emotion,pixels,Usage."),
            (row(3, pixels(0), "Training,0"), "has 4 fields"),
            (row(7, pixels(0), "Training"), "fer2013.csv:3 has the emotion '7'; expected 0 to 6."),
            (row(-1, pixels(0), "Training"), "the emotion '-1'"),
            (row("happy", pixels(0), "Training"), "the emotion 'happy'"),
            (row("", pixels(0), "Training"), "the emotion ''"),
            (
                row(3, pixels(0), "Test"),
                "fer2013.csv:3 has the Usage 'Test'; expected Training, PublicTest, PrivateTest.",
            ),
            (row(3, [], "Training"), "fer2013.csv:3 has 0 pixels; expected 2304 (48x48)."),
            (row(3, pixels(0)[:-1], "Training"), "has 2256 pixels"),
            (row(3, [*pixels(0).ravel(), 0], "Training"), "has 2305 pixels"),
            (
                row(3, [256] * 2304, "Training"),
                "fer2013.csv:3 has the pixel '256'; expected a whole number from 0 to 255.",
            ),
            (row(3, [0.5] * 2304, "Training"), "the pixel '0.5'"),
            (row(3, [-1] * 2304, "Training"), "the pixel '-1'"),
            ("\x00ÿ", "has 1 fields"),
        ],
    )
    def test_a_bad_row(self, table, wrong, reason):
        rows = official_rows()
        write_table(table, [rows[0], wrong, *rows[2:]])
        ((name, found),) = problems(table).items()
        assert name == "fer2013.csv:3"
        assert reason in found
        assert len(found) < 200, "not the whole row"

    def test_a_row_that_is_cut_off(self, table):
        path = table / "fer2013.csv"
        path.write_bytes(path.read_bytes()[:-100])
        assert problems(table) == {"fer2013.csv:6": "fer2013.csv:6 has 2 fields; expected emotion,pixels,Usage."}

    def test_blank_lines_are_no_rows(self, table):
        rows = official_rows()
        write_table(table, ["", rows[0], " ", *rows[1:], ""])
        references = list(FER2013(str(table)).references())
        assert [reference.id for reference in references] == [f"fer2013.csv:{i}" for i in (3, 5, 6, 7, 8)]
        assert not problems(table)

    @pytest.mark.parametrize("header", ["", "emotion,pixels", " emotion, Usage, pixels", "0,1 2 3,Training"])
    def test_other_columns_are_refused(self, table, header):
        write_table(table, official_rows(), header)
        message = rf"Line 1 of '{table}/fer2013.csv' should name the columns emotion,pixels,Usage, but is '.*kaggle"
        with pytest.raises(ValueError, match=message):
            FER2013(str(table)).check()

    def test_the_fingerprint_covers_it(self, table):
        before = FER2013(str(table)).fingerprint()
        assert FER2013(str(table)).fingerprint() == before
        write_table(table, official_rows()[:-1])
        assert FER2013(str(table)).fingerprint() != before

    def test_tensorflow_datasets_prepares_it(self, table, tmp_path):
        builder = FER2013(str(table), data_dir=str(tmp_path / "prepared"))
        builder.download_and_prepare()
        emotions = [int(example["emotion"]) for example in builder.as_dataset(split="train")]
        assert sorted(emotions) == [0, 5, 6]


class TestFolders:
    def test_references_and_records(self, folders, monkeypatch):
        monkeypatch.setattr(fer2013, "_VALIDATION_EVERY", 2)
        builder = FER2013(str(folders))
        builder.check()
        references = list(builder.references())
        assert [reference.id for reference in references] == [
            f"{split}/{emotion}/im{i}.png"
            for split, count in (("train", NUM_TRAIN), ("test", NUM_TEST))
            for emotion in sorted(OFFICIAL)
            for i in range(count)
        ]
        another = FER2013(str(folders))
        for reference in references:
            split, emotion, _ = reference.id.split("/")
            number = 1 + int(reference.id[-5])
            assert reference.split == ("validation" if split == "train" and number in (2, 4) else split)
            record = another.load(pickle.loads(pickle.dumps(reference)))
            assert (record.id, record.dataset) == (reference.id, "fer2013")
            assert record.labels["emotion"] == OFFICIAL.index(emotion)
            assert record.image == (folders / reference.id).read_bytes()
        assert not problems(folders)

    def test_every_tenth_image_of_an_emotion_is_validation(self, folders, jpeg):
        for number in range(NUM_TRAIN, 24):
            (folders / "train" / "sad" / f"more{number}.png").write_bytes(jpeg(0, (48, 48)))
        found = collections.Counter(
            r.id.split("/")[1] for r in FER2013(str(folders)).references() if r.split == "validation"
        )
        assert found == {"sad": 2}

    def test_jpeg_will_do(self, folders, jpeg):
        (folders / "train" / "sad" / "x.JPG").write_bytes(jpeg(0, (48, 48)))
        assert not problems(folders)
        assert len(list(FER2013(str(folders)).references())) == 7 * (NUM_TRAIN + NUM_TEST) + 1

    def test_nothing_is_lost_silently(self, folders, jpeg):
        strays = ("train/im9.png", "train/contempt/im0.png", "test/Happy/im0.png", "test/happy/deeper/im0.png")
        for stray in strays:
            (folders / stray).parent.mkdir(parents=True, exist_ok=True)
            (folders / stray).write_bytes(jpeg(0, (48, 48)))
        for hidden in ("Thumbs.db", "._im0.png"):
            (folders / "train" / "sad" / hidden).write_bytes(b"no image")
        found = problems(folders)
        assert found == {
            stray: f"{stray} is in no emotion's folder; expected {stray.split('/')[0]}/<emotion>/<name>."
            for stray in strays
        }

    def test_a_stray_image_moves_no_other_to_validation(self, folders, jpeg, monkeypatch):
        monkeypatch.setattr(fer2013, "_VALIDATION_EVERY", 2)
        before = {r.id: r.split for r in FER2013(str(folders)).references()}
        (folders / "train" / "sad" / "a").mkdir()
        (folders / "train" / "sad" / "a" / "0.png").write_bytes(jpeg())
        after = {r.id: r.split for r in FER2013(str(folders)).references()}
        assert after == {**before, "train/sad/a/0.png": None}

    def test_an_image_that_is_damaged_or_vanishes(self, folders):
        (folders / "train" / "sad" / "im0.png").write_bytes(b"")
        assert problems(folders) == {"train/sad/im0.png": "the image's file is empty"}
        builder = FER2013(str(folders))
        reference = next(builder.references())
        (folders / reference.id).unlink()
        with pytest.raises(RecordError, match="can't be read"):
            builder.load(reference)

    @pytest.mark.parametrize("name", ["train", "test", "train/disgust", "test/neutral"])
    def test_a_missing_folder_is_named(self, folders, name):
        (folders / name).rename(folders / "elsewhere")
        place, _, last = f"{folders}/{name}".rpartition("/")
        with pytest.raises(FileNotFoundError, match=rf"Folder '{place}' has no {last}. It holds the images of"):
            FER2013(str(folders)).check()

    def test_the_fingerprint_covers_them(self, folders):
        prints = [FER2013(str(folders)).fingerprint()] * 2
        for name in ("train/sad/im0.png", "test/happy/im1.png"):
            (folders / name).write_bytes(b"other")
            prints.append(FER2013(str(folders)).fingerprint())
        assert len(set(prints)) == 3


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"the FER2013 sample is not at {SAMPLE}")
class TestTheRealSample:
    @pytest.fixture(scope="class")
    def references(self):
        builder = FER2013(str(SAMPLE))
        builder.check()
        return list(builder.references())

    def test_the_splits(self, references):
        assert collections.Counter(r.split for r in references) == {"train": 3633, "validation": 403, "test": 1000}

    def test_eval_has_a_tenth_of_each_emotion(self, references):
        counts = collections.Counter((r.id.split("/")[1], r.split) for r in references)
        for emotion in OFFICIAL:
            held_out, all_of_it = (
                counts[emotion, "validation"],
                counts[emotion, "validation"] + counts[emotion, "train"],
            )
            assert held_out == all_of_it // 10

    def test_records(self, references):
        builder = FER2013(str(SAMPLE))
        for reference in references[::40]:
            record = builder.load(reference)
            check_record(record, FER2013.ANNOTATIONS)
            assert OFFICIAL[record.labels["emotion"]] == reference.id.split("/")[1]
            assert tf.io.decode_png(record.image).shape == (48, 48, 1)

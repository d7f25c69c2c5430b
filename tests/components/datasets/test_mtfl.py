import collections
import io
import pathlib
import pickle

import numpy as np
import pytest
import quarantine
import tensorflow_datasets as tfds
from PIL import Image

from components.datasets import builder_class, mtfl
from components.datasets.mtfl import MTFL
from components.example_gen.checks import check_record
from components.record import FaceRecord
from components.tasks.landmarks.markup import MARKUPS

SAMPLE = pathlib.Path(__file__).parents[4] / "shared" / "data" / "MTFL"
SIZES = {"lfw_5590": (250, 250), "net_7876": (200, 160), "AFLW": (150, 150)}
TRAINING = [f"lfw_5590/Ann_{i:04d}.jpg" for i in range(1, 5)] + ["net_7876/1000_0_0.jpg", "net_7876/1001_0_0.jpg"]
TESTING = ["AFLW/0003-image07098.jpg", "AFLW/0004-image64929.jpg"]
COORDINATES = (100, 150, 125.5, 105, 145, 110, 112.25, 140, 160, 161)
CENTRE = (0.2, 0.2, 0.6, 0.6)


def line(image, labels="2 1 2 3", coordinates=COORDINATES):
    return " ".join([image.replace("/", "\\"), *(f"{value:f}" for value in coordinates), *labels.split()])


def write_list(folder, name, lines):
    """As in the release: lines end in CR LF, and every one but the first starts with a blank."""
    (folder / name).write_bytes("\r\n ".join([*lines, ""]).rstrip(" ").encode())


def grey(size):
    file = io.BytesIO()
    Image.new("L", size, 90).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def release(tmp_path, jpeg):
    """Four images of LFW and two from the web to train on, of which one is grey, and two of AFLW to test on."""
    folder = tmp_path / "MTFL"
    for image in (*TRAINING, *TESTING):
        path = folder / image
        path.parent.mkdir(parents=True, exist_ok=True)
        size = SIZES[path.parent.name]
        path.write_bytes(grey(size) if image == TRAINING[1] else jpeg(len(image), size))
    write_list(folder, "training.txt", map(line, TRAINING))
    write_list(folder, "testing.txt", [line(image).replace("\\", "/") for image in TESTING])
    return folder


def records(folder):
    """The records by id; none may be refused."""
    builder = MTFL(str(folder))
    return {reference.id: builder.load(reference) for reference in builder.references()}


def problems(folder):
    return quarantine.reasons(MTFL(str(folder)))


def test_the_names():
    assert len(MTFL.ANNOTATIONS["attributes"].names) == 8
    assert MTFL.ANNOTATIONS["attributes"].names[:3] == ("Male", "Smiling", "Eyeglasses")
    assert set(MTFL.ANNOTATIONS) == {"attributes", "landmarks"}
    assert MTFL.SPLITS == ("train", "validation", "test")


def test_references_and_records(release, monkeypatch):
    monkeypatch.setattr(mtfl, "_VALIDATION_EVERY", 3)
    builder = MTFL(str(release))
    builder.check()
    references = list(builder.references())
    assert [reference.id for reference in references] == [*TRAINING, *TESTING]
    assert [reference.split for reference in references] == ["train", "train", "validation"] * 2 + ["test"] * 2
    another = MTFL(str(release))
    for reference in references:
        record = another.load(pickle.loads(pickle.dumps(reference)))
        assert (record.id, record.dataset) == (reference.id, "mtfl")
        assert record.image == (release / reference.id).read_bytes()
        assert record.labels["attributes"].tolist() == [0, 1, 0, 0, 0, 1, 0, 0]
        assert record.labels["landmarks"].dtype == np.float32
        back = FaceRecord.from_example(record.to_example())
        np.testing.assert_array_equal(back.labels["landmarks"], record.labels["landmarks"].ravel())
        assert (back.crop is None) == (record.crop is None)
    assert not problems(release)


@pytest.mark.parametrize(
    ("labels", "attributes"),
    [
        ("1 1 1 1", [1, 1, 1, 1, 0, 0, 0, 0]),
        ("2 2 2 2", [0, 0, 0, 0, 1, 0, 0, 0]),
        ("1 2 2 3", [1, 0, 0, 0, 0, 1, 0, 0]),
        ("2 1 2 4", [0, 1, 0, 0, 0, 0, 1, 0]),
        ("2 2 1 5", [0, 0, 1, 0, 0, 0, 0, 1]),
    ],
)
def test_attributes(release, labels, attributes):
    write_list(release, "testing.txt", [line(TESTING[0], labels), line(TESTING[1])])
    assert records(release)[TESTING[0]].labels["attributes"].tolist() == attributes


def test_landmarks_are_shares_of_the_image_s_own_sides(release):
    found = records(release)
    expected = [(100, 110), (150, 112.25), (125.5, 140), (105, 160), (145, 161)]
    np.testing.assert_allclose(found[TRAINING[0]].labels["landmarks"], np.array(expected) / 250, rtol=1e-6)
    np.testing.assert_allclose(found[TRAINING[4]].labels["landmarks"], np.array(expected) / (200, 160), rtol=1e-6)
    np.testing.assert_allclose(found[TESTING[0]].labels["landmarks"], np.array(expected) / 150, rtol=1e-6)


def test_only_lfw_is_cropped(release):
    crops = {name: record.crop for name, record in records(release).items()}
    assert crops == {**dict.fromkeys(TRAINING[:4], CENTRE), **dict.fromkeys([*TRAINING[4:], *TESTING])}


def test_the_crop_stays_where_a_landmark_lies_outside(release):
    outside = (10, 245, 125, 105, 145, 110, 110, 140, 260, 160)
    write_list(release, "training.txt", [line(TRAINING[0], coordinates=outside), *map(line, TRAINING[1:])])
    record = records(release)[TRAINING[0]]
    assert record.crop == CENTRE
    np.testing.assert_allclose(record.labels["landmarks"][[0, 3]], [(0.04, 0.44), (0.42, 1.04)], rtol=1e-6)
    assert not problems(release)


def test_every_tenth_line_is_validation(release):
    write_list(release, "training.txt", [line(f"lfw_5590/{number}.jpg") for number in range(1, 25)])
    splits = [
        reference.split for reference in MTFL(str(release)).references() if reference.split in ("train", "validation")
    ]
    assert [number for number, split in enumerate(splits, start=1) if split == "validation"] == [10, 20]


def test_line_ends_and_blanks_may_be_others(release):
    expected = records(release)
    text = (release / "training.txt").read_text().replace("\\", "/").replace("\r\n", "\n").replace("\n ", "\n")
    (release / "training.txt").write_bytes(text.rstrip("\n").encode())
    found = records(release)
    assert list(found) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name].labels["landmarks"], expected[name].labels["landmarks"])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("", "training.txt has 0 values for {}; expected 14: five x, five y, gender, smile, glasses, pose."),
        ("1 " * 13, "has 13 values"),
        ("1 " * 15, "has 15 values"),
        ("1 2 3 4 5 6 7 8 9 x 1 1 1 1", "has the coordinate 'x' for {}; expected a number (pixels)."),
        ("1 2 nan 4 5 6 7 8 9 10 1 1 1 1", "has the coordinate 'nan'"),
        ("1 2 3 4 5 6 7 8 -inf 10 1 1 1 1", "has the coordinate '-inf'"),
        ("1 2 3 4 5 6 7 8 9 10 0 1 1 1", "training.txt has the gender '0' for {}; expected 1 or 2."),
        ("1 2 3 4 5 6 7 8 9 10 1 3 1 1", "has the smile '3'"),
        ("1 2 3 4 5 6 7 8 9 10 1 1 -1 1", "has the glasses '-1'"),
        ("1 2 3 4 5 6 7 8 9 10 1 1 1 0", "training.txt has the pose '0' for {}; expected 1 to 5."),
        ("1 2 3 4 5 6 7 8 9 10 1 1 1 6", "has the pose '6'"),
        ("1 2 3 4 5 6 7 8 9 10 1 1 1 3.5", "has the pose '3.5'"),
    ],
)
def test_a_bad_line(release, wrong, reason):
    write_list(release, "training.txt", [f"{TRAINING[0]} {wrong}", *map(line, TRAINING[1:])])
    ((name, found),) = problems(release).items()
    assert name == TRAINING[0]
    assert reason.format(name) in found


def test_nothing_is_lost_silently(release, jpeg):
    lines = [*map(line, TRAINING[:3]), "", line(TRAINING[0]), line("lfw_5590/ghost.jpg"), "scribble"]
    write_list(release, "training.txt", [*lines, line("elsewhere/face.jpg"), *map(line, TRAINING[4:])])
    write_list(release, "testing.txt", [*(line(image) for image in TESTING), line(TRAINING[1])])
    (release / "AFLW" / "unlisted.jpg").write_bytes(jpeg())
    (release / "AFLW" / "Thumbs.db").write_bytes(b"no image")
    (release / "AFLW" / "._0003-image07098.jpg").write_bytes(b"no image either")
    found = problems(release)
    expected = {
        TRAINING[0]: f"training.txt:1 and training.txt:5 name {TRAINING[0]}; expected one line, once.",
        TRAINING[1]: f"training.txt:2 and testing.txt:3 name {TRAINING[1]}",
        TRAINING[3]: f"Neither training.txt nor testing.txt names {TRAINING[3]}.",
        "lfw_5590/ghost.jpg": f"{release}/lfw_5590/ghost.jpg' can't be read",
        "scribble": "training.txt has 0 values for scribble",
        "elsewhere/face.jpg": f"{release}/elsewhere/face.jpg' can't be read",
        "AFLW/unlisted.jpg": "Neither training.txt nor testing.txt names AFLW/unlisted.jpg.",
    }
    assert found.keys() == expected.keys()
    for name, reason in found.items():
        assert expected[name] in reason
    good = {reference.id for reference in MTFL(str(release)).references()} - found.keys()
    assert good == {TRAINING[2], *TRAINING[4:], *TESTING}


def test_an_image_that_is_missing_or_damaged(release):
    (release / TRAINING[0]).unlink()
    (release / TESTING[1]).write_bytes(b"no image")
    found = problems(release)
    assert list(found) == [TRAINING[0], TESTING[1]]
    assert "can't be read" in found[TRAINING[0]]
    assert "size of the image" in found[TESTING[1]]


@pytest.mark.parametrize("name", ["training.txt", "testing.txt", "lfw_5590", "net_7876", "AFLW"])
def test_a_missing_file_is_named_with_where_it_comes_from(release, name):
    (release / name).rename(release / "elsewhere")
    with pytest.raises(FileNotFoundError, match=rf"Folder '{release}' has no {name}. .*[Ii]t is part .*TCDCN"):
        MTFL(str(release)).check()
    with pytest.raises(FileNotFoundError):
        list(MTFL(str(release)).references())


def test_a_folder_that_no_list_names_may_be_missing(release):
    write_list(release, "training.txt", map(line, TRAINING[:4]))
    for path in (release / "net_7876").iterdir():
        path.unlink()
    (release / "net_7876").rmdir()
    assert not problems(release)


def test_the_fingerprint_covers_lists_and_images(release, jpeg):
    prints = [MTFL(str(release)).fingerprint()]
    assert MTFL(str(release)).fingerprint() == prints[0]
    for image in (TRAINING[0], TRAINING[4], TESTING[0]):
        (release / image).write_bytes(jpeg(99, (90, 90)))
        prints.append(MTFL(str(release)).fingerprint())
    for name, images in (("training.txt", TRAINING[1:]), ("testing.txt", TESTING[1:])):
        write_list(release, name, map(line, images))
        prints.append(MTFL(str(release)).fingerprint())
    assert len(set(prints)) == 6


def test_tensorflow_datasets_prepares_it(release, tmp_path):
    builder = MTFL(str(release), data_dir=str(tmp_path / "prepared"))
    builder.download_and_prepare()
    for split, crop in (("train", [0.2, 0.2, 0.6, 0.6]), ("test", [])):
        decoders = {"image": tfds.decode.SkipDecoding()}
        examples = {example["id"]: example for example in tfds.as_numpy(builder.as_dataset(split, decoders=decoders))}
        first = examples[(TRAINING if split == "train" else TESTING)[0].encode()]
        np.testing.assert_allclose(first["crop"], crop)
        assert first["landmarks"].shape == (10,)


def test_it_is_registered():
    assert builder_class("mtfl") is MTFL


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"the MTFL sample is not at {SAMPLE}")
class TestTheRealSample:
    @pytest.fixture(scope="class")
    def found(self):
        """(reference, record) of each image."""
        builder = MTFL(str(SAMPLE))
        builder.check()
        return [(reference, builder.load(reference)) for reference in builder.references()]

    def test_the_splits(self, found):
        assert collections.Counter(r.split for r, _ in found) == {"train": 2700, "validation": 300, "test": 800}

    def test_all_records_pass(self, found):
        for _, record in found[::10]:
            check_record(record, MTFL.ANNOTATIONS)

    def test_a_record(self, found):
        _, record = found[0]
        assert record.id == "lfw_5590/AJ_Cook_0001.jpg"
        assert record.labels["attributes"].tolist() == [0, 1, 0, 0, 1, 0, 0, 0]
        np.testing.assert_allclose(record.labels["landmarks"][0] * 80, [33.52, 37.04], rtol=1e-6)

    def test_the_attributes_of_the_training_list(self, found):
        counts = sum(record.labels["attributes"] for reference, record in found if reference.split != "test")
        assert dict(zip(MTFL.ANNOTATIONS["attributes"].names, counts.tolist(), strict=True)) == {
            **{"Male": 2273, "Smiling": 1601, "Eyeglasses": 517},
            **{"Left_Profile": 7, "Left": 231, "Frontal": 2478, "Right": 264, "Right_Profile": 20},
        }

    def test_left_is_the_image_s(self, found):
        for pose, side in (("Left", -1), ("Right", 1)):
            turned = [
                r.labels["landmarks"][:, 0]
                for _, r in found
                if r.labels["attributes"][MTFL.ANNOTATIONS["attributes"].names.index(pose)]
            ]
            assert np.mean([side * (x[2] - (x[0] + x[1]) / 2) > 0 for x in turned]) > 0.9

    def test_points_have_their_places(self, found):
        points = np.array([record.labels["landmarks"] for _, record in found])
        left_eye, right_eye, nose, left_mouth, right_mouth = np.moveaxis(points, 1, 0)
        assert (left_eye[:, 0] < right_eye[:, 0]).mean() > 0.99
        assert (left_mouth[:, 0] < right_mouth[:, 0]).mean() > 0.99
        assert (left_eye[:, 1] < nose[:, 1]).mean() > 0.98
        assert (nose[:, 1] < right_mouth[:, 1]).mean() > 0.98

    def test_the_crop_brings_both_lists_to_one_scale(self, found):
        def distance(split, cropped):
            kept = [record for reference, record in found if reference.split == split]
            sides = [record.crop[2] if record.crop and cropped else 1 for record in kept]
            return np.median(MARKUPS[5].interocular([record.labels["landmarks"] for record in kept]) / sides)

        assert 80 * distance("train", cropped=False) == pytest.approx(13.2, abs=0.1)
        assert 80 * distance("test", cropped=False) == pytest.approx(23.8, abs=0.1)
        assert distance("train", cropped=True) / distance("test", cropped=True) == pytest.approx(1, abs=0.1)

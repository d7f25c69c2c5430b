import dataclasses
import os
import pathlib
import tempfile
from types import MappingProxyType

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils import gcs_utils

from components.datasets.base import FaceDataset, Reference, files_fingerprint, read_file, require
from components.record import RecordError
from components.tasks.annotation import Annotation


class Numbered(FaceDataset, skip_registration=True):
    """`size` training images, and a row that belongs to no split."""

    name = "numbered"
    ANNOTATIONS = MappingProxyType(
        {"mood": Annotation("classification", ("a", "b", "c")), "points": Annotation("landmarks", ("x", "y"))}
    )

    def __init__(self, source=None, size=3, **options):
        self.size = size
        super().__init__(source, **options)

    def paths(self):
        return []

    def references(self):
        for i in range(self.size):
            yield Reference(str(i), "train", payload=i)
        yield Reference("stray", None, problem="belongs to no split")

    def read(self, reference):
        with open(self.source, "rb") as file:
            return file.read(), {"mood": reference.payload}

    def load(self, reference):
        return dataclasses.replace(
            super().load(reference), crop=(0.25, 0.25, 0.5, 0.5) if reference.payload == 1 else None
        )


@pytest.fixture
def image(tmp_path, jpeg):
    path = tmp_path / "face.jpg"
    path.write_bytes(jpeg())
    return str(path)


def test_a_builder_that_needs_a_folder_says_so():
    with pytest.raises(ValueError, match="'numbered' reads files, but got no `source`"):
        _ = Numbered().folder


def test_nothing_is_asked_of_a_bucket_and_nothing_stays_in_the_temporary_folder(image, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(gcs_utils, "gcs_dataset_info_files", lambda name: pytest.fail(f"asked for {name}"))
    Numbered(image)
    assert not list((tmp_path / "temporary").iterdir())


def test_tensorflow_datasets_prepares_and_reads_it(tmp_path, image, jpeg):
    builder = Numbered(image, data_dir=str(tmp_path / "prepared"))
    builder.download_and_prepare()
    examples = list(builder.as_dataset(split="train", decoders={"image": tfds.decode.SkipDecoding()}))
    assert sorted(example["id"].numpy() for example in examples) == [b"0", b"1", b"2"]
    assert all(example["image"].numpy() == jpeg() for example in examples)
    assert all(example["mood"].numpy().tolist() == [int(example["id"].numpy())] for example in examples)
    assert all(len(example["points"]) == 0 for example in examples)
    assert {example["id"].numpy(): example["crop"].numpy().tolist() for example in examples} == {
        b"0": [],
        b"1": [0.25, 0.25, 0.5, 0.5],
        b"2": [],
    }
    assert list(builder.info.splits) == ["train"]


def test_fingerprint_sees_a_file_below_a_folder_change(tmp_path):
    file = tmp_path / "lfw" / "Ann_Ä" / "Ann_0001.jpg"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"one")
    before = files_fingerprint([str(tmp_path)])
    assert files_fingerprint([str(tmp_path)]) == before
    file.write_bytes(b"three")
    after = files_fingerprint([str(tmp_path)])
    assert after != before
    os.utime(file, (1, 1))
    assert files_fingerprint([str(tmp_path)]) not in (before, after)


def test_read_file_refuses_what_is_no_file(tmp_path):
    (tmp_path / "ü.jpg").write_bytes(b"bytes")
    assert read_file(str(tmp_path / "ü.jpg")) == b"bytes"
    for name in ("none.jpg", ""):
        with pytest.raises(RecordError, match="can't be read"):
            read_file(str(tmp_path / name))


def test_read_file_waits_for_no_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(RecordError, match=r"pipe.jpg' is no file, but a pipe, socket or device"):
        read_file(str(tmp_path / "pipe.jpg"))


def test_a_link_to_nowhere_or_itself_is_a_records_affair(tmp_path):
    (tmp_path / "good.jpg").write_bytes(b"bytes")
    (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "none")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert files_fingerprint([str(tmp_path)]) == files_fingerprint([str(tmp_path)])
    for name in ("nowhere.jpg", "loop.jpg"):
        with pytest.raises(RecordError, match=f"{name}' can't be read"):
            read_file(str(tmp_path / name))


def test_a_link_out_of_its_folder_is_not_followed_but_a_linked_folder_is(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"bytes")
    (tmp_path / "images" / "same.jpg").symlink_to("a.jpg")
    (tmp_path / "images" / "out.jpg").symlink_to("../secret")
    (tmp_path / "linked").symlink_to(tmp_path / "images")
    for folder in ("images", "linked"):
        assert read_file(str(tmp_path / folder / "same.jpg")) == b"bytes"
        with pytest.raises(RecordError, match=r"out.jpg' is a link that leads out of its folder: put the file itself"):
            read_file(str(tmp_path / folder / "out.jpg"))


def test_a_name_that_is_not_utf_8_is_told_with_its_folder(tmp_path):
    (pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/gr\xfc\xdfe.jpg"))).touch()
    with pytest.raises(ValueError, match=rf"Folder '{tmp_path}' has a name that is not UTF-8, b'gr.*: rename it"):
        files_fingerprint([str(tmp_path)])


@pytest.mark.parametrize("name", ["../elsewhere/a.jpg", "/etc/a.jpg", "a/../../b.jpg"])
def test_no_id_leads_out_of_the_folder(name):
    with pytest.raises(RecordError, match="leads out of the data set's folder: put the image into it"):
        Numbered().load(Reference(name, "train"))


def test_require_names_folder_file_and_remedy(tmp_path):
    assert require(str(tmp_path), "") == str(tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"Folder '{tmp_path}' has no list.txt. It is part of the release."):
        require(f"{tmp_path}/list.txt", "It is part of the release.")

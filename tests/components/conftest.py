"""Files that the tests of several folders read."""

import pytest


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """Splits train, 64 records in two shards of which two are not annotated, and validation, 20 records."""
    from tests.support import tiny_faces

    folder = tmp_path_factory.mktemp("tiny_faces")
    train = [tiny_faces.serialized(number) for number in range(62)]
    train += [tiny_faces.serialized(62, attributes=[-1] * 6), tiny_faces.serialized(63, landmarks=[float("nan")] * 10)]
    tiny_faces.write(folder / "train", train, shards=2)
    tiny_faces.write(folder / "validation", [tiny_faces.serialized(3 * number) for number in range(20)])
    return folder


@pytest.fixture(scope="session")
def tiny_files(tiny_folder):
    """The names of the files by split."""
    from tests.support import tiny_faces

    return tiny_faces.files_in(tiny_folder)


@pytest.fixture(scope="session")
def parsing_files(tmp_path_factory):
    """Splits train, 24 records with label maps, and validation, 8."""
    from tests.support import tiny_faces

    folder = tmp_path_factory.mktemp("tiny_parsing")
    sizes = {"train": range(24), "validation": range(24, 32)}
    return {
        split: tiny_faces.write(folder / split, [tiny_faces.serialized_parsing(number) for number in numbers])
        for split, numbers in sizes.items()
    }


@pytest.fixture
def in_bfloat16(monkeypatch):
    """Trainings that ask for bfloat16 have it, whatever it costs here."""
    monkeypatch.setattr("components.trainer.loop.precision_here", lambda asked: asked)

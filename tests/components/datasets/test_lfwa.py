import pickle
import shutil

import h5py
import numpy as np
import pytest
import quarantine
import scipy.io

from components.datasets import builder_class
from components.datasets.celeb_a import CelebA
from components.datasets.lfwa import LFWA

NAMES = ("Ann_Lee/Ann_Lee_0001.jpg", "Ann_Lee/Ann_Lee_0002.jpg", "Zoë/Zoë_0001.jpg", "Bo/Bo_0001.jpg")
SPELLING = [name.replace("_", " ") for name in CelebA.ANNOTATIONS["attributes"].names]  # as in the release


def labels():
    """[4, 40]: attribute j of image i is 1 where i + j is a multiple of 3."""
    return ((np.arange(4)[:, None] + np.arange(40)) % 3 == 0).astype(float)


def write_old(path, cells=None, matrices=None):
    """A MATLAB file of version 5: texts in cell arrays of shape [n, 1]."""
    content = {name: np.array(list(matrix), float) for name, matrix in (matrices or {}).items()}
    for name, texts in (cells or {}).items():
        content[name] = np.empty((len(texts), 1), object)
        content[name][:, 0] = texts
    scipy.io.savemat(path, content)


def write_hdf5(path, cells=None, matrices=None):
    """A MATLAB file of version 7.3: HDF5 behind 512 bytes; arrays transposed, cells as references to UTF-16 texts."""
    with h5py.File(path, "w", userblock_size=512) as mat:
        for name, matrix in (matrices or {}).items():
            mat[name] = np.atleast_2d(np.array(matrix, float)).T
        for name, texts in (cells or {}).items():
            references = []
            for i, text in enumerate(texts):
                mat[f"#refs#/{name}{i}"] = np.frombuffer(text.encode("utf-16-le"), "<u2")[:, None]
                references.append(mat[f"#refs#/{name}{i}"].ref)
            mat.create_dataset(name, data=np.array([references], h5py.ref_dtype), dtype=h5py.ref_dtype)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


def write_annotations(folder, write=write_old, names=NAMES, attributes=SPELLING, values=None):
    windows = [name.replace("/", "\\") for name in names]
    values = labels() if values is None else values
    write(folder / "lfw_att_40.mat", {"name": windows, "AttrName": attributes}, {"label": values})


def write_indices(folder, train, test, write=write_old):
    write(folder / "indices_train_test.mat", None, {"indices_img_train": train, "indices_img_test": test})


@pytest.fixture(params=[write_old, write_hdf5])
def release(tmp_path, jpeg, request):
    """Rows 4 and 1 are for training, 2 and 3 for testing."""
    write_annotations(tmp_path, request.param)
    write_indices(tmp_path, [4, 1], [2, 3], request.param)
    for shade, folder in enumerate(("lfw", "lfw-deepfunneled")):
        for i, name in enumerate(NAMES):
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(10 * i + shade))
    return tmp_path


def problems(folder):
    return quarantine.reasons(LFWA(str(folder)))


def test_is_the_data_set_of_its_name():
    assert builder_class("lfwa") is LFWA
    assert LFWA.ANNOTATIONS["attributes"].names == CelebA.ANNOTATIONS["attributes"].names
    assert LFWA.SPLITS == ("train", "test")


def test_training_has_originals_and_funneled_ones_test_originals_alone(release):
    builder = LFWA(str(release))
    builder.check()
    assert [(reference.split, reference.id) for reference in builder.references()] == [
        ("train", f"lfw/{NAMES[0]}"),
        ("train", f"lfw-deepfunneled/{NAMES[0]}"),
        ("test", f"lfw/{NAMES[1]}"),
        ("test", f"lfw/{NAMES[2]}"),
        ("train", f"lfw/{NAMES[3]}"),
        ("train", f"lfw-deepfunneled/{NAMES[3]}"),
    ]


def test_without_deep_funneled_images(release):
    shutil.rmtree(release / "lfw-deepfunneled")
    builder = LFWA(str(release), funneled=False)
    builder.check()
    assert [(reference.split, reference.id) for reference in builder.references()] == [
        (split, f"lfw/{name}") for split, name in zip(("train", "test", "test", "train"), NAMES, strict=True)
    ]


def test_records(release, jpeg):
    builder = LFWA(str(release))
    records = [builder.load(pickle.loads(pickle.dumps(reference))) for reference in builder.references()]
    rows = [0, 0, 1, 2, 3, 3]
    assert [record.image for record in records] == [jpeg(shade) for shade in (0, 1, 10, 20, 30, 31)]
    assert [record.labels["attributes"].tolist() for record in records] == labels()[rows].tolist()
    assert {record.dataset for record in records} == {"lfwa"}
    assert all(record.labels.keys() == {"attributes"} for record in records)


@pytest.mark.parametrize("write", [write_old, write_hdf5])
def test_attributes_are_taken_by_name_however_they_are_written(release, write):
    shuffled = np.random.default_rng(0).permutation(40)
    spelling = [f" {CelebA.ANNOTATIONS['attributes'].names[i].upper().replace('_', '  ')} " for i in shuffled]
    write_annotations(release, write, attributes=spelling, values=labels()[:, shuffled])
    builder = LFWA(str(release))
    assert builder.load(next(builder.references())).labels["attributes"].tolist() == labels()[0].tolist()


def test_other_attributes_are_refused(release):
    write_annotations(release, attributes=["Indian", *SPELLING[1:]])
    with pytest.raises(ValueError, match=r"Missing: \['5_o_clock_shadow'\]; unknown: \['indian'\]; 40 in all"):
        LFWA(str(release)).check()


def test_labels_that_fit_no_names_are_refused(release):
    write_annotations(release, values=labels().T)
    with pytest.raises(ValueError, match=r"has the shape \(40, 4\); expected \(4, 40\)"):
        LFWA(str(release)).check()


@pytest.mark.parametrize("wrong", [-1, 2, 0.5, np.nan])
def test_a_label_that_is_not_0_or_1(release, wrong):
    values = labels()
    values[1, 7] = wrong
    write_annotations(release, values=values)
    ((name, reason),) = problems(release).items()
    assert name == f"lfw_att_40.mat:2:{NAMES[1]}"
    assert reason == f"lfw_att_40.mat has the label {wrong:g}; expected 0 or 1."


def test_indices_that_are_no_rows_or_contradict_each_other(release):
    write_indices(release, [1, 2, 0, 5, 5, 1.5, np.nan], [2, 3, 3])
    found = problems(release)
    strays = {name: found.pop(f"indices_train_test.mat:train:{name}") for name in ("0", "5", "1.5", "nan")}
    assert strays["5"] == "indices_train_test.mat counts 5 (2 times) to train; lfw_att_40.mat has rows 1 to 4."
    assert found == {
        f"lfw_att_40.mat:2:{NAMES[1]}": "indices_train_test.mat counts it to ['train', 'test']; "
        "expected one of train and test, once.",
        f"lfw_att_40.mat:3:{NAMES[2]}": "indices_train_test.mat counts it to ['test', 'test']; "
        "expected one of train and test, once.",
        f"lfw_att_40.mat:4:{NAMES[3]}": "indices_train_test.mat counts it to no split; "
        "expected one of train and test, once.",
    }


def test_an_image_named_twice_is_quarantined(release):
    write_annotations(release, names=[*NAMES[:3], NAMES[0]])
    assert {name: "several rows" in reason for name, reason in problems(release).items()} == {
        f"lfw_att_40.mat:1:{NAMES[0]}": True,
        f"lfw_att_40.mat:4:{NAMES[0]}": True,
    }


def test_a_missing_image_is_named(release):
    (release / "lfw-deepfunneled" / NAMES[3]).unlink()
    ((name, reason),) = problems(release).items()
    assert name == f"lfw-deepfunneled/{NAMES[3]}"
    assert f"{release}/lfw-deepfunneled/{NAMES[3]}" in reason


@pytest.mark.parametrize("name", ["lfw_att_40.mat", "indices_train_test.mat", "lfw", "lfw-deepfunneled"])
def test_a_missing_file_is_named_with_where_it_comes_from(release, name):
    (release / name).rename(release / "elsewhere")
    with pytest.raises(FileNotFoundError, match=rf"Folder '{release}' has no {name}\. .*http"):
        LFWA(str(release)).check()


@pytest.mark.parametrize("write", [write_old, write_hdf5])
def test_a_missing_variable_is_named(release, write):
    write(release / "indices_train_test.mat", None, {"indices_img_train": [1]})
    with pytest.raises(ValueError, match=r"indices_train_test.mat' lacks a variable.*indices_img_test"):
        LFWA(str(release)).check()


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
def test_a_matlab_file_that_was_cut_off_is_refused(release, share):
    path = release / "lfw_att_40.mat"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"lfw_att_40.mat' (can't be read as a MATLAB file|lacks a variable)"):
        LFWA(str(release)).check()


@pytest.mark.parametrize("content", [b"", b"<html>Too many downloads</html>" * 30, b"\x89HDF\r\n\x1a\n cut off"])
def test_what_is_no_matlab_file_is_refused(release, content):
    (release / "lfw_att_40.mat").write_bytes(content)
    with pytest.raises(ValueError, match=r"lfw_att_40.mat' can't be read as a MATLAB file"):
        LFWA(str(release)).check()


def test_the_fingerprint_covers_the_images(release, jpeg):
    before = LFWA(str(release)).fingerprint()
    (release / "lfw-deepfunneled" / NAMES[0]).write_bytes(jpeg(99, size=(9, 9)))
    assert LFWA(str(release)).fingerprint() != before

import collections
import pathlib
import pickle

import pytest
import quarantine

from components.datasets import builder_class
from components.datasets.deepfashion import ClothingSubset, DeepFashion
from components.datasets.synthetic_faces import SyntheticFaces
from components.tasks.annotation import Annotation

SAMPLE = pathlib.Path(__file__).parents[4] / "shared" / "data" / "deepfashion"
# image: (number of the category in the official list, partition)
ROWS = {
    "img/Sheer_Blouse/img_00000001.jpg": ("3", "train"),
    "img/Sheer_Blouse/img_00000002.jpg": ("3", "val"),
    "img/Zip Anorak/img_00000001.jpg": ("1", "test"),
    "img/Sundress/img_00000001.jpg": ("50", "train"),
}
FIRST, SECOND, THIRD, LAST = ROWS
LISTS = {
    "categories": "Anno/list_category_cloth.txt",
    "labels": "Anno/list_category_img.txt",
    "partition": "Eval/list_eval_partition.txt",
}


def write_list(folder, name, header, rows, count=None):
    path = folder / LISTS[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{row:<66} {value}" for row, value in rows]
    path.write_text("\n".join([str(len(rows) if count is None else count), header, *rows, ""]))


def write_categories(folder, names):
    write_list(folder, "categories", "category_name  category_type", [(name, 1) for name in names])


def write_labels(folder, rows, **options):
    write_list(folder, "labels", "image_name  category_label", rows, **options)


def write_partition(folder, rows, **options):
    write_list(folder, "partition", "image_name evaluation_status", rows, **options)


@pytest.fixture
def release(tmp_path, jpeg):
    folder = tmp_path / "DeepFashion"
    write_categories(folder, DeepFashion.CATEGORIES)
    write_labels(folder, [(image, label) for image, (label, _) in ROWS.items()])
    write_partition(folder, [(image, part) for image, (_, part) in ROWS.items()])
    for shade, image in enumerate(ROWS):
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).write_bytes(jpeg(shade))
    return folder


def problems(folder):
    return quarantine.reasons(DeepFashion(str(folder)))


def test_the_names():
    assert len(set(DeepFashion.CATEGORIES)) == 50 and len(ClothingSubset.CATEGORIES) == 10
    # The list has 20 kinds for the upper body, 16 for the lower and 14 for both, each in the order of the alphabet.
    parts = DeepFashion.CATEGORIES[:20], DeepFashion.CATEGORIES[20:36], DeepFashion.CATEGORIES[36:]
    assert all(list(part) == sorted(part) for part in parts)
    assert [part[0] for part in parts] == ["Anorak", "Capris", "Caftan"]
    assert SyntheticFaces.ANNOTATIONS["clothing"].names == ClothingSubset.CATEGORIES


@pytest.mark.parametrize(("name", "builder"), [("deepfashion", DeepFashion), ("clothing_subset", ClothingSubset)])
def test_they_are_registered(name, builder):
    assert builder_class(name) is builder
    assert builder().annotations == {"clothing": Annotation("classification", builder.CATEGORIES)}


def test_references_and_records(release, jpeg):
    builder = DeepFashion(str(release))
    builder.check()
    references = list(builder.references())
    assert [(r.id, r.split) for r in references] == list(
        zip(ROWS, ("train", "validation", "test", "train"), strict=True)
    )
    another = DeepFashion(str(release))
    records = [another.load(pickle.loads(pickle.dumps(reference))) for reference in references]
    assert [record.image for record in records] == [jpeg(shade) for shade in range(4)]
    assert [DeepFashion.CATEGORIES[record.labels["clothing"]] for record in records] == [
        "Blouse",
        "Blouse",
        "Anorak",
        "Sundress",
    ]
    assert {record.dataset for record in records} == {"deepfashion"}
    assert all(record.labels.keys() == {"clothing"} and record.crop is None for record in records)
    assert problems(release) == {}


def test_categories_are_taken_by_name(release):
    write_categories(release, DeepFashion.CATEGORIES[::-1])
    builder = DeepFashion(str(release))
    assert [builder.load(r).labels["clothing"] for r in builder.references()] == [47, 47, 49, 0]


def test_images_in_img_img(release):
    (release / "Img").mkdir()
    (release / "img").rename(release / "Img" / "img")
    assert [reference.split for reference in DeepFashion(str(release)).references()] == [
        "train",
        "validation",
        "test",
        "train",
    ]
    assert problems(release) == {}


def test_other_categories_are_refused(release):
    write_categories(release, ["dress", *DeepFashion.CATEGORIES[1:]])
    message = r"the 50 categories of 'deepfashion'. Missing: \['Anorak'\]; unknown: \['dress'\]; 50 in all.*`builder`"
    with pytest.raises(ValueError, match=message):
        DeepFashion(str(release)).check()
    with pytest.raises(
        ValueError, match=r"list_category_cloth.txt' should name the 10 categories of 'clothing_subset'"
    ):
        ClothingSubset(str(release)).check()


@pytest.mark.parametrize("write", [write_labels, write_partition])
@pytest.mark.parametrize("count", [3, 5, "img/a.jpg"])
def test_a_list_of_another_length_is_refused(release, write, count):
    column = 0 if write is write_labels else 1
    write(release, [(image, values[column]) for image, values in ROWS.items()], count=count)
    builder = DeepFashion(str(release))
    for read in (builder.check, lambda: list(builder.references())):
        with pytest.raises(ValueError, match=rf"\.txt' promises '{count}' rows, but 4 follow line 2, the header"):
            read()


def test_an_empty_list_is_refused(release):
    (release / LISTS["labels"]).write_text("")
    with pytest.raises(ValueError, match="promises '' rows, but 0 follow"):
        DeepFashion(str(release)).check()


@pytest.mark.parametrize("label", ["0", "51", "-1", "3.0", "Blouse", ""])
def test_a_category_that_there_is_not(release, label):
    write_labels(release, [(p, label if p == SECOND else values[0]) for p, values in ROWS.items()])
    assert problems(release) == {
        SECOND: f"list_category_img.txt has the category {label!r} for {SECOND}; expected 1 to 50."
    }


def test_a_partition_that_there_is_not(release):
    write_partition(release, [(p, "valid" if p == SECOND else values[1]) for p, values in ROWS.items()])
    assert problems(release) == {
        SECOND: f"list_eval_partition.txt has 'valid' for {SECOND}; expected train, val, test."
    }


def test_images_that_a_list_lacks_or_repeats(release, jpeg):
    write_labels(release, [(p, label) for p, (label, _) in ROWS.items() if p != FIRST] + [(SECOND, "3")])
    write_partition(release, [(p, part) for p, (_, part) in ROWS.items() if p != THIRD])
    (release / "img" / "stray.jpg").write_bytes(jpeg())
    assert problems(release) == {
        FIRST: f"list_category_img.txt has no rows for {FIRST}; expected one.",
        SECOND: f"list_category_img.txt has 2 rows for {SECOND}; expected one.",
        THIRD: f"list_eval_partition.txt has no rows for {THIRD}; expected one.",
        "img/stray.jpg": "list_category_img.txt has no rows for img/stray.jpg; expected one.",
    }


def test_a_missing_image_is_named(release):
    (release / LAST).unlink()
    ((name, reason),) = problems(release).items()
    assert name == LAST and f"{release}/{LAST}" in reason


@pytest.mark.parametrize("name", [*LISTS.values(), "img"])
def test_a_missing_file_is_named_with_where_it_comes_from(release, name):
    (release / name).rename(release / "elsewhere")
    with pytest.raises(FileNotFoundError, match=rf"has no {pathlib.Path(name).name}\. .*http"):
        DeepFashion(str(release)).check()


def test_the_fingerprint_covers_lists_and_images(release, jpeg):
    found = {DeepFashion(str(release)).fingerprint()}
    (release / LAST).write_bytes(jpeg(99, size=(9, 9)))
    found.add(DeepFashion(str(release)).fingerprint())
    write_partition(release, [(image, "val") for image in ROWS])
    found.add(DeepFashion(str(release)).fingerprint())
    assert len(found) == 3


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"the clothing sample is not at {SAMPLE}")
class TestTheRealSample:
    def test_the_splits(self):
        references = ClothingSubset(str(SAMPLE)).references()
        assert collections.Counter(r.split for r in references) == {"train": 3068, "validation": 131, "test": 182}

    def test_nothing_is_quarantined(self):
        assert quarantine.reasons(ClothingSubset(str(SAMPLE))) == {}

    def test_images_lie_in_the_folders_of_their_categories(self):
        for reference in ClothingSubset(str(SAMPLE)).references():
            assert reference.id.split("/")[1] == ClothingSubset.CATEGORIES[reference.payload]

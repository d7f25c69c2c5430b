import pytest

from components.datasets.class_folders import images_below

IMAGES = ("0.png", "happy/1.jpg", "happy/10.PNG", "happy/2.Jpeg", "sad/S1/deep/ü.jpg")
OTHERS = ("happy/Thumbs.db", "happy/._1.jpg", "sad/S1/notes.txt", ".0.png", "jpg")


@pytest.mark.parametrize("end", ["", "/"])
def test_all_images_however_deep_and_nothing_else(tmp_path, end):
    for name in (*IMAGES, *OTHERS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert images_below(f"{tmp_path}{end}") == sorted(IMAGES)


def test_an_empty_folder(tmp_path):
    assert images_below(str(tmp_path)) == []

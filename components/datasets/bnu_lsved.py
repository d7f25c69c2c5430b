"""BNU-LSVED (Sun et al. 2016): spontaneous expressions of students in class, each with one of seven emotions."""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType

from sklearn.model_selection import StratifiedGroupKFold

from components.datasets.base import FaceDataset, Reference, read_file, require
from components.datasets.class_folders import images_below
from components.folders import listed
from components.tasks.annotation import Annotation

# iFAN (Li et al. 2017), 4.2: "20% subjects in each emotion category as the testing set"; validation is ours.
_FOLDS = ("test",) * 2 + ("validation",) + ("train",) * 7


class BNULSVED(FaceDataset):
    """BNU-LSVED, a Large-scale Spontaneous Visual Expression Database, given out on request (http://ics.bnu.edu.cn).

    `source` holds <emotion>/<subject>/<name>.jpg (or .png), with the emotions of EMOTIONS in whatever case. A subject's
    folder has the same name below each emotion that the subject shows. Images elsewhere go to quarantine.

    There is no official split. As in iFAN's experiments, test has about 20 % of the subjects of each emotion, and the
    others have none of them; validation has about 10 %. They are folds of scikit-learn's StratifiedGroupKFold over the
    pairs of a subject and an emotion that it shows: the number of a subject's images doesn't count.
    """

    name = "bnu_lsved"
    TERMS = "Given out on request, for academic research only."
    EMOTIONS: tuple[str, ...] = ("happy", "surprised", "disgusted", "puzzled", "concentrated", "tired", "distracted")
    ANNOTATIONS = MappingProxyType({"emotion": Annotation("classification", EMOTIONS)})

    def paths(self) -> list[str]:
        """The folder of the emotions."""
        return [require(self.folder, "It should hold a folder for each emotion of BNU-LSVED.")]

    def check(self) -> None:
        """Raises FileNotFoundError, with the names of those that are missing, unless each emotion has a folder."""
        super().check()
        names = {name.rstrip("/").lower() for name in listed(self.folder)}
        if missing := [emotion for emotion in self.EMOTIONS if emotion not in names]:
            raise FileNotFoundError(
                f"Folder {self.folder!r} has no {', '.join(missing)}. BNU-LSVED has a folder for each of "
                f"{', '.join(self.EMOTIONS)}, with a folder for each subject in it."
            )

    def references(self) -> Iterator[Reference]:
        """One reference an image, in the order of their paths."""
        self.check()
        paths = images_below(self.folder)
        placed = {path: place for path in paths if (place := self._place(path))}
        splits = self._splits(placed.values())
        for path in paths:
            if path in placed:
                emotion, subject = placed[path]
                yield Reference(path, splits[subject], emotion)
            else:
                problem = f"{path} is not in a subject's folder of an emotion; expected <emotion>/<subject>/<name>."
                yield Reference(path, None, problem=problem)

    def read(self, reference: Reference) -> tuple[bytes, Mapping[str, int]]:
        """An image and its emotion; RecordError if the image can't be read."""
        return read_file(self.path(reference.id)), {"emotion": reference.payload}

    def _place(self, path: str) -> tuple[int, str] | None:
        """(emotion, subject) of an image; None if it lies elsewhere."""
        match path.split("/"):
            case [emotion, subject, _] if emotion.lower() in self.EMOTIONS:
                return self.EMOTIONS.index(emotion.lower()), subject
        return None

    def _splits(self, places: Collection[tuple[int, str]]) -> dict[str, str]:
        """The split of each subject."""
        shown = sorted(set(places))
        emotions, subjects = zip(*shown, strict=True) if shown else ((), ())
        if max(collections.Counter(emotions).values(), default=0) < len(_FOLDS):
            raise ValueError(
                f"Folder {self.folder!r} has {len(set(subjects))} subjects; expected {len(_FOLDS)} or more who show "
                "the same emotion, to be parted into train, validation and test."
            )
        folds = StratifiedGroupKFold(len(_FOLDS)).split(shown, emotions, subjects)
        return {subjects[i]: split for split, (_, fold) in zip(_FOLDS, folds, strict=True) for i in fold}

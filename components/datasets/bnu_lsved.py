"""BNU-LSVED (Sun et al. 2016): spontaneous expressions of students in class, each with one of seven emotions."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType

import numpy as np
import tensorflow as tf

from components.datasets.base import FaceDataset, Reference, read_file, require
from components.datasets.class_folders import images_below
from components.tasks.annotation import Annotation

_TEST_SHARE = 0.2  # iFAN (Li et al. 2017), 4.2: "20% subjects in each emotion category as the testing set"


class BNULSVED(FaceDataset):
    """BNU-LSVED, a Large-scale Spontaneous Visual Expression Database, given out on request (http://ics.bnu.edu.cn).

    `source` holds <emotion>/<subject>/<name>.jpg (or .png), with the emotions of EMOTIONS in whatever case. A subject's
    folder has the same name below each emotion that the subject shows. Images elsewhere go to quarantine.

    There is no official split. As in iFAN's experiments, test has 20 % of the subjects of each emotion, and train and
    validation have none of them; validation has `validation_share` of each emotion's other subjects, of which train has
    none either. The rule, first for test and then, among the other subjects, for validation:
    1. An emotion's quota is the share of its subjects, rounded to the nearest whole number, a half upwards. The
       distance is the sum over emotions of how far the number of its subjects that are held out is from its quota.
    2. Subjects stand in the order of the SHA-256 of their names, so that neither chance nor the number of their
       images decides. None is held out at first.
    3. The first subject whose change lowers the distance is changed: held out, for all of its emotions, or taken back
       if it is. If there is none, the first pair is exchanged, one held out and one not, whose exchange lowers it.
       This is repeated until there is no such pair either.
    Where every subject shows one emotion, or all of them the same ones, each quota is met exactly. Otherwise it may be
    that no choice meets them all, as a subject counts for all of its emotions.

    Args:
        validation_share: share of the subjects outside test that validation has, from 0 (no validation split) to
            below 1.
    """

    name = "bnu_lsved"
    EMOTIONS: tuple[str, ...] = ("happy", "surprised", "disgusted", "puzzled", "concentrated", "tired", "distracted")
    ANNOTATIONS = MappingProxyType({"emotion": Annotation("classification", EMOTIONS)})

    def __init__(self, source: str | None = None, validation_share: float = 0.1, **options):
        if not 0 <= validation_share < 1:
            raise ValueError(
                f"validation_share is {validation_share}; expected a share from 0 (no validation split) to below 1."
            )
        self._validation_share = validation_share
        if not validation_share:
            self.SPLITS = ("train", "test")
        super().__init__(source, **options)

    def paths(self) -> list[str]:
        """The folder of the emotions."""
        return [require(self.folder, "It should hold a folder for each emotion of BNU-LSVED.")]

    def check(self) -> None:
        """Raises FileNotFoundError, with the names of those that are missing, unless each emotion has a folder."""
        super().check()
        names = {name.rstrip("/").lower() for name in tf.io.gfile.listdir(self.folder)}
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
        emotions = collections.defaultdict(set)
        for emotion, subject in places:
            emotions[subject].add(emotion)
        test = held_out_subjects(emotions, _TEST_SHARE)
        rest = {subject: emotions[subject] for subject in emotions if subject not in test}
        others = held_out_subjects(rest, self._validation_share)
        return dict.fromkeys(emotions, "train") | dict.fromkeys(others, "validation") | dict.fromkeys(test, "test")


def held_out_subjects(emotions: Mapping[str, Collection[int]], share: float) -> frozenset[str]:
    """The subjects to hold out so that, as nearly as can be, they are `share` of the subjects of each emotion.

    Args:
        emotions: indices of the emotions that each subject shows.
        share: of each emotion's subjects, from 0 to 1; the rule is BNULSVED's.
    """
    subjects = sorted(emotions, key=lambda subject: hashlib.sha256(subject.encode()).digest())
    if not subjects:
        return frozenset()
    shows = np.zeros((len(subjects), 1 + max(max(found) for found in emotions.values())), np.int64)
    for row, subject in zip(shows, subjects, strict=True):
        row[list(emotions[subject])] = 1
    held_out = np.zeros(len(subjects), bool)
    surplus = -np.floor(share * shows.sum(0) + 0.5).astype(np.int64)  # held out, beyond the quota, by emotion
    while (changed := _closer(shows, held_out, surplus)) is not None:
        surplus = surplus + np.where(held_out[changed], -1, 1) @ shows[changed]
        held_out[changed] ^= True
    return frozenset(subject for subject, out in zip(subjects, held_out, strict=True) if out)


def _closer(shows: np.ndarray, held_out: np.ndarray, surplus: np.ndarray) -> list[int] | None:
    """Indices of the first subject, or else of the first pair, whose change lowers the distance to the quotas."""
    distance = np.abs(surplus).sum()
    signed = np.where(held_out, -1, 1)[:, None] * shows
    closer = np.abs(surplus + signed).sum(1) < distance
    if closer.any():
        return [int(closer.argmax())]
    for index in np.flatnonzero(held_out):
        exchanged = ~held_out & (np.abs(surplus + signed[index] + signed).sum(1) < distance)
        if exchanged.any():
            return [int(index), int(exchanged.argmax())]
    return None

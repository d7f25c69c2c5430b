"""What a start does about what is gone or damaged under OUTPUT_DIR, so that none is needed by hand."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import shutil
import sqlite3
import sys

from tfx.utils import path_utils

from components.pusher import holds_model, push
from components.report.executor import CARD
from components.serving.checksums import checksums, damaged_files

# What SQLite says of a file that no connection will ever read, and TFX's of one that isn't its own.
_DAMAGED = ("file is not a database", "malformed", "no such table")
_BESIDE = ("-journal", "-wal", "-shm")  # what SQLite keeps beside a database


def begin_anew_without_metadata(database: str, artifacts: str) -> None:
    """Moves TFX's artifacts aside where their metadata are gone or damaged, so that new ones get their places.

    TFX numbers artifacts by what the metadata count, and stops where a number's folder is already there.

    Args:
        database: metadata.db.
        artifacts: the pipeline's root. A folder of that name that no pipeline wrote stays where it is.

    Raises:
        OSError: if the metadata can't be looked at now, because another process has locked them for example.
    """
    metadata, root = pathlib.Path(database).absolute(), pathlib.Path(artifacts).absolute()
    if metadata.exists() and _is_sound(metadata):
        return
    what = "damaged" if metadata.exists() else "gone"
    aside = f"before-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    ours = [root] if (root / "FacesExampleGen").is_dir() else []  # every pipeline's first node
    moved = [*ours, metadata, *(metadata.with_name(f"{metadata.name}{suffix}") for suffix in _BESIDE)]
    kept = [path.rename(path.with_name(f"{path.name}.{aside}")) for path in moved if path.exists()]
    if kept:
        print(
            f"{metadata} is {what}: this run begins anew. What earlier runs left is kept as "
            f"{' and '.join(map(str, kept))}.",
            file=sys.stderr,
        )


def mend_trained_models(artifacts: str, serving: str, name: str) -> None:
    """Removes folders of trained models that hold none any more, and mends those of an experiment that are damaged.

    TFX would find a run cached by its folder alone. A damaged file is that of the version that was pushed of the model;
    without one the model is removed and made again.

    Args:
        artifacts: the pipeline's root.
        serving: where models are pushed to.
        name: the experiment's, as it is in the names of folders.
    """
    for folder in pathlib.Path(artifacts).glob("Trainer-*/model/*"):
        model = pathlib.Path(path_utils.serving_model_path(str(folder)))
        if holds_model(str(model)):
            if folder.parts[-3] != f"Trainer-{name}" or _mended(model, pathlib.Path(serving, name)):
                continue
            what = "is damaged"
        else:
            what = "holds no whole model: a run was stopped, or it is gone"
        shutil.rmtree(folder)
        print(f"{folder} {what}. It is made again where needed.", file=sys.stderr)


def _mended(model, pushed):
    """Whether a model's files are what they were, perhaps because a copy below `pushed` had those that weren't."""
    damaged = damaged_files(str(model))
    if not damaged:
        return True
    for version in pushed.glob("[0-9]*"):
        same = checksums(str(version)) == checksums(str(model))
        if same and not set(damaged) & set(damaged_files(str(version))):
            for name in damaged:
                shutil.copy(version / name, f"{model / name}.copied")
                os.replace(f"{model / name}.copied", model / name)
            print(f"{model} was damaged ({', '.join(damaged)}): mended from {version}.", file=sys.stderr)
            return True
    return False


def restore_pushed(results: dict) -> None:
    """Pushes a run's model again, to the version that its results name, if that is gone or isn't the model any more.

    Args:
        results: of results.json.

    Raises:
        FileNotFoundError: if what was trained is gone or damaged as well.
    """
    if results["verdict"] != "blessed and pushed":
        return
    version, trained = results["places"]["model"], results.get("trained", "")
    if not _is_whole(trained):
        if _is_whole(version):
            return
        raise FileNotFoundError(
            f"The pushed model {version!r} is gone or damaged, and what was trained, {trained!r}, as well: the next "
            "start trains it again."
        )
    if _is_whole(version) and checksums(version) == checksums(trained):
        return
    push(trained, version)
    card = os.path.join(os.path.dirname(results["places"]["report"]), CARD)
    if os.path.exists(card):
        shutil.copy(card, os.path.join(version, "assets.extra", CARD))
    print(f"The pushed model {version} was gone, damaged or another: pushed again.", file=sys.stderr)


def _is_whole(model):
    return bool(model) and holds_model(model) and not damaged_files(model)


def _is_sound(metadata):
    """Whether it is whole and TFX's; what a killed process left half written is rolled back as SQLite does it."""
    try:
        with contextlib.closing(sqlite3.connect(f"{metadata.as_uri()}?mode=rw", uri=True)) as connection:
            connection.execute("SELECT MAX(id) FROM Artifact").fetchall()
            return connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    except sqlite3.DatabaseError as error:
        if any(words in str(error) for words in _DAMAGED):
            return False
        raise OSError(f"{str(metadata)!r} can't be read: {error}. Does another process use it?") from error

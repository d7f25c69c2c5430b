"""What a start does about what is gone or damaged under OUTPUT_DIR, so that none is needed by hand."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import shutil
import sqlite3
import sys

from components.pusher import holds_model, push
from components.report.executor import CARD
from components.serving.checksums import damaged_files

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


def remove_hollow_models(artifacts: str) -> None:
    """Removes folders of trained models that hold none any more: TFX would find a run cached by its folder alone."""
    for folder in pathlib.Path(artifacts).glob("Trainer-*/model/*"):
        if not holds_model(str(folder / "Format-Serving")):
            shutil.rmtree(folder)
            print(
                f"{folder} holds no whole model: a run was stopped, or it is gone. It is made again where needed.",
                file=sys.stderr,
            )


def restore_pushed(results: dict) -> None:
    """Pushes a run's model again, to the version that its results name, if that is gone or damaged.

    The trained model that it was copied from is restored the other way round.

    Args:
        results: of results.json.

    Raises:
        FileNotFoundError: if both are gone or damaged.
    """
    if results["verdict"] != "blessed and pushed":
        return
    version, trained = results["places"]["model"], results.get("trained", "")
    wrong = {folder: _what_is_wrong(folder) for folder in (version, trained)}
    if wrong[version] and wrong[trained]:
        raise FileNotFoundError(
            f"The pushed model {version!r} {wrong[version]}, and what was trained, {trained!r}, {wrong[trained]} as "
            "well. Another SEED trains it anew; so does another OUTPUT_DIR."
        )
    if wrong[version]:
        push(trained, version)
        card = os.path.join(os.path.dirname(results["places"]["report"]), CARD)
        if os.path.exists(card):
            shutil.copy(card, os.path.join(version, "assets.extra", CARD))
        print(f"The pushed model {version} {wrong[version]}: pushed again.", file=sys.stderr)
    elif trained and wrong[trained]:
        push(version, trained)
        print(f"The trained model {trained} {wrong[trained]}: restored from {version}.", file=sys.stderr)


def _what_is_wrong(model):
    """Why a model's folder can't be used, or an empty text."""
    if not model or not holds_model(model):
        return "is gone or cut"
    damaged = damaged_files(model)
    return f"is damaged ({', '.join(damaged)})" if damaged else ""


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

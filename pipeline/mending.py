"""What a start does about what is gone or damaged under OUTPUT_DIR, so that none is needed by hand."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import sqlite3
import sys

from components.pusher import is_whole, push


def begin_anew_without_metadata(output_dir: str) -> None:
    """Moves TFX's artifacts aside where metadata.db is gone or damaged, so that new ones get their places.

    TFX numbers artifacts by what metadata.db counts, and stops where a number's folder is already there. Pushed models
    and reports stay.
    """
    output = pathlib.Path(output_dir)
    database, artifacts = output / "metadata.db", output / "pipeline"
    if _is_sound(database):
        return
    what = "damaged" if database.exists() else "gone"
    aside = f"before-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    kept = [_moved(path, f"{path.name}.{aside}") for path in (database, artifacts) if path.exists()]
    if kept:
        print(
            f"{database} is {what}: this run begins anew. What earlier runs left is kept as "
            f"{' and '.join(map(str, kept))}.",
            file=sys.stderr,
        )


def restore_pushed(results: dict) -> None:
    """Pushes a run's model again, to the version that its results name, if that is gone and the trained one isn't.

    Args:
        results: of results.json.
    """
    if results["verdict"] != "blessed and pushed" or is_whole(version := results["places"]["model"]):
        return
    trained = results.get("trained", "")
    if not is_whole(trained):
        sys.exit(
            f"facetfx: the pushed model {version!r} is gone, and what was trained, {trained!r}, as well. Another SEED "
            "trains it anew; so does another OUTPUT_DIR."
        )
    push(trained, version)
    print(f"The pushed model {version} was gone: pushed again.", file=sys.stderr)


def _is_sound(database):
    """Whether it is there, whole, and TFX's."""
    if not database.exists():
        return False
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            connection.execute("SELECT MAX(id) FROM Artifact").fetchall()
            return connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        except sqlite3.DatabaseError:
            return False


def _moved(path, name):
    target = path.with_name(name)
    os.rename(path, target)
    return target

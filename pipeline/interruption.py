"""How a process ends: Ctrl-C ends it with a line, whatever was at work: imports, Beam's workers, a training."""

from __future__ import annotations

import atexit
import logging
import signal
import sys
import threading

_asked = threading.Event()
_where = "before anything ran"


def end_in_a_line() -> None:
    """From now on an interruption of this process is told in a line, without where the code was."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not of a job in the background
        signal.signal(signal.SIGINT, _interrupt)
    told = sys.excepthook
    sys.excepthook = lambda kind, error, trace: _tell() if _asked.is_set() else told(kind, error, trace)
    # TensorFlow's functions that outlive its modules fail as they are forgotten, which is nobody's trouble.
    atexit.register(setattr, sys, "unraisablehook", lambda unraisable: None)
    threading.excepthook = lambda hooked: None if _asked.is_set() else threading.__excepthook__(hooked)


def at(where: str) -> None:
    """Says where the process is, such as "in the Trainer"."""
    global _where
    _where = where


def asked() -> bool:
    """Whether somebody interrupted: what a library then raises may have another class than KeyboardInterrupt."""
    return _asked.is_set()


def _interrupt(number, frame):
    _asked.set()
    logging.disable()  # what libraries say of being interrupted
    raise KeyboardInterrupt


def _tell():
    print(f"\nStopped {_where}. The same command goes on from what is done.", file=sys.stderr)

"""What TrainingProgress says, on a clock of its own."""

import pytest

from components.trainer import progress
from components.trainer.progress import TrainingProgress
from components.trainer.recipe import Stage


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand: clock["now"]."""
    clock = {"now": 0.0}
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock["now"])
    return clock


def _second_epoch(clock, callback):
    """Two of four steps, the first after 100 seconds and the other 10 after that, of the second epoch."""
    callback.set_params({"steps": 4, "epochs": 2})
    callback.on_train_begin()
    callback.on_epoch_begin(1)
    clock["now"] = 100.0
    callback.on_train_batch_end(0, {"loss": 3.0})
    clock["now"] = 110.0
    callback.on_train_batch_end(1, {"loss": 2.5})
    callback.on_epoch_end(1, {"loss": 2.5, "val_loss": 2.75})


@pytest.mark.parametrize(
    ("epochs", "left"),
    [(2, "00:20"), (5, "02:20")],  # ten seconds for each of 2, and of 14 steps
    ids=["of the stage", "of the whole run"],
)
def test_what_is_left_to_do(clock, capsys, epochs, left):
    stage = Stage("round 2", start=1, first_epoch=1, last_epoch=2, steps=4, epochs=epochs)
    _second_epoch(clock, TrainingProgress(stage))
    assert capsys.readouterr().err.splitlines() == [
        f"  round 2, epoch 2/{epochs}, step 2/4, loss 2.5, {left} left",
        f"  round 2, epoch 2/{epochs} after 01:50: loss 2.5, val_loss 2.75",
    ]


def test_what_is_left_to_do_with_the_stages_that_follow(clock, capsys, monkeypatch):
    monkeypatch.setattr(progress, "has_gpu", lambda: False)
    stage = Stage("landmarks alone", start=1, first_epoch=1, last_epoch=2, steps=4, epochs=2, following=2400)
    _second_epoch(clock, TrainingProgress(stage))
    said = capsys.readouterr().err
    # Ten seconds for each of 2 steps, and of 2,400 more.
    assert "takes another 7 hours on processors alone" in said
    assert "step 2/4, loss 2.5, 00:20 left of this stage, about 6:40:20 of all\n" in said


def test_on_a_terminal_nothing_of_a_longer_line_stays(clock, capsys, monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    stage = Stage("", start=1, first_epoch=1, last_epoch=2, steps=4, epochs=2)
    _second_epoch(clock, TrainingProgress(stage))
    drawn, last = capsys.readouterr().err.split("\r")
    assert drawn.endswith("left\x1b[K") and last.endswith("val_loss 2.75\x1b[K\n")


@pytest.mark.parametrize(("gpu", "told"), [(False, 1), (True, 0)])
def test_work_for_a_gpu_without_one_is_said_once(clock, capsys, monkeypatch, gpu, told):
    monkeypatch.setattr(progress, "has_gpu", lambda: gpu)
    stage = Stage("", start=0, first_epoch=1, last_epoch=2, steps=4, epochs=2000)
    callback = TrainingProgress(stage)
    _second_epoch(clock, callback)
    clock["now"] = 130.0
    callback.on_train_batch_end(2, {"loss": 2.0})
    said = capsys.readouterr().err
    # Ten seconds for each of 7,994 steps.
    assert said.count("takes another 22 hours on processors alone: it is work for a GPU") == told


def test_a_run_that_is_continued_says_so(clock, capsys):
    stage = Stage("", start=0, first_epoch=1, last_epoch=2, steps=4, epochs=2)
    _second_epoch(clock, TrainingProgress(stage, resumed=True))
    assert capsys.readouterr().err.splitlines()[:2] == [
        "Continuing after epoch 1.",
        "  epoch 2/2, step 2/4, loss 2.5, 00:20 left",
    ]

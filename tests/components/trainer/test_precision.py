"""bfloat16 where it is asked for and no slower here; else float32, and a line that says so."""

import pytest
import tensorflow as tf

from components.trainer import precision
from components.trainer.precision import precision_here
from tests.support import tiny_faces


def takes(monkeypatch, **seconds):
    monkeypatch.setattr(precision, "_seconds", lambda dtype: seconds[dtype.name])


@pytest.mark.parametrize("asked", ["float32", "mixed_float16"])
def test_others_stay(asked, monkeypatch):
    takes(monkeypatch)  # nothing is timed
    assert precision_here(asked) == asked


def test_bfloat16_where_it_is_no_slower(monkeypatch, capsys):
    takes(monkeypatch, float32=0.25, bfloat16=0.25)
    assert precision_here("mixed_bfloat16") == "mixed_bfloat16"
    assert capsys.readouterr().err == ""


def test_float32_where_it_is(monkeypatch, capsys):
    takes(monkeypatch, float32=0.25, bfloat16=4.0)
    assert precision_here("mixed_bfloat16") == "float32"
    assert "Training in float32: in bfloat16 this machine takes 16.0 times as long." in capsys.readouterr().err


def test_a_convolution_is_timed():
    assert all(0 < precision._seconds(dtype) < 60 for dtype in (tf.float32, tf.bfloat16))


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "policy"), [(0.5, "mixed_bfloat16"), (2.0, "float32")])
def test_a_training_says_what_it_was_done_in(seconds, policy, tiny_files, tmp_path, monkeypatch):
    takes(monkeypatch, float32=1.0, bfloat16=seconds)
    tiny = tiny_faces.experiment(tiny_faces.LINEAR, tasks=(tiny_faces.SIGNED,), epochs=1, precision="mixed_bfloat16")
    policies = []
    built = tiny_faces.linear_network

    def building(input_shape):
        policies.append(tf.keras.mixed_precision.global_policy().name)
        return built(input_shape)

    monkeypatch.setattr(tiny_faces, "linear_network", building)
    trained = tiny_faces.fit(tiny, tmp_path, tiny_files)
    assert trained.record == {"trained_in": policy} and policies[0] == policy
    assert trained.network.compute_dtype == "float32"

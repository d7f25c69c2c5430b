"""What a training runs on, in words: the devices that its strategy takes of those that are there."""

from __future__ import annotations

import json
import types

import pytest
import tensorflow as tf

from components.trainer.devices import devices, has_gpu


@pytest.fixture
def gpus(monkeypatch):
    """Sets how many there are."""

    def there_are(count):
        details = {"device_name": "NVIDIA A100"}
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"] * count)
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)

    return there_are


@pytest.mark.parametrize(
    ("count", "replicas", "words"),
    [
        (1, 1, "1 GPU (NVIDIA A100)"),
        (4, 4, "4 GPUs (NVIDIA A100)"),
        (4, 1, "1 of 4 GPUs (NVIDIA A100)"),
        (4, 2, "2 of 4 GPUs (NVIDIA A100)"),
    ],
)
def test_of_all_gpus_those_of_the_strategy(gpus, count, replicas, words):
    gpus(count)
    assert devices(types.SimpleNamespace(num_replicas_in_sync=replicas)) == words and has_gpu()


def test_of_several_machines(gpus, monkeypatch):
    gpus(2)
    addresses = ["one:1", "two:1", "three:1"]
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker"}}))
    replicas = types.SimpleNamespace(num_replicas_in_sync=6)
    assert devices(replicas) == "2 GPUs (NVIDIA A100) on each of 3 machines"


def test_without_a_gpu(gpus, monkeypatch):
    gpus(0)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    assert devices(tf.distribute.get_strategy()) == "2 processors, no GPU" and not has_gpu()

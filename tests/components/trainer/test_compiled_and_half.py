"""Trainings in 16 bits with scaled losses, and trainings whose step XLA compiles: each recipe a few steps."""

from __future__ import annotations

import numpy as np
import pytest
from tensorflow import keras

from components.config import Task, configured
from components.trainer.task_model import TaskModel
from tests.support import tiny_faces, tiny_tasks
from tests.support.tiny_tasks import WatchedHybrid

pytestmark = pytest.mark.slow
REGULATION = configured("components.systems.dml_csr.self_regulation.SelfRegulation", first_epochs=1, cycle_epochs=1)


def plain(**settings):
    return tiny_faces.experiment(tiny_faces.LINEAR, tasks=(Task("attributes", "multi_label"),), epochs=2, **settings)


def parsing(**settings):
    return tiny_faces.parsing_experiment((REGULATION,), epochs=2, **settings)


def widening(**settings):
    return tiny_faces.widening_experiment(epochs=1, **settings)


RECIPES = {"plain": plain, "parsing": parsing, "widening": widening}


@pytest.fixture
def files(request, tiny_files, parsing_files):
    return lambda recipe: parsing_files if recipe == "parsing" else tiny_files


@pytest.fixture
def compiled(monkeypatch):
    """Every model that was compiled since, again after each widening."""
    models, compile_model = [], TaskModel.compile
    monkeypatch.setattr(
        TaskModel,
        "compile",
        lambda model, *args, **kwargs: models.append(model) or compile_model(model, *args, **kwargs),
    )
    return models


def losses(trained):
    return np.array([epoch["loss"] for epoch in trained.epochs])


@pytest.fixture(scope="module")
def in_float32(tiny_files, parsing_files, tmp_path_factory):
    """The losses of each recipe's epochs, by its name."""
    found = {}
    with tiny_faces.eagerly():
        for name, recipe in RECIPES.items():
            of = parsing_files if name == "parsing" else tiny_files
            found[name] = losses(tiny_faces.fit(recipe(), tmp_path_factory.mktemp(name), of))
    return found


@pytest.mark.parametrize("recipe", RECIPES)
def test_in_16_bits_with_scaled_losses(recipe, files, in_float32, tmp_path, compiled):
    with tiny_faces.eagerly():
        trained = tiny_faces.fit(RECIPES[recipe](precision="mixed_float16"), tmp_path, files(recipe))
    assert trained.record["trained_in"] == "mixed_float16"
    assert isinstance(compiled[-1].optimizer, keras.mixed_precision.LossScaleOptimizer)
    assert {layer.compute_dtype for layer in trained.network.layers} == {"float32"}  # as it is served
    # The first scale, 2^15, may be too large for a step or more: they are left out, and the rest learns as in float32.
    np.testing.assert_allclose(losses(trained), in_float32[recipe], rtol=0.15)


@pytest.mark.parametrize("recipe", RECIPES)
def test_compiled_by_xla(recipe, files, in_float32, tmp_path, compiled):
    trained = tiny_faces.fit(RECIPES[recipe](jit_compile=True), tmp_path, files(recipe))
    assert compiled[-1].jit_compile and len(compiled) == (4 if recipe == "widening" else 1)
    np.testing.assert_allclose(losses(trained), in_float32[recipe], rtol=0.01)


def test_hybrid_training_scales_each_task_s_losses(tmp_path, monkeypatch):
    from components.systems.ifan.config import HybridTraining

    monkeypatch.setattr(HybridTraining, "RECIPE", "tests.support.tiny_tasks.WatchedHybrid")
    two = ("landmarks", "emotion")
    tiny_tasks.write(tmp_path / "data", dict.fromkeys(two, 4), validation=4)
    tiny = tiny_tasks.experiment(two, 1, pretraining=0, epochs=1, precision="mixed_float16")
    with tiny_faces.eagerly():
        trained = tiny_tasks.fit(tiny, tmp_path / "out", tiny_faces.files_in(tmp_path / "data"))
    assert np.isfinite(losses(trained)).all() and trained.record["trained_in"] == "mixed_float16"
    for optimizer in WatchedHybrid.last.optimizers.values():
        assert isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)


def test_hybrid_training_is_not_compiled():
    with pytest.raises(ValueError, match=r"training.jit_compile: XLA has no gradient of resizing"):
        tiny_tasks.experiment(jit_compile=True).validate()

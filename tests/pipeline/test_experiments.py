"""Every registered experiment: it travels, its parts exist and fit together; the paper's variants are all there."""

import inspect
import json
import pathlib
import pkgutil
import subprocess
import sys
from dataclasses import replace

import pytest

from components.config import ObjectConfig, from_json, to_json
from components.datasets.binding import bound_tasks
from components.systems.base import System, system_of
from components.systems.ifan.config import HybridTraining
from components.tasks.base import learning_of
from keras_models import IFAN
from pipeline import experiments
from pipeline.experiments import registry
from pipeline.experiments.__main__ import listing, markdown

NAMES = experiments.names()
HYBRID = [name for name in NAMES if isinstance(experiments.get(name).training, HybridTraining)]
OTHERS = [name for name in NAMES if name not in HYBRID]
TABLE_1 = ("-baseline", "-fac", "-eq_fix", "-eq_at", "-dw_fix", "-spp", "")
TABLE_2 = ("-eq_at", "-dwa", "-aw", "")  # UW, DWA, AW, DW
ADAPTIVE = "components.systems.dmm_cnn.adaptive."
SIZES = ("", "-tiny")


def _variant(dataset, variant, size=""):
    return experiments.get(f"dmm_cnn/{dataset}{variant}{size}")


def _adaptive(experiment):
    """Which of the adaptive callbacks it has."""
    return {c.path.removeprefix(ADAPTIVE) for c in experiment.training.callbacks if c.path.startswith(ADAPTIVE)}


def test_names_are_sorted_and_distinct():
    assert sorted(set(NAMES)) == NAMES
    assert "dmm_cnn/synthetic" in NAMES


@pytest.mark.parametrize("dataset", ["celeb_a", "lfwa"])
@pytest.mark.parametrize("size", SIZES)
def test_every_variant_of_the_tables_is_registered(dataset, size):
    assert {f"dmm_cnn/{dataset}{variant}{size}" for variant in TABLE_1 + TABLE_2} <= set(NAMES)


def test_unknown_name_lists_the_nearest():
    with pytest.raises(ValueError, match=r"No experiment is called 'dmm_cnn/celeba'\. Near: dmm_cnn/celeb_a,"):
        experiments.get("dmm_cnn/celeba")
    with pytest.raises(ValueError, match="Near: none"):
        experiments.get("&")


def test_a_name_can_be_given_once():
    first, second = _variant("celeb_a", ""), _variant("lfwa", "")
    registry.register("dmm_cnn/celeb_a", first)
    with pytest.raises(ValueError, match="Two experiments are called 'dmm_cnn/celeb_a'"):
        registry.register("dmm_cnn/celeb_a", second)
    assert _variant("celeb_a", "") == first


@pytest.mark.parametrize("name", NAMES)
def test_survives_json(name):
    experiment = experiments.get(name)
    assert from_json(to_json(experiment)) == experiment
    assert to_json(from_json(to_json(experiment))) == to_json(experiment)


@pytest.mark.parametrize("name", OTHERS)
def test_its_parts_can_be_built(name):
    """Loss, schedule, optimizer, strategy and callbacks are built; the model's arguments fit its signature."""
    experiment = experiments.get(name)
    training = experiment.training
    assert pkgutil.resolve_name(training.RECIPE) and callable(pkgutil.resolve_name(training.loss.path))
    rate = training.learning_rate
    training.optimizer.build(learning_rate=rate.build(steps=100) if isinstance(rate, ObjectConfig) else rate)
    assert all(callable(pkgutil.resolve_name(each.path)) for each in (training.strategy, training.initializer) if each)
    assert all(hasattr(callback.build(), "set_model") for callback in training.callbacks)
    inspect.signature(pkgutil.resolve_name(experiment.model.path)).bind(
        input_shape=(8, 8, 3), **experiment.model.kwargs
    )


def test_published_forms_train_on_every_gpu_of_a_machine():
    published = [name for name in NAMES if not name.endswith(("-tiny", "/synthetic", "-one_device"))]
    assert len(published) > 100
    for name in published:
        strategy = experiments.get(name).training.strategy
        assert strategy.path.endswith("MirroredStrategy"), name


@pytest.mark.parametrize("name", NAMES)
def test_its_tasks_are_what_its_data_sets_have(name):
    experiment = experiments.get(name)
    tasks = bound_tasks(experiment)
    assert [task.task for task in tasks] == list(experiment.tasks)
    assert {task.dataset for task in tasks} == {dataset.name for dataset in experiment.data.datasets}
    sliced = {name for task in tasks if task.kind == "multi_label" for name in task.names}
    assert {*experiment.evaluation.slice_by} <= sliced
    assert any(task.bar for task in experiment.tasks) and experiment.summary and experiment.target
    assert isinstance(system_of(experiment), System)
    assert type(system_of(experiment)) is System or experiment.system.startswith("components.systems.")


@pytest.mark.parametrize("name", [name for name in NAMES if experiments.get(name).training.warm_start])
def test_a_warm_start_is_from_the_network_that_it_takes(name):
    """Else restore_trained refuses it, or an ablation starts from what it leaves out."""
    experiment = experiments.get(name)
    start = experiments.get(experiment.training.warm_start)
    initializer = getattr(experiment.training, "initializer", None)
    assert start.model == (initializer.kwargs["wider"] if initializer else experiment.model)
    assert start.data.image_size == experiment.data.image_size
    assert _adaptive(start) == _adaptive(experiment)
    shuffled = getattr(experiment.training, "fixed_tree", None)  # takes the tree, which may have started from VGG-16
    assert shuffled or not start.training.warm_start


def _without_iterations(model):
    """How many it has, and the model without saying it."""
    kwargs = dict(model.kwargs)
    return kwargs.pop("iterations", 0), replace(model, kwargs=kwargs)


def _small_networks():
    """Each distinct network that starts from random weights at a small size, under one of the names that have it."""
    distinct = {}
    for name in NAMES:
        experiment = experiments.get(name)
        # At its own size a paper's network is built in its own tests; it takes long.
        small = max(experiment.data.image_size) < 200 and f"{name}-tiny" not in NAMES
        if small and not experiment.model.kwargs.get("weights"):
            # Of iFANs that differ in their iterations alone the shortest will do.
            iterations, network = _without_iterations(experiment.model)
            key = to_json(network) + to_json(experiment.data.image_size)
            distinct[key] = min(distinct.get(key, (iterations, name)), (iterations, name))
    return sorted(name for _, name in distinct.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", _small_networks())
def test_small_networks_give_what_the_tasks_need(name):
    experiment = experiments.get(name)
    size = experiment.data.image_size
    model = experiment.model.build(input_shape=(*size, 3))
    inputs = model.input if isinstance(model.input, list | dict) else [model.input]
    images = [each for each in (inputs.values() if isinstance(inputs, dict) else inputs) if len(each.shape) == 4]
    assert (None, *size, 3) in [tuple(image.shape) for image in images]
    for task in bound_tasks(experiment):
        shape = tuple(model.output[task.name].shape)
        assert shape[0] is None and shape[-1] == learning_of(task, size).channels
        assert len(shape) == (4 if task.kind == "segmentation" else 2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dataset", ["celeb_a", "lfwa"])
def test_variants_differ_in_what_their_names_say(dataset, size):
    def of(variant):
        return _variant(dataset, variant, size)

    assert _adaptive(of("")) == {"AdaptiveThresholds", "DynamicWeights"}
    assert _adaptive(of("-eq_fix")) == _adaptive(of("-baseline")) == set()
    assert _adaptive(of("-eq_at")) == {"AdaptiveThresholds"}
    assert _adaptive(of("-dw_fix")) == {"DynamicWeights"}
    assert _adaptive(of("-dwa")) == {"AdaptiveThresholds", "DynamicWeightAverage"}
    assert _adaptive(of("-aw")) == {"AdaptiveThresholds", "AdaptiveWeighting"}
    for variant, arguments in {"": {"normalize": True}, "-literal": {}}.items():
        (weights,) = (each for each in of(variant).training.callbacks if each.path.endswith("DynamicWeights"))
        assert weights.kwargs == arguments
    assert of("-fac").model.kwargs == {**of("").model.kwargs, "num_landmarks": 0}
    assert of("-spp").model.kwargs == {**of("").model.kwargs, "subjective": None}
    assert of("-baseline").model.path == "keras_models.MultiTaskNetwork"
    for variant in ("-fac", "-baseline"):
        assert of(variant).tasks == of("").tasks[:1]
    for variant in TABLE_1 + TABLE_2:
        assert of(variant).data == of("").data and of(variant).evaluation == of("").evaluation
        settings = ("epochs", "batch_size", "optimizer", "learning_rate", "loss", "flip", "max_shift", "precision")
        for setting in settings:
            assert getattr(of(variant).training, setting) == getattr(of("").training, setting)


def test_the_papers_settings():
    """Section 4.1: batch 64, base rate 0.001, 15 epochs, SGD with momentum 0.9; β = 0.5, γ = 0.01."""
    training = _variant("celeb_a", "").training
    assert (training.epochs, training.batch_size, training.learning_rate) == (15, 64, 0.001)
    assert training.optimizer.kwargs == {"momentum": 0.9} and training.loss.kwargs == {"beta": 0.5}
    thresholds = next(c for c in training.callbacks if c.path.endswith("AdaptiveThresholds"))
    assert thresholds.build().gamma == 0.01
    assert _variant("lfwa", "").training.validation_split == "train"


MGG_DATASETS = ("celeb_a", "celeb_a-balanced", "lfwa")
MGG_VARIANTS = {
    "-baseline": {"attention": None},
    "-gal": {"graph": False},
    "-independent": {"attention": "independent", "graph": False},
    "-block3": {"taps": [3]},
    "-block4": {"taps": [4]},
    "-resnet34": {"backbone": "resnet34"},
    "-vgg16": {"backbone": "vgg16"},
    "-alexnet": {"backbone": "alexnet"},
    "-share_heads": {"share_heads": True},
    "-sigmoid": {"mask_activation": "sigmoid"},
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dataset", MGG_DATASETS)
def test_variants_of_mgg_net_differ_in_their_network_alone(dataset, size):
    """And gradients are clipped where a backbone has no batch norm."""
    base = experiments.get(f"mgg_net/{dataset}{size}")
    for variant, changes in MGG_VARIANTS.items():
        experiment = experiments.get(f"mgg_net/{dataset}{variant}{size}")
        assert experiment.model.kwargs == {**base.model.kwargs, **changes}
        optimizer = experiment.training.optimizer.kwargs
        clipped = {"global_clipnorm": 5.0} if changes.get("backbone") in ("vgg16", "alexnet") else {}
        assert optimizer == {**base.training.optimizer.kwargs, **clipped}
        same = replace(experiment.training, optimizer=base.training.optimizer)
        assert replace(experiment, model=base.model, training=same, summary=base.summary) == base


@pytest.mark.parametrize("size", SIZES)
def test_every_cell_of_mgg_nets_tables_is_there_on_lfwa(size):
    """Table 3: three networks on either block and on both; Table 4: three networks on four backbones."""
    base = experiments.get(f"mgg_net/lfwa{size}").model.kwargs
    networks = {
        "-independent": {"attention": "independent", "graph": False},
        "-baseline": {"attention": None},
        "-gal": {"graph": False},
        "": {},
    }
    blocks, backbones = (3, 4), ("resnet34", "vgg16", "alexnet")
    cells = [(name, f"-block{block}", {"taps": [block]}) for name in ("-independent", "-gal", "") for block in blocks]
    cells += [(name, f"-{each}", {"backbone": each}) for name in ("-baseline", "-gal", "") for each in backbones]
    for name, part, changes in cells:
        found = experiments.get(f"mgg_net/lfwa{name}{part}{size}").model.kwargs
        assert found == {**base, **networks[name], **changes}


@pytest.mark.parametrize("dataset", MGG_DATASETS)
def test_adaptive_mgg_net_has_the_callbacks_of_dmm_cnn_and_nothing_else(dataset):
    base, adaptive = (experiments.get(f"mgg_net/{dataset}{variant}-tiny") for variant in ("", "-adaptive"))
    assert _adaptive(adaptive) == {"AdaptiveThresholds", "DynamicWeights"}
    assert adaptive.model == base.model
    assert replace(adaptive.training, callbacks=()) == base.training


@pytest.mark.parametrize(
    ("name", "lengths", "balanced"),
    [("celeb_a", [9, 5], False), ("celeb_a-balanced", [12, 3], True), ("lfwa", [10, 5], False)],
)
def test_the_settings_of_mgg_nets_paper(name, lengths, balanced):
    """Section 4.1: batch 144 at 224 px, epochs at 0.01 and then at 0.001, ImageNet weights, several devices."""
    experiment = experiments.get(f"mgg_net/{name}")
    training, data = experiment.training, experiment.data
    assert (training.epochs, training.batch_size, data.image_size) == (sum(lengths), 144, (224, 224))
    assert training.learning_rate.kwargs == {"rates": [0.01, 0.001], "lengths": lengths}
    assert training.loss.kwargs == ({"balanced": True} if balanced else {})
    assert training.flip and experiment.model.kwargs["weights"] == "imagenet"
    assert training.strategy.path.endswith("MirroredStrategy")


DML_DATASETS = ("celebamask_hq", "lapa", "helen")
# Tables 4 and 6: the network's changes, λ0 to λ4.
DML_VARIANTS = {
    "-baseline": ({"context": "conv", "edges": False}, [1, 0, 0, 0, 0]),
    "-ddgcn": ({"edges": False}, [1, 0, 0, 0, 0]),
    "-dml_b": ({}, [1, 1, 0, 0, 0]),
    "-dml_b_ba": ({}, [1, 1, 0, 4, 0]),
    "-dml_c": ({}, [1, 0, 1, 0, 0]),
    "-dml_c_ca": ({}, [1, 0, 1, 0, 1]),
    "-dml_b_c": ({}, [1, 1, 1, 0, 0]),
    "-dml": ({}, [1, 1, 1, 4, 1]),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dataset", DML_DATASETS)
def test_variants_of_dml_csr_differ_in_what_their_names_say(dataset, size):
    base = experiments.get(f"dml_csr/{dataset}{size}")
    (regulation,) = base.training.callbacks
    assert regulation.path.endswith("SelfRegulation") and base.training.loss.kwargs["weights"] == [1, 1, 1, 4, 1]
    for variant, (changes, weights) in DML_VARIANTS.items():
        experiment = experiments.get(f"dml_csr/{dataset}{variant}{size}")
        assert experiment.model.kwargs == {**base.model.kwargs, **changes}
        training = experiment.training
        assert training.loss.kwargs["weights"] == weights
        assert training.callbacks == ()
        # Of the paper's the first phase goes three quarters of the way to 0; without cycles it is all.
        first = dict(base.training.learning_rate.kwargs["schedules"][0].kwargs)
        assert first.pop("share", 1.0) == (1.0 if size else 0.75) and training.learning_rate.kwargs == first
        same = replace(
            training, loss=base.training.loss, callbacks=base.training.callbacks, epochs=base.training.epochs
        )
        assert replace(same, learning_rate=base.training.learning_rate) == base.training
        assert (experiment.data, experiment.evaluation) == (base.data, base.evaluation)
    if not size:  # a tiny form's cycles have one epoch, which is all and the last
        (last,) = experiments.get(f"dml_csr/{dataset}-last").training.callbacks
        assert last.kwargs == {**regulation.kwargs, "ensemble": "last"}


@pytest.mark.parametrize("name", [f"dml_csr/{dataset}{size}" for dataset in DML_DATASETS for size in SIZES])
def test_the_cycles_fit_the_run(name):
    training = experiments.get(name).training
    (regulation,) = training.callbacks
    first, rest = training.learning_rate.kwargs["lengths"]
    assert first == regulation.kwargs["first_epochs"] and first + rest == training.epochs
    cycles = training.learning_rate.kwargs["schedules"][1].kwargs["cycles"]
    assert rest == cycles * regulation.kwargs["cycle_epochs"]


@pytest.mark.parametrize("dataset", DML_DATASETS)
def test_the_settings_of_dml_csrs_paper(dataset):
    """Section 4: 150 epochs and 5 cycles of 10, batch 28 at 473 px, turned by 30 degrees, scaled by 0.75 to 1.25."""
    experiment = experiments.get(f"dml_csr/{dataset}")
    training = experiment.training
    assert (training.epochs, training.batch_size, experiment.data.image_size) == (200, 28, (473, 473))
    assert (training.max_rotation, training.scale, training.flip) == (30.0, (0.75, 1.25), False)
    assert training.optimizer.kwargs == {"momentum": 0.9, "weight_decay": 5e-4}
    first, cycles = training.learning_rate.kwargs["schedules"]
    assert first.kwargs == {"base": 0.001, "power": 0.9, "share": 150 / 200}
    assert cycles.kwargs == {"peak": 0.0005, "final": 1e-5, "cycles": 5}


@pytest.mark.parametrize("dataset", DML_DATASETS)
def test_a_batch_of_dml_csr_on_one_device(dataset):
    published, alone = (experiments.get(f"dml_csr/{dataset}{variant}").training for variant in ("", "-one_device"))
    assert alone.accumulate == 4 and not alone.strategy.path.endswith("MirroredStrategy")
    assert replace(alone, accumulate=1, strategy=published.strategy) == published


def test_the_tail_classes_are_earrings_and_necklaces():
    experiment = experiments.get("dml_csr/celebamask_hq-tail_classes")
    weights = experiment.training.loss.kwargs["class_weights"]
    (task,) = bound_tasks(experiment)
    assert {name for name, weight in zip(task.names, weights, strict=True) if weight != 1} == {"ear_r", "neck_l"}


IFAN_VARIANTS = (
    "parsing",
    "landmarks",
    "emotion",
    "2t",
    "3t",
    "4t",
    *(f"2t-iter{iterations}" for iterations in (0, 1)),
    *(f"3t-iter{iterations}" for iterations in range(5)),
    "3t-no_re_encoder",
    "3t-shared_bn",
    "3t-gradient",
    "3t-no_pretraining",
    "3t-zero_feedback",
)


def test_every_variant_of_ifan_is_registered():
    expected = {f"ifan/{variant}{size}" for variant in IFAN_VARIANTS for size in SIZES}
    expected -= {"ifan/3t-iter2", "ifan/3t-iter1-tiny", "ifan/2t-iter1-tiny"}  # what 3t and 2t have themselves
    assert {*HYBRID} == {*expected, "ifan/synthetic"}


@pytest.mark.parametrize("name", HYBRID)
def test_the_parts_of_hybrid_training_fit_together(name):
    """Outputs are those of the tasks, each of which has a bar; schedules and optimizer can be built."""
    experiment = experiments.get(name)
    training = experiment.training
    assert experiment.model.kwargs["tasks"] == {task.name: len(task.names) for task in bound_tasks(experiment)}
    assert [task.task for task in training.tasks] == [task.name for task in experiment.tasks]
    assert all(task.bar for task in experiment.tasks) and experiment.data.image_size[0] % 32 == 0
    for rate in (training.pretraining_rate, training.learning_rate):
        training.optimizer.build(learning_rate=rate.build(steps=100))
    inspect.signature(IFAN).bind(input_shape=(64, 64, 3), **experiment.model.kwargs)


@pytest.mark.parametrize("size", SIZES)
def test_variants_of_ifan_differ_in_what_their_names_say(size):
    base = experiments.get(f"ifan/3t{size}")

    def of(variant):
        return replace(experiments.get(f"ifan/{variant}{size}"), summary=base.summary)

    def changes(variant):
        """How the network differs, where nothing else does."""
        assert replace(of(variant), model=base.model) == base
        return _changed(of(variant), base)

    for iterations in {*range(5)} - {base.model.kwargs["iterations"]}:
        assert changes(f"3t-iter{iterations}") == {"iterations": iterations}
    assert changes("3t-no_re_encoder") == {"re_encoders": False}
    assert changes("3t-gradient") == {"stop_gradient": False}
    assert changes("3t-shared_bn") == {"task_batch_norm": False}
    unprepared = of("3t-no_pretraining").training
    assert [task.pretraining_epochs for task in unprepared.tasks] == [0, 0, 0] and unprepared.plain_epochs == 0
    assert of("3t-zero_feedback") == replace(base, training=replace(base.training, initial_feedback="zeros"))
    two, alone = of("2t"), of("emotion")
    assert [task.task for task in two.training.tasks] == ["parsing", "landmarks"]
    assert of("2t-iter0").model.kwargs == {**two.model.kwargs, "iterations": 0}
    assert two.model.kwargs["iterations"] == base.model.kwargs["iterations"] and alone.model.kwargs["iterations"] == 0
    assert [dataset.labels for dataset in alone.data.datasets] == [("emotion",)]


@pytest.mark.parametrize("size", SIZES)
def test_a_fourth_task_is_a_data_set_a_task_and_a_bar(size):
    three, four = (experiments.get(f"ifan/{name}{size}") for name in ("3t", "4t"))
    assert four.data.datasets[:-1] == three.data.datasets and four.training.tasks[:-1] == three.training.tasks
    assert (four.data.datasets[-1].name, four.training.tasks[-1].task) == ("celeb_a", "attributes")
    assert four.model.kwargs == {**three.model.kwargs, "tasks": {**three.model.kwargs["tasks"], "attributes": 40}}


def test_the_settings_of_ifans_paper():
    """Section 4.1.2: batches of 24, 64, 96; 30 epochs at 1e-3, 200 down to 1e-6; RMSprop; 128 px; two iterations."""
    experiment = experiments.get("ifan/3t")
    training = experiment.training
    assert [(task.task, task.batch_size) for task in training.tasks] == [
        ("parsing", 24),
        ("landmarks", 64),
        ("emotion", 96),
    ]
    assert {task.pretraining_epochs for task in training.tasks} == {30} and training.epochs == 200
    assert training.pretraining_rate.kwargs == {"rate": 1e-3}
    assert training.learning_rate.kwargs == {"first": 1e-3, "last": 1e-6}
    assert training.optimizer.path.endswith("RMSprop") and experiment.data.image_size == (128, 128)
    assert experiment.model.kwargs == {"tasks": {"parsing": 9, "landmarks": 5, "emotion": 7}, "iterations": 2}


def _changed(experiment, base):
    """The model's arguments that another experiment's has not got, or has otherwise."""
    kwargs = base.model.kwargs
    return {name: value for name, value in experiment.model.kwargs.items() if kwargs.get(name) != value}


def test_listing_them_imports_no_tensorflow():
    check = (
        "import json, sys; from pipeline import experiments; import pipeline.experiments.__main__; "
        "names = experiments.names(); "
        "print(json.dumps([names, [m for m in ('tensorflow', 'tfx', 'apache_beam', 'numpy') if m in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [NAMES, []]


def _branching(name):
    return experiments.get(f"branching/{name}")


def test_every_row_of_the_branching_papers_tables_is_registered():
    of_celeb_a = ("vgg16", "low_rank", "thin32", "w32-a1", "w32-a2", "w64-a1", "w32-a2-shuffled", "thin32-random")
    table_3 = ("vgg16-random", "w32-a2-random")
    rows = {f"branching/celeb_a-{row}" for row in (*of_celeb_a, *table_3)}
    rows |= {
        f"branching/{row}" for row in ("joint-w32-a2", "joint-w64-a2", "deepfashion-vgg16", "deepfashion-low_rank")
    }
    assert rows <= set(NAMES)


def test_the_settings_of_the_branching_paper():
    """Section 4.5: 60,000 batches of 32 in rounds of 1,000, a tenth of the rate every 20,000; joint 100,000, 40,000."""
    training = _branching("celeb_a-w32-a1").training
    assert (training.batch_size, training.steps, training.epochs * training.steps) == (32, 1000, 60_000)
    assert (training.widening_rate, training.flip, training.optimizer.kwargs["weight_decay"]) == (1e-3, False, 5e-4)
    rate = training.learning_rate.build(steps=60_000)
    assert [round(float(rate(step)), 7) for step in (20_000, 20_001, 40_001)] == [1e-3, 1e-4, 1e-5]
    joint = _branching("joint-w64-a2").training
    assert (joint.steps, joint.epochs * joint.steps) == (2000, 100_000)
    rate = joint.learning_rate.build(steps=100_000)
    assert [round(float(rate(step)), 7) for step in (40_000, 40_001, 80_001)] == [1e-3, 1e-4, 1e-5]


@pytest.mark.parametrize(
    ("base", "pattern"), [("celeb_a-w32-a2", "celeb_a-w32-a2-{}"), ("celeb_a-w32-a1-tiny", "celeb_a-{}-tiny")]
)
def test_shuffled_and_retrained_differ_in_their_tree_alone(base, pattern):
    found = _branching(base).training
    retrained, shuffled = (_branching(pattern.format(name)).training for name in ("retrained", "shuffled"))
    assert shuffled.warm_start == f"branching/{base}" and shuffled.fixed_tree == "permuted"
    assert replace(shuffled, fixed_tree="learned") == retrained
    assert replace(retrained, warm_start=found.warm_start, initializer=found.initializer, fixed_tree=None) == found


def test_branched_experiments_of_one_size_differ_by_alpha_or_start_alone():
    base = _branching("celeb_a-w32-a1-tiny")
    for name, alpha in (("celeb_a-thin-tiny", 0.0), ("celeb_a-w32-a2-tiny", 2.0), ("celeb_a-somp-tiny", 1.0)):
        other = _branching(name)
        assert (other.model, other.data) == (base.model, base.data) and other.training.alpha == alpha
        start = {"warm_start": base.training.warm_start, "initializer": base.training.initializer}
        assert replace(other.training, alpha=1.0, **start) == base.training


@pytest.mark.parametrize("name", [name for name in NAMES if experiments.get(name).data.teachers])
def test_a_teacher_learnt_the_label_at_the_same_size(name):
    experiment = experiments.get(name)
    tasks = {task.name: task for task in bound_tasks(experiment)}
    for teacher in experiment.data.teachers:
        other = experiments.get(teacher.experiment)
        taught = {task.name: task for task in bound_tasks(other)}
        assert other.data.image_size == experiment.data.image_size
        assert taught[teacher.task].annotation == tasks[teacher.task].annotation
        assert tasks[teacher.task].taught


def test_what_can_not_run_is_not_registered():
    broken = replace(_variant("celeb_a", ""), tasks=())
    with pytest.raises(ValueError, match="Experiment 'dmm_cnn/broken': An experiment learns one task or more"):
        registry.register("dmm_cnn/broken", broken)
    assert "dmm_cnn/broken" not in registry.REGISTERED


PLAIN = {"synthetic": 4, "celeb_a-tiny": 1, "celebamask_hq-tiny": 1, "mtfl-tiny": 1, "fer2013-tiny": 1}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_experiments_have_nothing_of_a_paper(name):
    experiment = experiments.get(f"plain/{name}")
    assert not experiment.system and len(experiment.tasks) == PLAIN[name] and not experiment.training.callbacks
    assert experiment.training.loss.path == "components.trainer.objectives.TaskLosses"
    assert experiment.model.path == "keras_models.MultiTaskNetwork"


def test_the_table_of_experiments_is_fresh():
    readme = pathlib.Path(experiments.__file__).with_name("README.md").read_text()
    assert readme == markdown(), "run: python -m pipeline.experiments --markdown > pipeline/experiments/README.md"


def test_the_listing_by_a_pattern():
    lines = listing("ifan/3t*-tiny").splitlines()
    assert [line.split()[0] for line in lines] == [n for n in NAMES if n.startswith("ifan/3t") and n.endswith("-tiny")]
    assert "[celebamask_hq, mtfl, fer2013]" in lines[0]
    assert "after branching/celeb_a-vgg16, branching/deepfashion-vgg16]" in listing("branching/joint-w64-a2")
    assert listing("no/*") == "No experiment's name fits 'no/*'."

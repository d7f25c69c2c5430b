"""Every registered experiment: it travels, its parts exist and fit together; the paper's variants are all there."""

import inspect
import json
import pkgutil
import subprocess
import sys
from dataclasses import replace

import pytest
from components.datasets.annotation import annotated_names

from components.config import Factory, HybridTraining, from_json, to_json
from components.datasets import source_class
from keras_models import IFAN
from pipeline import experiments
from pipeline.experiments import registry

NAMES = experiments.names()
HYBRID = [name for name in NAMES if isinstance(experiments.get(name).training, HybridTraining)]
PLAIN = [name for name in NAMES if name not in HYBRID]
TABLE_1 = ("-baseline", "-fac", "-eq_fix", "-eq_at", "-dw_fix", "-spp", "")
TABLE_2 = ("-eq_at", "-dwa", "-aw", "")  # UW, DWA, AW, DW
ADAPTIVE = "components.trainer.adaptive."
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


@pytest.mark.parametrize("name", PLAIN)
def test_its_parts_can_be_built(name):
    """Loss, schedule, optimizer, strategy and callbacks are built; the model's arguments fit its signature."""
    experiment = experiments.get(name)
    training = experiment.training
    terms = {"loss", "parsing_loss"} if experiment.data.parsing else {"loss"}
    assert terms <= set(training.loss.build().TERMS)
    rate = training.learning_rate.build(steps=100) if isinstance(training.learning_rate, Factory) else 0.001
    training.optimizer.build(learning_rate=rate)
    assert callable(pkgutil.resolve_name(training.strategy.path))
    assert all(hasattr(callback.build(), "set_model") for callback in training.callbacks)
    inspect.signature(pkgutil.resolve_name(experiment.model.path)).bind(
        input_shape=(8, 8, 3), **experiment.model.kwargs
    )


@pytest.mark.parametrize("name", PLAIN)
def test_its_parts_fit_together(name):
    experiment = experiments.get(name)
    points = experiment.model.kwargs.get("num_landmarks", 0)
    assert points in (0, experiment.data.num_landmarks)
    data, evaluation = experiment.data, experiment.evaluation
    builder = source_class(data.sources[0])
    assert set(evaluation.slice_by) <= set(builder.ATTRIBUTES if data.attributes else ())
    bars = {
        "min_balanced_accuracy": data.attributes,
        "min_mean_f1": data.parsing,
        "min_clothing_top3": data.clothing,
    }
    for bar, needed in bars.items():
        assert (0.25 < getattr(evaluation, bar) < 1) if needed else getattr(evaluation, bar) is None
    assert experiment.model.kwargs.get("num_classes", len(builder.LABELS)) == len(builder.LABELS)
    assert experiment.summary and experiment.target


@pytest.mark.parametrize("name", [name for name in NAMES if experiments.get(name).training.warm_start])
def test_a_warm_start_is_from_the_network_that_it_takes(name):
    """Else restore_trained refuses it, or an ablation starts from what it leaves out."""
    experiment = experiments.get(name)
    start = experiments.get(experiment.training.warm_start)
    wider = experiment.training.start.kwargs.get("wider")
    if wider is None:
        assert start.model == experiment.model
    else:  # of which `start` takes a part; with what weights it began doesn't matter
        given = {key: value for key, value in wider.kwargs.items() if value is not None}
        assert given == {key: value for key, value in start.model.kwargs.items() if key != "weights"}
        assert wider.path == start.model.path
    assert start.data.image_size == experiment.data.image_size
    assert _adaptive(start) == _adaptive(experiment)
    shuffled = getattr(experiment.training, "given_tree", None)  # takes the tree, which may have started from VGG-16
    assert shuffled or not start.training.warm_start


def _tiny_models():
    """Each distinct network that starts from random weights, under one of the names that have it."""
    distinct = {}
    for name in PLAIN:
        experiment = experiments.get(name)
        # At their own size the networks of DML-CSR are built in its own tests; they take long.
        full_size = "tiny" not in name and experiment.data.parsing
        if not experiment.model.kwargs.get("weights") and not full_size:
            distinct.setdefault(to_json(experiment.model) + to_json(experiment.data.image_size), name)
    return sorted(distinct.values())


@pytest.mark.parametrize("name", _tiny_models())
def test_tiny_networks_build(name):
    experiment = experiments.get(name)
    model = experiment.model.build(input_shape=(*experiment.data.image_size, 3))
    shapes = {key: tuple(output.shape) for key, output in model.output.items()}
    points = experiment.model.kwargs.get("num_landmarks", 0)
    assert model.input_shape == (None, *experiment.data.image_size, 3)
    assert shapes.pop("landmarks", None) == ((None, 2 * points) if points else None)
    builder = source_class(experiment.data.sources[0])
    if experiment.data.parsing:
        assert shapes.pop("binary_edge", (None, *experiment.data.image_size, 2)) == (
            None,
            *experiment.data.image_size,
            2,
        )
        assert "parsing" in shapes
        assert set(shapes.values()) == {(None, *experiment.data.image_size, len(builder.LABELS))}
        return
    if experiment.data.clothing:
        assert shapes.pop("clothing") == (None, len(annotated_names(experiment.data, "clothing")))
    if experiment.data.attributes:
        assert "attributes" in shapes
    assert set(shapes.values()) <= {(None, len(builder.ATTRIBUTES))}


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
    assert of("-fac").model.kwargs == {**of("").model.kwargs, "num_landmarks": 0}
    assert of("-spp").model.kwargs == {**of("").model.kwargs, "subjective": None}
    assert of("-baseline").model.path == "keras_models.AttributeBaseline"
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
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dataset", MGG_DATASETS)
def test_variants_of_mgg_net_differ_in_their_network_alone(dataset, size):
    base = experiments.get(f"mgg_net/{dataset}{size}")
    for variant, changes in MGG_VARIANTS.items():
        experiment = experiments.get(f"mgg_net/{dataset}{variant}{size}")
        assert experiment.model.kwargs == {**base.model.kwargs, **changes}
        assert replace(experiment, model=base.model, summary=base.summary) == base


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
    assert training.loss.build().balanced is balanced
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
        assert training.learning_rate == base.training.learning_rate.kwargs["schedules"][0]
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
    assert first.kwargs == {"base": 0.001, "power": 0.9}
    assert cycles.kwargs == {"peak": 0.001, "final": 1e-5, "cycles": 5}


IFAN_VARIANTS = (
    "parsing",
    "landmarks",
    "emotion",
    "2t",
    "3t",
    "4t",
    *(f"3t-iter{iterations}" for iterations in (0, 1, 3, 4)),
    "3t-no_re_encoder",
    "3t-shared_bn",
    "3t-no_pretraining",
    "3t-zero_feedback",
)


def test_every_variant_of_ifan_is_registered():
    expected = {f"ifan/{variant}{size}" for variant in IFAN_VARIANTS for size in SIZES}
    assert {*HYBRID} == {*expected, "ifan/synthetic"}


@pytest.mark.parametrize("name", HYBRID)
def test_the_parts_of_hybrid_training_fit_together(name):
    """Tasks, labels, outputs, data sets and bars are of the same tasks; schedules and optimizer can be built."""
    experiment = experiments.get(name)
    data, training, evaluation = experiment.data, experiment.training, experiment.evaluation
    tasks = experiment.model.kwargs["tasks"]
    assert {task.label for task in training.tasks} == {*tasks} == {*data.labels}
    assert {data.source_of(label).name for label in tasks} == {source.name for source in data.sources}
    assert tasks == {label: len(annotated_names(data, label)) for label in tasks}
    assert ("num_landmarks" not in experiment.model.kwargs) and data.image_size[0] % 32 == 0
    bars = {
        "parsing": evaluation.min_mean_f1,
        "landmarks": evaluation.max_nme,
        "emotion": evaluation.min_emotion_accuracy,
        "attributes": evaluation.min_balanced_accuracy,
    }
    assert {label for label, bar in bars.items() if bar} == {*tasks}
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

    for iterations in (0, 1, 3, 4):
        assert changes(f"3t-iter{iterations}") == {"iterations": iterations}
    assert changes("3t-no_re_encoder") == {"re_encoders": False}
    assert changes("3t-shared_bn") == {"task_batch_norm": False}
    assert [task.pretraining_epochs for task in of("3t-no_pretraining").training.tasks] == [0, 0, 0]
    assert of("3t-zero_feedback") == replace(base, training=replace(base.training, initial_feedback="zeros"))
    two, alone = of("2t"), of("emotion")
    assert [task.label for task in two.training.tasks] == ["parsing", "landmarks"]
    assert two.model.kwargs["iterations"] == 2 and alone.model.kwargs["iterations"] == 0
    assert [source.labels for source in alone.data.sources] == [("emotion",)]


@pytest.mark.parametrize("size", SIZES)
def test_a_fourth_task_is_a_data_set_a_task_and_a_bar(size):
    three, four = (experiments.get(f"ifan/{name}{size}") for name in ("3t", "4t"))
    assert four.data.sources[:-1] == three.data.sources and four.training.tasks[:-1] == three.training.tasks
    assert (four.data.sources[-1].name, four.training.tasks[-1].label) == ("celeb_a", "attributes")
    assert four.model.kwargs == {**three.model.kwargs, "tasks": {**three.model.kwargs["tasks"], "attributes": 40}}


def test_the_settings_of_ifans_paper():
    """Section 4.1.2: batches of 24, 64, 96; 30 epochs at 1e-3, 200 down to 1e-6; RMSprop; 128 px; two iterations."""
    experiment = experiments.get("ifan/3t")
    training = experiment.training
    assert [(task.label, task.batch_size) for task in training.tasks] == [
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
        "import json, sys; from pipeline import experiments; names = experiments.names(); "
        "print(json.dumps([names, [m for m in ('tensorflow', 'tfx', 'apache_beam', 'numpy') if m in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [NAMES, []]


def _branching(name):
    return experiments.get(f"branching/{name}")


def test_every_row_of_the_branching_papers_tables_is_registered():
    of_celeb_a = ("vgg16", "low_rank", "thin32", "32-1.0", "32-2.0", "64-1.0", "32-2.0-shuffled", "thin32-random")
    table_3 = ("vgg16-random", "32-2.0-random")
    rows = {f"branching/celeb_a-{row}" for row in (*of_celeb_a, *table_3)}
    rows |= {
        f"branching/{row}" for row in ("joint-32-2.0", "joint-64-2.0", "deepfashion-vgg16", "deepfashion-low_rank")
    }
    assert rows <= set(NAMES)


def test_the_settings_of_the_branching_paper():
    """Section 4.5: 60,000 batches of 32 in rounds of 1,000, a tenth of the rate every 20,000; joint 100,000, 40,000."""
    training = _branching("celeb_a-32-1.0").training
    assert (training.batch_size, training.steps, training.epochs * training.steps) == (32, 1000, 60_000)
    rate = training.learning_rate.build(steps=60_000)
    assert [round(float(rate(step)), 7) for step in (20_000, 20_001, 40_001)] == [1e-3, 1e-4, 1e-5]
    joint = _branching("joint-64-2.0").training
    assert (joint.steps, joint.epochs * joint.steps) == (2000, 100_000)
    rate = joint.learning_rate.build(steps=100_000)
    assert [round(float(rate(step)), 7) for step in (40_000, 40_001, 80_001)] == [1e-3, 1e-4, 1e-5]


@pytest.mark.parametrize(
    ("base", "pattern"), [("celeb_a-32-2.0", "celeb_a-32-2.0-{}"), ("celeb_a-tiny", "celeb_a-{}-tiny")]
)
def test_shuffled_and_retrained_differ_in_their_tree_alone(base, pattern):
    found = _branching(base).training
    retrained, shuffled = (_branching(pattern.format(name)).training for name in ("retrained", "shuffled"))
    assert shuffled.warm_start == f"branching/{base}" and shuffled.given_tree == "shuffled"
    assert replace(shuffled, given_tree="found") == retrained
    assert replace(retrained, warm_start=found.warm_start, start=found.start, given_tree=None) == found


def test_branched_experiments_of_one_size_differ_by_alpha_or_start_alone():
    base = _branching("celeb_a-tiny")
    for name, alpha in (("celeb_a-thin-tiny", 0.0), ("celeb_a-2.0-tiny", 2.0), ("celeb_a-somp-tiny", 1.0)):
        other = _branching(name)
        assert (other.model, other.data) == (base.model, base.data) and other.training.alpha == alpha
        start = {"warm_start": base.training.warm_start, "start": base.training.start}
        assert replace(other.training, alpha=1.0, **start) == base.training


@pytest.mark.parametrize("name", [name for name in NAMES if experiments.get(name).data.teachers])
def test_a_teacher_learnt_the_label_at_the_same_size(name):
    data = experiments.get(name).data
    for teacher in data.teachers:
        taught = experiments.get(teacher.experiment).data
        assert taught.image_size == data.image_size
        assert annotated_names(taught, teacher.label) == annotated_names(data, teacher.label)

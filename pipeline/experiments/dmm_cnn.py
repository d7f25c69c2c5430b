"""DMM-CNN (Mao et al. 2020): 91.70 % mean accuracy on CelebA, 86.56 % on LFWA (Table 3).

    make run                                                 synthetic faces, to try everything: minutes, no download
    make run EXPERIMENT=dmm_cnn/celeb_a DATA_DIR=...         the paper's run: 15 epochs of 162,770 images, a GPU's work
    make run EXPERIMENT=dmm_cnn/celeb_a-tiny DATA_DIR=...    ResNet-18 at 96 px, 10 epochs, for two CPU cores
    make run EXPERIMENT=dmm_cnn/celeb_a-lite0-tiny DATA_DIR=...    EfficientNet-Lite0 from ImageNet weights; ours
    make run EXPERIMENT=dmm_cnn/lfwa DATA_DIR=...            fine-tunes the blessed model of dmm_cnn/celeb_a

Variants (Table 1), each also with -tiny behind: baseline, fac, eq_fix, eq_at, dw_fix, spp. Weighting schemes (Table 2),
all of mean weight 1: dwa, aw; the table's UW is eq_at and its "proposed" the plain name, whose dynamic weights are
scaled to a mean of 1. That is ours: as Eq. 4 has them (literal) they fall towards 0, β stays, and the attributes stop
being learnt.

The network is He et al.'s ResNet-50 with keras.applications' weights. The authors' is PyTorch's, with strides in the
3 x 3 convolutions: SET="model.backbone=resnet50v1.5 model.weights=resnet50.safetensors", torchvision's state dict.
"""

from __future__ import annotations

from dataclasses import replace

from components.config import Bar, Data, DatasetConfig, Evaluation, Experiment, Export, Task, Training, configured
from pipeline.experiments.plain import on_lite0
from pipeline.experiments.registry import register

ADAPTIVE_THRESHOLDS = configured("components.systems.dmm_cnn.adaptive.AdaptiveThresholds", gamma=0.01)
DYNAMIC_WEIGHTS = configured("components.systems.dmm_cnn.adaptive.DynamicWeights")
NORMALIZED_WEIGHTS = configured(DYNAMIC_WEIGHTS.path, normalize=True)
AVERAGED_WEIGHTS = configured("components.systems.dmm_cnn.adaptive.DynamicWeightAverage")
ADAPTIVE_WEIGHTING = configured("components.systems.dmm_cnn.adaptive.AdaptiveWeighting")

SLICES = ("Male", "Young")


def _tasks(min_balanced_accuracy: float) -> tuple[Task, ...]:
    bar = Bar("mean_balanced_accuracy", at_least=min_balanced_accuracy)
    # Attributes are trained towards +1 and -1 (Eq. 2); with landmarks as the auxiliary task.
    return (Task("attributes", "multi_label", {"scores": "signed"}, bar), Task("landmarks", "landmarks"))


# Section 4.1: batch 64, base rate 0.001, times 0.1 when the validation loss stops decreasing, 15 epochs; β of Eq. 3.
# The floor of the rate is ours: without one it falls to nothing when the loss stays where it is.
PAPER = Training(
    epochs=15,
    batch_size=64,
    optimizer=configured("tensorflow.keras.optimizers.SGD", momentum=0.9),
    learning_rate=0.001,
    strategy=configured("tensorflow:distribute.MirroredStrategy"),
    loss=configured("components.systems.dmm_cnn.loss.DMMLoss", beta=0.5),
    callbacks=(
        ADAPTIVE_THRESHOLDS,
        NORMALIZED_WEIGHTS,
        configured(
            "tensorflow.keras.callbacks.ReduceLROnPlateau",
            monitor="val_attribute_loss",
            factor=0.1,
            patience=1,
            min_lr=1e-5,
        ),
    ),
)
CELEB_A = Experiment(
    summary="DMM-CNN on CelebA, as published",
    target="Mao et al. 2020, Tables 1-3: 91.70 % mean accuracy on CelebA's test split (ImageNet weights, 224 px).",
    data=Data(datasets=(DatasetConfig("celeb_a", {"landmarks": False}),), annotate_landmarks="landmarks"),
    tasks=_tasks(min_balanced_accuracy=0.75),
    model=configured("keras_models.DMMCNN", num_landmarks=68, backbone="resnet50", weights="imagenet"),
    training=PAPER,
    evaluation=Evaluation(slice_by=SLICES),
)
# Mixed bfloat16 and AdamW with one cycle: what two CPU cores get furthest with in minutes.
TINY = replace(
    CELEB_A,
    summary="DMM-CNN on CelebA: ResNet-18, 96 px, 10 epochs, for two CPU cores",
    target="No published figure: a plain ResNet-18 of this size reached 89.5 % on 10,000 images of CelebA.",
    data=replace(CELEB_A.data, image_size=(96, 96)),
    tasks=_tasks(min_balanced_accuracy=0.6),
    model=configured(
        "keras_models.DMMCNN",
        num_landmarks=68,
        backbone="resnet18",
        objective_units=[256],
        subjective_units=[512, 256],
        landmark_units=[256],
    ),
    training=replace(
        PAPER,
        epochs=10,
        optimizer=configured("tensorflow.keras.optimizers.AdamW", weight_decay=0.05),
        learning_rate=configured("components.trainer.schedules.one_cycle", peak=0.002, warmup=0.2),
        callbacks=(ADAPTIVE_THRESHOLDS, NORMALIZED_WEIGHTS),
        strategy=Training.strategy,
        precision="mixed_bfloat16",
    ),
)
SYNTHETIC = replace(
    TINY,
    summary="DMM-CNN on procedurally drawn faces: to try everything, not for claims",
    target="No published figure: the faces are drawn, so no figure here says anything about photographs.",
    data=Data(datasets=(DatasetConfig("synthetic_faces"),), image_size=(64, 64)),
    tasks=_tasks(min_balanced_accuracy=0.55),
    model=replace(TINY.model, kwargs={**TINY.model.kwargs, "backbone_width": 32}),
    training=replace(TINY.training, epochs=16, batch_size=32, max_shift=0.05),
)
LFWA = replace(
    CELEB_A,
    summary="DMM-CNN fine-tuned on LFWA from the CelebA model",
    target="Mao et al. 2020, Tables 2 and 3: 86.56 % mean accuracy on LFWA's test split.",
    data=replace(CELEB_A.data, datasets=(DatasetConfig("lfwa"),)),
    # LFWA has no validation split: weights and thresholds follow the training split (Section 4.1).
    training=replace(PAPER, validation_split="train", warm_start="dmm_cnn/celeb_a"),
)
LFWA_TINY = replace(
    TINY,
    summary="DMM-CNN fine-tuned on LFWA: ResNet-18, 96 px, 10 epochs, for two CPU cores",
    target="No published figure of this size.",
    data=replace(LFWA.data, image_size=TINY.data.image_size),
    training=replace(TINY.training, validation_split="train", warm_start="dmm_cnn/celeb_a-tiny"),
)


def _exchanged(experiment, *callbacks, by=()):
    """Without the `callbacks`, and with those of `by` instead."""
    kept = tuple(c for c in experiment.training.callbacks if c.path not in {callback.path for callback in callbacks})
    return replace(experiment, training=replace(experiment.training, callbacks=(*by, *kept)))


def _with_model(experiment, **arguments):
    model = replace(experiment.model, kwargs={**experiment.model.kwargs, **arguments})
    return replace(experiment, model=model)


def _without_landmarks(experiment):
    return replace(experiment, tasks=tuple(task for task in experiment.tasks if task.kind != "landmarks"))


def _baseline(experiment):
    shared = {k: v for k, v in experiment.model.kwargs.items() if k in ("backbone", "weights")}
    plain = _without_landmarks(_exchanged(experiment, DYNAMIC_WEIGHTS, ADAPTIVE_THRESHOLDS))
    return replace(plain, model=configured("keras_models.MultiTaskNetwork", outputs={"attributes": 40}, **shared))


# Name: (what the summary says, how the variant differs).
VARIANTS = {
    "baseline": ("backbone and 40 outputs alone", _baseline),
    "fac": ("without landmarks", lambda e: _without_landmarks(_with_model(e, num_landmarks=0))),
    "eq_fix": ("equal weights, fixed thresholds", lambda e: _exchanged(e, DYNAMIC_WEIGHTS, ADAPTIVE_THRESHOLDS)),
    "eq_at": ("equal weights", lambda e: _exchanged(e, DYNAMIC_WEIGHTS)),
    "dw_fix": ("fixed thresholds", lambda e: _exchanged(e, ADAPTIVE_THRESHOLDS)),
    "spp": ("one attribute branch, no grouping", lambda e: _with_model(e, subjective=None)),
    "dwa": ("weights by DWA", lambda e: _exchanged(e, DYNAMIC_WEIGHTS, by=(AVERAGED_WEIGHTS,))),
    "aw": ("weights by AW", lambda e: _exchanged(e, DYNAMIC_WEIGHTS, by=(ADAPTIVE_WEIGHTING,))),
    "literal": ("weights as Eq. 4 has them", lambda e: _exchanged(e, NORMALIZED_WEIGHTS, by=(DYNAMIC_WEIGHTS,))),
}

register("dmm_cnn/synthetic", SYNTHETIC)
register("dmm_cnn/celeb_a-lite0-tiny", replace(on_lite0(TINY, image_size=(146, 118)), export=Export(flip_average=True)))
for _name, _full, _tiny in (("celeb_a", CELEB_A, TINY), ("lfwa", LFWA, LFWA_TINY)):
    for _base, _suffix in ((_full, ""), (_tiny, "-tiny")):
        register(f"dmm_cnn/{_name}{_suffix}", _base)
        for _variant, (_words, _differ) in VARIANTS.items():
            # A variant of LFWA starts from the same variant on CelebA: another network's weights would not fit.
            _start = _base.training.warm_start and f"dmm_cnn/celeb_a-{_variant}{_suffix}"
            _renamed = replace(
                _base, summary=f"{_base.summary}; {_words}", training=replace(_base.training, warm_start=_start)
            )
            register(f"dmm_cnn/{_name}-{_variant}{_suffix}", _differ(_renamed))

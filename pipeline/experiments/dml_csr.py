"""DML-CSR (Zheng et al. 2022): 86.07 % mean F1 on CelebAMask-HQ, 92.38 % on LaPa; 93.78 % overall F1 on Helen.

    make run EXPERIMENT=dml_csr/celebamask_hq DATA_DIR=...         the paper's run: 200 epochs at 473 px, a GPU's work
    make run EXPERIMENT=dml_csr/celebamask_hq-tiny DATA_DIR=...    193 px, a narrow ResNet, for two CPU cores
    make run EXPERIMENT=dml_csr/celebamask_hq-lite0-tiny DATA_DIR=...    EfficientNet-Lite0 from ImageNet weights; ours
    make run EXPERIMENT=dml_csr/celebamask_hq-lite0-321-tiny DATA_DIR=...    the same at 321 px
    make run EXPERIMENT=dml_csr/lapa DATA_DIR=...                  DML-CSR for LaPa and Helen
    make run EXPERIMENT=dml_csr/synthetic                          drawn faces, to try it

Variants, each also with -tiny behind. Table 4: baseline, ddgcn, dml, and the plain name, which is +CSR. Table 6: dml_b,
dml_b_ba, dml_c, dml_c_ca, dml_b_c (its DML_all is dml). Table 5's DDGCN is ddgcn; its other rows are other papers'
modules, which are not here. last: a cycle's last model alone is aggregated, as the authors released it. context1: the
1 x 1 convolution that gives the paper's count of parameters. one_device: the batch of 28 in four parts, for one GPU.
celebamask_hq-tail_classes: w_j of Eq. 4, which the paper doesn't give, is 4 for earrings and necklaces; ours.
"""

from __future__ import annotations

from dataclasses import replace

from components.config import Bar, Data, DatasetConfig, Experiment, Export, Task, Training, configured
from pipeline.experiments.registry import register

# λ0 to λ4 of Eq. 5. Section 4: λ1 = λ2 = 1 for the edges, λ3 = 4 and λ4 = 1 for the attention to them.
ALL_LOSSES = [1, 1, 1, 4, 1]


def _regulated(training: Training, first_epochs: int, cycles: int, cycle_epochs: int, peak: float) -> Training:
    """The training with cycles of self-regulation behind its epochs, in which the rate falls from `peak` to 1e-5."""
    cosine = configured("components.trainer.schedules.cosine_cycles", peak=peak, final=1e-5, cycles=cycles)
    return replace(
        training,
        epochs=first_epochs + cycles * cycle_epochs,
        learning_rate=configured(
            "components.trainer.schedules.Joined",
            schedules=[training.learning_rate, cosine],
            lengths=[first_epochs, cycles * cycle_epochs],
        ),
        callbacks=(
            configured(
                "components.systems.dml_csr.self_regulation.SelfRegulation",
                first_epochs=first_epochs,
                cycle_epochs=cycle_epochs,
            ),
        ),
    )


def _tasks(min_mean_f1: float) -> tuple[Task, ...]:
    return (Task("parsing", "segmentation", bar=Bar("mean_f1", at_least=min_mean_f1)),)


# Section 4: batch 28, SGD with a weight decay of 5e-4, base rate 0.001; rotations by 30 degrees, factors 0.75 to 1.25.
# By the released code: the rate falls over all 200 epochs, of which the first phase has 150, with power 0.9; cycles
# begin at half the base rate; what turns into view is black. It turns the original image, here it is turned at 473 px.
SUPERVISED = Training(
    epochs=200,
    batch_size=28,
    optimizer=configured("components.trainer.optimizers.sgd", momentum=0.9, weight_decay=5e-4),
    learning_rate=configured("components.trainer.schedules.polynomial", base=0.001, power=0.9, share=0.75),
    loss=configured("components.systems.dml_csr.loss.DMLLoss", weights=ALL_LOSSES),
    flip=False,
    max_rotation=30.0,
    scale=(0.75, 1.25),
    fill_mode="constant",
    strategy=configured("tensorflow:distribute.MirroredStrategy"),
)
CELEBAMASK_HQ = Experiment(
    summary="DML-CSR on CelebAMask-HQ, as published",
    target="DML-CSR, Table 3: 86.07 % mean F1 of the 18 classes but background on CelebAMask-HQ's test split (ImageNet "
    "weights, 473 px).",
    data=Data(datasets=(DatasetConfig("celebamask_hq"),), image_size=(473, 473)),
    tasks=_tasks(min_mean_f1=0.75),
    model=configured("keras_models.DMLCSR", num_classes=19, weights="imagenet"),
    training=_regulated(SUPERVISED, first_epochs=150, cycles=5, cycle_epochs=10, peak=0.0005),
    export=Export(precision="bfloat16"),
    system="components.systems.dml_csr.system.DMLCSRSystem",
)
LAPA = replace(
    CELEBAMASK_HQ,
    summary="DML-CSR on LaPa, as published",
    target="DML-CSR, Table 2: 92.38 % mean F1 of the 10 classes but background on LaPa's test split (ImageNet weights, "
    "473 px).",
    data=replace(CELEBAMASK_HQ.data, datasets=(DatasetConfig("lapa"),)),
    model=configured("keras_models.DMLCSR", num_classes=11, weights="imagenet"),
)
HELEN = replace(
    LAPA,
    summary="DML-CSR on Helen, as published",
    target="DML-CSR, Table 1: 93.78 % overall F1 of brows, eyes, nose and mouth on Helen's test split (ImageNet "
    "weights, 473 px).",
    data=replace(CELEBAMASK_HQ.data, datasets=(DatasetConfig("helen"),)),
)


def _tiny(experiment: Experiment, min_mean_f1: float) -> Experiment:
    """193 px: below that, eyes and brows are too small for maps of a quarter of the image's size.

    Small batches, losses of every second row and column (but in a cycle) and AdamW get furthest in minutes.
    """
    published = {name: value for name, value in experiment.model.kwargs.items() if name != "weights"}
    model = {"backbone_blocks": [1, 1, 1, 1], "backbone_width": 16, "head_width": 32, "context_kernel": 1}
    supervised = replace(
        SUPERVISED,
        loss=replace(SUPERVISED.loss, kwargs={**SUPERVISED.loss.kwargs, "stride": 2}),
        batch_size=8,
        optimizer=configured("tensorflow.keras.optimizers.AdamW", weight_decay=0.05),
        learning_rate=configured("components.trainer.schedules.one_cycle", peak=0.005, warmup=0.2),
        flip=True,
        max_rotation=5.0,
        scale=(0.95, 1.05),
        fill_mode=Training.fill_mode,
        precision="mixed_bfloat16",
        strategy=Training.strategy,
    )
    return replace(
        experiment,
        summary=f"{experiment.summary.removesuffix(', as published')}: 193 px, a narrow ResNet, for two CPU cores",
        target="No published figure: a plain U-Net at 64 px reached 67.8 % mean F1 on 560 images of CelebAMask-HQ.",
        data=replace(experiment.data, image_size=(193, 193)),
        tasks=_tasks(min_mean_f1),
        model=replace(experiment.model, kwargs={**published, **model}),
        training=_regulated(supervised, first_epochs=24, cycles=1, cycle_epochs=2, peak=0.001),
    )


TINY = _tiny(CELEBAMASK_HQ, min_mean_f1=0.6)
# ImageNet weights that need no download, of features at 1/16 of the image (1/8 would take three times as long), in
# float32: on CPUs bfloat16 makes depthwise convolutions slower. Images with glasses, hats, necklaces come more often.
# The first epochs, at half the size, cost a quarter.
_FIRST = TINY.training.learning_rate.kwargs["schedules"][0]
LITE0 = replace(
    TINY,
    summary="DML-CSR on CelebAMask-HQ: EfficientNet-Lite0 from ImageNet weights, 193 px, for two CPU cores",
    model=configured(
        "keras_models.DMLCSR",
        num_classes=19,
        backbone="efficientnet_lite0",
        output_stride=16,
        weights="imagenet",
        head_width=64,
        context_kernel=1,
    ),
    training=_regulated(
        replace(
            TINY.training,
            learning_rate=replace(_FIRST, kwargs={**_FIRST.kwargs, "peak": 0.003}),
            max_rotation=10.0,
            scale=(0.9, 1.1),
            repeat_threshold=1.0,
            half_size_epochs=12,
            precision="float32",
        ),
        first_epochs=21,
        cycles=1,
        cycle_epochs=2,
        peak=0.0005,
    ),
)
SYNTHETIC = replace(
    TINY,
    summary="DML-CSR on procedurally drawn faces: to try everything, not for claims",
    target="No published figure: the faces are drawn, so no figure here says anything about photographs.",
    data=Data(datasets=(DatasetConfig("synthetic_faces"),), image_size=(65, 65)),
    tasks=_tasks(min_mean_f1=0.3),
    model=replace(TINY.model, kwargs={**TINY.model.kwargs, "backbone_width": 8}),
    training=_regulated(
        replace(
            TINY.training,
            batch_size=32,
            loss=SUPERVISED.loss,
            learning_rate=TINY.training.learning_rate.kwargs["schedules"][0],
        ),
        first_epochs=4,
        cycles=1,
        cycle_epochs=2,
        peak=0.001,
    ),
)


def _supervised(training: Training, weights: list[int]) -> Training:
    """Without self-regulation: the first phase's schedule to its end, for as many epochs."""
    first = training.learning_rate.kwargs["schedules"][0]
    to_the_end = {name: value for name, value in first.kwargs.items() if name != "share"}
    loss = replace(training.loss, kwargs={**training.loss.kwargs, "weights": weights})
    return replace(training, loss=loss, callbacks=(), learning_rate=replace(first, kwargs=to_the_end))


# Without self-regulation. What the summary says, how the network differs, and λ0 to λ4.
SUPERVISED_VARIANTS = {
    "baseline": ("a plain convolution as context, no edges", {"context": "conv", "edges": False}, [1, 0, 0, 0, 0]),
    "ddgcn": ("dual graph convolution as context, no edges", {"edges": False}, [1, 0, 0, 0, 0]),
    "dml_b": ("with binary edges", {}, [1, 1, 0, 0, 0]),
    "dml_b_ba": ("with binary edges and attention to them", {}, [1, 1, 0, 4, 0]),
    "dml_c": ("with category edges", {}, [1, 0, 1, 0, 0]),
    "dml_c_ca": ("with category edges and attention to them", {}, [1, 0, 1, 0, 1]),
    "dml_b_c": ("with both kinds of edges", {}, [1, 1, 1, 0, 0]),
    "dml": ("with both kinds of edges and attention to them", {}, ALL_LOSSES),
}


def _register(name: str, base: Experiment, suffix: str) -> None:
    register(f"{name}{suffix}", base)
    for variant, (words, changes, weights) in SUPERVISED_VARIANTS.items():
        model = replace(base.model, kwargs={**base.model.kwargs, **changes})
        training = _supervised(base.training, weights)
        summary = f"{base.summary}; {words}, no self-regulation"
        register(f"{name}-{variant}{suffix}", replace(base, summary=summary, model=model, training=training))
    (regulation,) = base.training.callbacks
    if regulation.kwargs["cycle_epochs"] > 1:
        last = replace(regulation, kwargs={**regulation.kwargs, "ensemble": "last"})
        summary = f"{base.summary}; a cycle's last model alone in the ensemble"
        register(
            f"{name}-last{suffix}", replace(base, summary=summary, training=replace(base.training, callbacks=(last,)))
        )
    if not suffix:
        training = replace(base.training, accumulate=4, strategy=Training.strategy)
        summary = f"{base.summary}; in four parts on one device"
        register(f"{name}-one_device", replace(base, summary=summary, training=training))
    model = replace(base.model, kwargs={**base.model.kwargs, "context_kernel": 1})
    summary = f"{base.summary}; the paper's count of parameters"
    register(f"{name}-context1{suffix}", replace(base, summary=summary, model=model))


register("dml_csr/synthetic", SYNTHETIC)
_register("dml_csr/celebamask_hq", CELEBAMASK_HQ, "")
TAIL_WEIGHTS = [4 if label in (15, 16) else 1 for label in range(19)]  # earrings and necklaces
TAIL_LOSS = replace(SUPERVISED.loss, kwargs={**SUPERVISED.loss.kwargs, "class_weights": TAIL_WEIGHTS})
register(
    "dml_csr/celebamask_hq-tail_classes",
    replace(
        CELEBAMASK_HQ,
        summary=f"{CELEBAMASK_HQ.summary}; attention to edges of earrings and necklaces weighs four times as much",
        training=replace(CELEBAMASK_HQ.training, loss=TAIL_LOSS),
    ),
)
register("dml_csr/celebamask_hq-lite0-tiny", LITE0)
register(
    "dml_csr/celebamask_hq-lite0-321-tiny",
    replace(
        LITE0,
        summary=LITE0.summary.replace("193 px", "321 px"),
        data=replace(LITE0.data, image_size=(321, 321)),
    ),
)
_register("dml_csr/lapa", LAPA, "")
_register("dml_csr/helen", HELEN, "")
_register("dml_csr/celebamask_hq", TINY, "-tiny")
_register("dml_csr/lapa", _tiny(LAPA, min_mean_f1=0.6), "-tiny")
_register("dml_csr/helen", _tiny(HELEN, min_mean_f1=0.6), "-tiny")

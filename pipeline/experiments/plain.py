"""Plain networks: a backbone with a head for each task, and the tasks' own losses. No paper's idea is in them.

They are what systems are compared with, and where labels of your own start.

    make run EXPERIMENT=plain/synthetic                          four tasks on drawn faces, to try it
    make run EXPERIMENT=plain/celeb_a-tiny DATA_DIR=...          40 attributes: ResNet-18 at 96 px, two CPU cores
    make run EXPERIMENT=plain/celeb_a-lite0-tiny DATA_DIR=...    the same from ImageNet weights that need no download
    make run EXPERIMENT=plain/celebamask_hq-tiny DATA_DIR=...    face parsing: a feature pyramid at 193 px
    make run EXPERIMENT=plain/mtfl-tiny DATA_DIR=...             five landmarks at 64 px
    make run EXPERIMENT=plain/fer2013-tiny DATA_DIR=...          seven emotions at 64 px
    make run EXPERIMENT=plain/ages-tiny DATA_DIR=...             ages and gender of UTKFace, as a user's own table
"""

from __future__ import annotations

from dataclasses import replace

from components.config import Bar, Data, DatasetConfig, Evaluation, Experiment, Task, Training, configured
from pipeline.experiments.registry import register

ATTRIBUTES = Task("attributes", "multi_label", bar=Bar("mean_balanced_accuracy", at_least=0.6))
PARSING = Task("parsing", "segmentation", bar=Bar("mean_f1", at_least=0.4))
LANDMARKS = Task("landmarks", "landmarks", bar=Bar("nme", at_most=0.3))
EMOTION = Task("emotion", "classification", bar=Bar("accuracy", at_least=0.3))

TRAINING = Training(
    epochs=10,
    batch_size=64,
    optimizer=configured("tensorflow.keras.optimizers.AdamW", weight_decay=0.05),
    learning_rate=configured("components.trainer.schedules.one_cycle", peak=0.002, warmup=0.2),
    max_shift=0.06,
    precision="mixed_bfloat16",
)


def _experiment(what: str, dataset: DatasetConfig, size: int, task: Task, outputs: int, training=TRAINING, **network):
    model = configured("keras_models.MultiTaskNetwork", outputs={task.name: outputs}, **network)
    return Experiment(
        summary=f"A plain network for {what}: {size} px, for two CPU cores",
        target="No published figure: the network that systems are compared with.",
        data=Data(datasets=(dataset,), image_size=(size, size)),
        tasks=(task,),
        model=model,
        training=training,
    )


CELEB_A = replace(
    _experiment("the attributes of CelebA", DatasetConfig("celeb_a", {"landmarks": False}), 96, ATTRIBUTES, 40),
    evaluation=Evaluation(slice_by=("Male", "Young")),
)


def on_lite0(tiny: Experiment, image_size: tuple[int, int] = (118, 96)) -> Experiment:
    """The experiment on EfficientNet-Lite0 with its ImageNet weights, which come with the installed packages.

    In float32: on CPUs bfloat16 makes depthwise convolutions slower.

    Args:
        tiny: the experiment.
        image_size: (height, width), at the aspect of CelebA's images.
    """
    kept = {name: value for name, value in tiny.model.kwargs.items() if name != "backbone_width"}
    training = replace(
        tiny.training,
        epochs=10,
        learning_rate=configured("components.trainer.schedules.one_cycle", peak=0.0015, warmup=0.2),
        max_shift=0.06,
        max_rotation=5.0,
        scale=(0.95, 1.05),
        precision="float32",
    )
    return replace(
        tiny,
        summary=f"{tiny.summary.split(':')[0]}: EfficientNet-Lite0 from ImageNet weights, "
        f"{image_size[0]} × {image_size[1]} px, 10 epochs, for two CPU cores",
        data=replace(tiny.data, image_size=image_size),
        model=replace(tiny.model, kwargs={**kept, "backbone": "efficientnet_lite0", "weights": "imagenet"}),
        training=training,
    )


CELEBAMASK_HQ = _experiment(
    "the label maps of CelebAMask-HQ",
    DatasetConfig("celebamask_hq"),
    193,
    PARSING,
    19,
    replace(TRAINING, batch_size=8),
    maps=["parsing"],
    backbone_width=32,
)
MTFL = _experiment(
    "the landmarks of MTFL",
    DatasetConfig("mtfl"),
    64,
    LANDMARKS,
    10,
    replace(TRAINING, max_rotation=10.0, scale=(0.9, 1.1), max_shift=0.15),
    backbone_width=32,
)
FER2013 = _experiment("the emotions of FER2013", DatasetConfig("fer2013"), 64, EMOTION, 7, backbone_width=32)

# On 4,000 images of UTKFace, tested on 500: a mean absolute error of 6.19 years, gender 91.0 %, 9.2 min of training on
# two CPU cores, one seed. A ResNet-18 in another framework has 7.05 years; always the median: 13.75.
# In units of 100 years the age's loss was a sixth of the gender's and the error 10.5 after 11 epochs.
AGES = Experiment(
    summary="A plain network for ages and gender of UTKFace, from a table: 96 px, for two CPU cores",
    target="No published figure: the network that systems are compared with.",
    data=Data(
        datasets=(
            DatasetConfig(
                "table",
                {"images": "images", "yes_no": {"gender": ["male"]}, "numbers": ["age"], "split": "split"},
            ),
        ),
        image_size=(96, 96),
    ),
    tasks=(
        Task("age", "regression", {"scale": 20.0, "delta": 5.0}, Bar("mean_absolute_error", at_most=9.0)),
        Task("gender", "multi_label", bar=Bar("mean_balanced_accuracy", at_least=0.7), weight=0.1),
    ),
    model=configured("keras_models.MultiTaskNetwork", outputs={"age": 1, "gender": 1}),
    training=replace(TRAINING, epochs=16, max_rotation=10.0, scale=(0.9, 1.1)),
)

SYNTHETIC = Experiment(
    summary="A plain network for four tasks on procedurally drawn faces: to try everything, not for claims",
    target="No published figure: the faces are drawn, so no figure here says anything about photographs.",
    data=Data(datasets=(DatasetConfig("synthetic_faces"),), image_size=(64, 64)),
    tasks=(
        replace(ATTRIBUTES, bar=Bar("mean_balanced_accuracy", at_least=0.55)),
        replace(LANDMARKS, weight=0.5),
        replace(PARSING, bar=Bar("mean_f1", at_least=0.3)),
        replace(EMOTION, bar=Bar("accuracy", at_least=0.2)),
    ),
    model=configured(
        "keras_models.MultiTaskNetwork",
        outputs={"attributes": 40, "landmarks": 136, "parsing": 19, "emotion": 7},
        maps=["parsing"],
        backbone_width=32,
    ),
    training=replace(TRAINING, batch_size=32),
)

register("plain/synthetic", SYNTHETIC)
register("plain/celeb_a-tiny", CELEB_A)
register("plain/celeb_a-lite0-tiny", on_lite0(CELEB_A))
register("plain/celebamask_hq-tiny", CELEBAMASK_HQ)
register("plain/mtfl-tiny", MTFL)
register("plain/fer2013-tiny", FER2013)
register("plain/ages-tiny", AGES)

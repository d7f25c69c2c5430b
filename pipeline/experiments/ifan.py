"""iFAN (Li et al. 2017): one network for face parsing, landmarks and emotion, from data sets that share nothing.

Paper, ITER 0 -> 3: 90.96 -> 91.15 % overall F1 on Helen, 7.55 -> 5.81 % NME on MTFL, 44.84 -> 45.73 % accuracy on
BNU-LSVED (single tasks: 88.75, 10.06, 42.26).

    make run EXPERIMENT=ifan/3t DATA_DIR=...         the paper's run at 128 px: a GPU's work
    make run EXPERIMENT=ifan/3t-tiny DATA_DIR=...    CelebAMask-HQ, MTFL and FER2013 at 64 px, for two CPU cores
    make run EXPERIMENT=ifan/synthetic               drawn faces, to try it

DATA_DIR holds a folder for each data set, called by its name: helen, MTFL, BNU-LSVED; CelebAMask-HQ, MTFL, fer2013;
celeba for the fourth task (4t).

Variants, each also with -tiny behind. Tables 1 to 4: parsing, landmarks, emotion (a task alone), 2t (parsing and
landmarks), 2t-iter0, 2t-iter1, 3t; 3t-iter0 to 3t-iter4 (2t and 3t have two iterations, the tiny forms one); Table 3's
emotions of aligned faces are not here. Section 4.3: no_re_encoder, shared_bn, no_pretraining. zero_feedback: iteration
0 is fed zeros and not the mean prediction. gradient: predictions learn from what their feedback does.
"""

from __future__ import annotations

from dataclasses import replace

from components.config import Bar, Data, DatasetConfig, Experiment, Task, configured
from components.systems.ifan.config import HybridTraining, TaskTraining
from pipeline.experiments.registry import register


def _tasks(min_mean_f1: float, max_nme: float, min_emotion_accuracy: float, **parsing: float) -> tuple[Task, ...]:
    """With the bars, and options of the parsing."""
    return (
        Task("parsing", "segmentation", parsing, Bar("mean_f1", at_least=min_mean_f1)),
        Task("landmarks", "landmarks", bar=Bar("nme", at_most=max_nme)),
        Task("emotion", "classification", bar=Bar("accuracy", at_least=min_emotion_accuracy)),
    )


# Section 4.1.2: batches of 24, 64 and 96; 30 epochs alone at 1e-3, then 200 from 1e-3 to 1e-6.
PAPER = HybridTraining(
    tasks=(
        TaskTraining(task="parsing", batch_size=24, pretraining_epochs=30),
        TaskTraining(task="landmarks", batch_size=64, pretraining_epochs=30),
        TaskTraining(task="emotion", batch_size=96, pretraining_epochs=30),
    ),
    epochs=200,
    steps=140,  # an epoch of the landmarks, whose data set is the largest: MTFL's 9,000 images in batches of 64
    optimizer=configured("tensorflow.keras.optimizers.RMSprop"),
    l2=1e-4,  # of the released code, on batch norm too; the text has no weight decay
    pretraining_rate=configured("components.trainer.schedules.constant", rate=1e-3),
    learning_rate=configured("components.trainer.schedules.exponential", first=1e-3, last=1e-6),
    strategy=configured("tensorflow:distribute.MirroredStrategy"),
)
THREE_TASKS = Experiment(
    summary="iFAN of three tasks on Helen, MTFL and BNU-LSVED, as published",
    target="iFAN, Table 4: 91.15 % overall F1 on Helen, 5.84 % NME on MTFL, 45.40 % accuracy on BNU-LSVED (two "
    "iterations).",
    data=Data(
        datasets=(
            DatasetConfig("helen", builder="helen_merged", labels=("parsing",)),
            DatasetConfig("mtfl", labels=("landmarks",)),
            DatasetConfig("bnu_lsved", labels=("emotion",)),
        ),
        image_size=(128, 128),
    ),
    tasks=_tasks(min_mean_f1=0.6, max_nme=0.15, min_emotion_accuracy=0.3),
    model=configured("keras_models.IFAN", tasks={"parsing": 9, "landmarks": 5, "emotion": 7}, iterations=2),
    training=PAPER,
    system="components.systems.ifan.system.IFANSystem",
)
TINY = replace(
    THREE_TASKS,
    summary="iFAN of three tasks on CelebAMask-HQ, MTFL and FER2013: 64 px, a narrow DenseNet, for two CPU cores",
    target="No published figure. Plain networks of one task each, in another framework: 67.8 % mean F1 (U-Net), 10.6 % "
    "NME and 49.9 % accuracy (ResNet-18).",
    data=replace(
        THREE_TASKS.data,
        datasets=(
            DatasetConfig("celebamask_hq", labels=("parsing",)),
            DatasetConfig("mtfl", labels=("landmarks",)),
            DatasetConfig("fer2013", labels=("emotion",)),
        ),
        image_size=(64, 64),
    ),
    tasks=_tasks(min_mean_f1=0.45, max_nme=0.15, min_emotion_accuracy=0.4, lovasz=1.0),
    model=configured(
        "keras_models.IFAN",
        tasks={"parsing": 19, "landmarks": 5, "emotion": 7},
        iterations=1,
        levels=4,
        width=12,
        stem_kernel=3,
        growth=[4, 12, 24, 32, 48],
        block_layers=2,
        up_width=24,
        re_encoder_widths=[8, 16],
        momentum=0.9,
    ),
    # Turns at iteration 0 in the place of task-wise pre-training, after which little is left of the first task.
    training=replace(
        PAPER,
        tasks=(
            TaskTraining(task="parsing", batch_size=8, max_shift=0.05),
            # LFW's faces stand lower in their images than AFLW's, on which the landmarks are tested.
            TaskTraining(task="landmarks", batch_size=24, max_rotation=10.0, scale=(0.9, 1.1), max_shift=0.15),
            TaskTraining(task="emotion", batch_size=32, max_shift=0.08),
        ),
        plain_epochs=16,
        epochs=10,
        steps=100,
        optimizer=configured("tensorflow.keras.optimizers.AdamW", weight_decay=0.02),
        pretraining_rate=configured("components.trainer.schedules.one_cycle", peak=0.0015, warmup=0.1, final=0.3),
        learning_rate=configured("components.trainer.schedules.one_cycle", peak=0.0007, warmup=0.15),
        l2=HybridTraining.l2,
        strategy=HybridTraining.strategy,
    ),
)


def _drawn(name: str, seed: int) -> DatasetConfig:
    """Drawn faces with one label each, none of which another data set has."""
    options = {"num_train": 400, "num_validation": 64, "num_test": 64, "image_size": 64, "seed": seed}
    return DatasetConfig(f"drawn_{name}", options, builder="synthetic_faces", labels=(name,))


SYNTHETIC = replace(
    TINY,
    summary="iFAN of three tasks on procedurally drawn faces: to try everything, not for claims",
    target="No published figure: the faces are drawn, so no figure here says anything about photographs.",
    data=replace(
        TINY.data,
        datasets=tuple(_drawn(label, seed) for seed, label in enumerate(("parsing", "landmarks", "emotion"), start=1)),
        image_size=(32, 32),
    ),
    tasks=_tasks(min_mean_f1=0.15, max_nme=0.5, min_emotion_accuracy=0.2),
    model=replace(
        TINY.model,
        kwargs={
            **TINY.model.kwargs,
            "tasks": {"parsing": 19, "landmarks": 68, "emotion": 7},
            "levels": 3,
            "growth": [4, 12, 24, 32],
            "re_encoder_widths": [16],
        },
    ),
    training=replace(TINY.training, plain_epochs=8, epochs=4, steps=20),
)


def _with_tasks(experiment: Experiment, *names: str) -> Experiment:
    """Of the tasks those alone, with their data sets. A task alone hears of no other: its turns are at iteration 0."""
    datasets = tuple(dataset for dataset in experiment.data.datasets if set(dataset.labels) & set(names))
    outputs = {name: number for name, number in experiment.model.kwargs["tasks"].items() if name in names}
    alone = {"iterations": 0} if len(names) == 1 else {}
    return replace(
        experiment,
        data=replace(experiment.data, datasets=datasets),
        tasks=tuple(task for task in experiment.tasks if task.name in names),
        model=replace(experiment.model, kwargs={**experiment.model.kwargs, "tasks": outputs, **alone}),
        training=replace(
            experiment.training, tasks=tuple(each for each in experiment.training.tasks if each.task in names)
        ),
    )


def _with_attributes(experiment: Experiment) -> Experiment:
    """A fourth task with its data set: all that it takes."""
    outputs = {**experiment.model.kwargs["tasks"], "attributes": 40}
    learnt_like = experiment.training.tasks[-1]
    celeb_a = DatasetConfig("celeb_a", {"landmarks": False}, labels=("attributes",))
    attributes = Task("attributes", "multi_label", bar=Bar("mean_balanced_accuracy", at_least=0.55))
    return replace(
        experiment,
        data=replace(experiment.data, datasets=(*experiment.data.datasets, celeb_a)),
        tasks=(*experiment.tasks, attributes),
        model=replace(experiment.model, kwargs={**experiment.model.kwargs, "tasks": outputs}),
        training=replace(
            experiment.training, tasks=(*experiment.training.tasks, replace(learnt_like, task="attributes"))
        ),
        evaluation=replace(experiment.evaluation, slice_by=("Male", "Young")),
    )


def _with_model(experiment: Experiment, **arguments) -> Experiment:
    return replace(experiment, model=replace(experiment.model, kwargs={**experiment.model.kwargs, **arguments}))


def _without_pretraining(experiment: Experiment) -> Experiment:
    tasks = tuple(replace(task, pretraining_epochs=0) for task in experiment.training.tasks)
    return replace(experiment, training=replace(experiment.training, tasks=tasks, plain_epochs=0))


# Name: (what the summary says, how the variant differs).
VARIANTS = {
    "parsing": ("parsing alone", lambda e: _with_tasks(e, "parsing")),
    "landmarks": ("landmarks alone", lambda e: _with_tasks(e, "landmarks")),
    "emotion": ("emotion alone", lambda e: _with_tasks(e, "emotion")),
    "2t": ("parsing and landmarks", lambda e: _with_tasks(e, "parsing", "landmarks")),
    **{
        f"2t-iter{iterations}": (
            f"parsing and landmarks; ITER {iterations}",
            lambda e, iterations=iterations: _with_model(_with_tasks(e, "parsing", "landmarks"), iterations=iterations),
        )
        for iterations in (0, 1)
    },
    "4t": ("and forty attributes of CelebA", _with_attributes),
    **{
        f"3t-iter{iterations}": (
            f"ITER {iterations}",
            lambda e, iterations=iterations: _with_model(e, iterations=iterations),
        )
        for iterations in range(5)
    },
    "3t-no_re_encoder": ("predictions resized, not re-encoded", lambda e: _with_model(e, re_encoders=False)),
    "3t-shared_bn": ("one batch norm for all tasks", lambda e: _with_model(e, task_batch_norm=False)),
    "3t-gradient": ("a gradient through the feedback", lambda e: _with_model(e, stop_gradient=False)),
    "3t-no_pretraining": ("no pre-training", _without_pretraining),
    "3t-zero_feedback": (
        "iteration 0 is fed zeros",
        lambda e: replace(e, training=replace(e.training, initial_feedback="zeros")),
    ),
}

register("ifan/synthetic", SYNTHETIC)
for _base, _suffix in ((THREE_TASKS, ""), (TINY, "-tiny")):
    register(f"ifan/3t{_suffix}", _base)
    for _variant, (_words, _differ) in VARIANTS.items():
        if not _variant.endswith(f"-iter{_base.model.kwargs['iterations']}"):  # that is the base
            register(f"ifan/{_variant}{_suffix}", _differ(replace(_base, summary=f"{_base.summary}; {_words}")))

"""Fully-adaptive feature sharing (Lu et al. 2017): the network finds out which tasks share its layers.

CelebA, accuracy / top-10 recall (Table 1): VGG-16 91.44 / 73.55 %, low-rank 90.88 / 69.82, thin-32 89.96 / 65.95,
32-1.0 90.74 / 69.95, 32-2.0 90.90 / 71.08, 64-1.0 91.26 / 72.03; joint with clothing 32-2.0 90.4 / 68.72, 64-2.0
91.02 / 71.38. DeepFashion, top-3 / top-5 (Table 2): VGG-16 86.72 / 92.51, low-rank 84.14 / 90.96, joint 32-2.0
79.91 / 88.09, 64-2.0 83.24 / 90.39.

    make run EXPERIMENT=branching/celeb_a-vgg16 DATA_DIR=...    what branched networks are compared with
    make run EXPERIMENT=branching/celeb_a-w32-a1 DATA_DIR=...   width 32, factor 1: rounds and 60,000 batches, on a GPU
    make run EXPERIMENT=branching/joint-w64-a2 DATA_DIR=...     a folder with celeba/ and deepfashion/; both vgg16 first
    make run EXPERIMENT=branching/celeb_a-w32-a1-tiny DATA_DIR=...   width 32, factor 1 at 64 px, for two CPU cores
    make run EXPERIMENT=branching/synthetic                     drawn faces, to try it

thin32 and thin64 never branch. All start from ImageNet's VGG-16, thin ones by SOMP, low-rank ones by SVD; the paper's
from a network for gender. Random weights at the start instead (Table 3, Fig. 5): vgg16-random, thin32-random,
w32-a2-random. The tree of w32-a2 trained from random weights: w32-a2-retrained as it was found,
w32-a2-shuffled with the left half of its tasks in the places of the right half (Fig. 3).

At 64 px: celeb_a-w32-a1-tiny, -w32-a2-tiny, -thin-tiny, -retrained-tiny, -shuffled-tiny, from random weights;
-vgg16-tiny; gender-vgg16-tiny (DATA_DIR is UTKFace's folder, as a table) and, from its weights, -thin_somp-tiny and
-somp-tiny; -resnet18-tiny widens a ResNet-18.
clothing-vgg16-tiny and joint-tiny have the public clothing subset of ten categories.
"""

from __future__ import annotations

from dataclasses import replace

from components.config import (
    Bar,
    Data,
    DatasetConfig,
    Evaluation,
    Experiment,
    ObjectConfig,
    Task,
    Teacher,
    Training,
    configured,
)
from components.systems.branching.config import WideningTraining
from pipeline.experiments.plain import AGES
from pipeline.experiments.registry import register

CELEBA_TASKS, DEEPFASHION_TASKS = 40, 50
RATES = [0.001, 0.0001, 0.00001]
CROSS_ENTROPY = configured("components.systems.branching.loss.TaskCrossEntropy")
MIRRORED = configured("tensorflow:distribute.MirroredStrategy")
# Section 4.5; clipping and weight decay are not in the paper, they are the released code's.
SGD = configured("components.trainer.optimizers.sgd", momentum=0.9, weight_decay=5e-4, global_clipnorm=20.0)
CELEB_A = Data(datasets=(DatasetConfig("celeb_a", {"landmarks": False}),))
CLOTHING = Data(datasets=(DatasetConfig("deepfashion"),))
SLICES = ("Male", "Young")


def _attributes(min_balanced_accuracy: float) -> Task:
    bar = Bar("mean_balanced_accuracy", at_least=min_balanced_accuracy)
    return Task("attributes", "multi_label", {"scores": "probabilities"}, bar)


def _clothing(min_top_3: float) -> Task:
    """Each category is a yes-or-no question of its own; Table 2 has top-3 and top-5 accuracy."""
    options = {"scores": "probabilities", "top": [3, 5]}
    return Task("clothing", "classification", options, Bar("top_3_accuracy", at_least=min_top_3))


def _gender(min_balanced_accuracy: float) -> Task:
    """What the network that the paper starts from has learnt."""
    bar = Bar("mean_balanced_accuracy", at_least=min_balanced_accuracy)
    return Task("gender", "multi_label", {"scores": "probabilities"}, bar)


def _in_stages(lengths: list[int]):
    return configured("components.trainer.schedules.in_stages", rates=RATES, lengths=lengths)


def _passes(epochs: int) -> Training:
    """60,000 batches of 32, as passes over the data."""
    return Training(
        epochs=epochs,
        batch_size=32,
        optimizer=SGD,
        learning_rate=_in_stages([1, 1, 1]),
        loss=CROSS_ENTROPY,
        flip=False,
        strategy=MIRRORED,
    )


def _rounds(alpha: float, epochs: int = 60, steps: int = 1000, lengths=(1, 1, 1)) -> WideningTraining:
    """Rounds of 1,000 batches, and then 60,000 (Section 4.5).

    By the text all together have 60,000; by the released code, which is followed, the final phase has them with a
    schedule of its own.
    """
    return WideningTraining(
        epochs=epochs,
        steps=steps,
        widening_rate=RATES[0],
        alpha=alpha,
        flip=False,
        batch_size=32,
        optimizer=SGD,
        learning_rate=_in_stages(list(lengths)),
        loss=CROSS_ENTROPY,
        strategy=MIRRORED,
    )


def _imagenet(num_tasks: int):
    """The output is not learnt: SVD wants as many tasks, SOMP takes no output of another number."""
    return configured("keras_models.VGG16", num_tasks=num_tasks, weights="imagenet")


def _from_vgg16(training: Training, init: str, wider: ObjectConfig) -> Training:
    """The same from the weights of a VGG-16 that has not learnt the tasks, by "somp" or "svd".

    The paper's has learnt gender on IMDB-WIKI: a Caffe model, which nothing here reads.
    """
    initializer = configured(f"components.systems.branching.initializers.start_by_{init}", wider=wider)
    return replace(training, initializer=initializer)


def _thin(width: int):
    return configured("keras_models.ThinVGG16", width=width, num_tasks=CELEBA_TASKS)


VGG16 = Experiment(
    summary="VGG-16 on CelebA, as published: what branched networks are compared with",
    target="Lu et al. 2017, Table 1: 91.44 % mean accuracy, 73.55 % top-10 recall (from a gender network's weights).",
    data=CELEB_A,
    model=configured("keras_models.VGG16", num_tasks=CELEBA_TASKS, weights="imagenet"),
    tasks=(_attributes(0.75),),
    training=_passes(12),
    evaluation=Evaluation(slice_by=SLICES),
    system="components.systems.branching.system.BranchingSystem",
)
LOW_RANK = replace(
    VGG16,
    summary="VGG-16 with every layer factorized on CelebA, from the singular values of ImageNet's weights",
    target="Lu et al. 2017, Table 1: 90.88 % mean accuracy, 69.82 % top-10 recall.",
    model=configured("keras_models.LowRankVGG16", num_tasks=CELEBA_TASKS),
    training=_from_vgg16(_passes(12), "svd", _imagenet(CELEBA_TASKS)),
)


def _grown(alpha: float) -> str:
    return f"widened with a branching factor of {alpha:g}" if alpha else "never widened"


def _branched(width: int, alpha: float, paper: str) -> Experiment:
    return replace(
        VGG16,
        summary=f"A VGG-16 of {width} channels on CelebA, {_grown(alpha)}, as published",
        target=f"Lu et al. 2017, Table 1: {paper}.",
        model=_thin(width),
        training=_from_vgg16(_rounds(alpha), "somp", _imagenet(1)),
    )


BRANCHED = {
    "thin32": _branched(32, 0.0, "89.96 % mean accuracy, 65.95 % top-10 recall"),
    "thin64": _branched(64, 0.0, "no figure for thin-64"),
    "w32-a1": _branched(32, 1.0, "90.74 % mean accuracy, 69.95 % top-10 recall"),
    "w32-a2": _branched(32, 2.0, "90.90 % mean accuracy, 71.08 % top-10 recall"),
    "w64-a1": _branched(64, 1.0, "91.26 % mean accuracy, 72.03 % top-10 recall"),
}


def _random(experiment: Experiment) -> Experiment:
    """From random weights (Table 3)."""
    weights = {name: value for name, value in experiment.model.kwargs.items() if name != "weights"}
    return replace(
        experiment,
        summary=f"{experiment.summary}; from random weights",
        target="Lu et al. 2017, Table 3: 32-2.0 is 0.65 % less accurate than VGG-16 when both start from random "
        "weights, and 0.54 % when not.",
        model=replace(experiment.model, kwargs=weights),
        training=replace(experiment.training, initializer=None),
    )


def _in_the_tree_of(name: str, experiment: Experiment, given: str) -> Experiment:
    """From random weights in the tree that `name` found, "permuted" with unrelated tasks in it (Section 4.4)."""
    how = {"learned": "as it was found", "permuted": "with the halves of its tasks swapped"}[given]
    return replace(
        experiment,
        summary=f"{experiment.summary}; its tree {how}, from random weights",
        target="Lu et al. 2017, Fig. 3: most attributes are less accurate in the shuffled tree. Compare the two.",
        training=replace(experiment.training, warm_start=name, initializer=None, fixed_tree=given),
    )


DEEPFASHION_OUTPUT = {"clothing": DEEPFASHION_TASKS}
DEEPFASHION_VGG16 = replace(
    VGG16,
    summary="VGG-16 on DeepFashion's categories, as published",
    target="Lu et al. 2017, Table 2: 86.72 % top-3 and 92.51 % top-5 accuracy.",
    data=CLOTHING,
    model=configured("keras_models.VGG16", num_tasks=DEEPFASHION_TASKS, outputs=DEEPFASHION_OUTPUT, weights="imagenet"),
    tasks=(_clothing(0.6),),
    training=_passes(9),
    evaluation=Evaluation(),
)
DEEPFASHION_LOW_RANK = replace(
    DEEPFASHION_VGG16,
    summary="VGG-16 with every layer factorized on DeepFashion's categories, from the singular values of ImageNet's "
    "weights",
    target="Lu et al. 2017, Table 2: 84.14 % top-3 and 90.96 % top-5 accuracy.",
    model=configured("keras_models.LowRankVGG16", num_tasks=DEEPFASHION_TASKS, outputs=DEEPFASHION_OUTPUT),
    training=_from_vgg16(_passes(9), "svd", _imagenet(DEEPFASHION_TASKS)),
)


def _joint(width: int, alpha: float, paper: str) -> Experiment:
    """Faces and clothing in one network (Section 4.3).

    A VGG-16 trained on the other data set gives the labels that an image lacks.
    """
    celeb_a = replace(CELEB_A.datasets[0], labels=("attributes",))
    datasets = (celeb_a, DatasetConfig("deepfashion", labels=("clothing",)))
    teachers = (
        Teacher("attributes", "branching/celeb_a-vgg16"),
        Teacher("clothing", "branching/deepfashion-vgg16"),
    )
    outputs = {"attributes": CELEBA_TASKS, **DEEPFASHION_OUTPUT}
    return replace(
        VGG16,
        summary=f"Attributes and clothing: a VGG-16 of {width} channels, {_grown(alpha)}, as published",
        target=f"Lu et al. 2017, Tables 1 and 2: {paper}.",
        data=Data(datasets=datasets, teachers=teachers),
        tasks=(_attributes(0.75), _clothing(0.6)),
        model=configured("keras_models.ThinVGG16", width=width, num_tasks=sum(outputs.values()), outputs=outputs),
        # Section 4.5: 100,000 batches, the rate falls every 40,000, a round has 2,000.
        training=_from_vgg16(_rounds(alpha, epochs=50, steps=2000, lengths=[40, 40, 20]), "somp", _imagenet(1)),
    )


JOINT = {
    "w32-a2": _joint(32, 2.0, "90.4 % mean accuracy, 68.72 % top-10 recall; clothing 79.91 % top-3, 88.09 % top-5"),
    "w64-a2": _joint(64, 2.0, "91.02 % mean accuracy, 71.38 % top-10 recall; clothing 83.24 % top-3, 90.39 % top-5"),
}

# At 64 px a round is half a pass: 8,000 images of faces, 3,068 of clothing, in batches of 64.
FACES_STEPS, JOINT_STEPS = 63, 86
TINY_OPTIMIZER = configured("tensorflow.keras.optimizers.AdamW", weight_decay=0.05)


def _tiny(experiment: Experiment, summary: str, **training) -> Experiment:
    """64 px, mixed bfloat16 and AdamW with one cycle, which get two CPU cores furthest in minutes."""
    tiny = {"attributes": _attributes(0.55), "clothing": _clothing(0.5), "gender": _gender(0.7)}
    return replace(
        experiment,
        summary=f"{summary}: 64 px, for two CPU cores",
        target="No published figure. The paper's order: VGG-16 above branched networks, those above thin ones.",
        data=replace(experiment.data, image_size=(64, 64)),
        training=replace(
            experiment.training,
            batch_size=64,
            flip=True,
            max_shift=0.06,
            optimizer=TINY_OPTIMIZER,
            learning_rate=configured("components.trainer.schedules.one_cycle", peak=0.002, warmup=0.2),
            precision="mixed_bfloat16",
            strategy=Training.strategy,
            **training,
        ),
        tasks=tuple(tiny[task.name] for task in experiment.tasks),
    )


TINY_VGG16 = _tiny(_random(VGG16), "VGG-16 on CelebA", epochs=8)


def _tiny_branched(alpha: float) -> Experiment:
    branched = replace(VGG16, model=_thin(32), training=_rounds(alpha))
    return _tiny(branched, f"A VGG-16 of 32 channels on CelebA, {_grown(alpha)}", epochs=32, steps=FACES_STEPS)


GENDER_OUTPUT = {"gender": 1}
TINY_GENDER = _tiny(
    replace(
        VGG16,
        data=AGES.data,
        tasks=(_gender(0.7),),
        model=configured("keras_models.VGG16", num_tasks=1, outputs=GENDER_OUTPUT),
        evaluation=Evaluation(),
    ),
    "VGG-16 on the gender of UTKFace's persons",
    epochs=8,
)


def _tiny_somp(experiment: Experiment) -> Experiment:
    """Section 4.5's start, from a network for gender, at this size."""
    wider = TINY_GENDER.model
    training = replace(_from_vgg16(experiment.training, "somp", wider), warm_start="branching/gender-vgg16-tiny")
    return replace(experiment, summary=f"{experiment.summary}; from gender-vgg16-tiny's weights", training=training)


SUBSET = DatasetConfig("deepfashion", builder="clothing_subset", labels=("clothing",))
SUBSET_OUTPUT = {"clothing": 10}
TINY_CLOTHING = _tiny(
    replace(
        DEEPFASHION_VGG16,
        data=replace(CLOTHING, datasets=(SUBSET,)),
        model=configured("keras_models.VGG16", num_tasks=10, outputs=SUBSET_OUTPUT),
    ),
    "VGG-16 on ten categories of clothing",
    epochs=12,
)
TINY_JOINT = _tiny(
    replace(
        JOINT["w32-a2"],
        data=replace(
            JOINT["w32-a2"].data,
            datasets=(JOINT["w32-a2"].data.datasets[0], SUBSET),
            teachers=(
                Teacher("attributes", "branching/celeb_a-vgg16-tiny"),
                Teacher("clothing", "branching/clothing-vgg16-tiny"),
            ),
        ),
        model=configured(
            "keras_models.ThinVGG16",
            width=32,
            num_tasks=CELEBA_TASKS + 10,
            outputs={"attributes": CELEBA_TASKS, **SUBSET_OUTPUT},
        ),
        training=_rounds(2.0),
    ),
    "Attributes and ten categories of clothing: a VGG-16 of 32 channels, widened with a branching factor of 2",
    epochs=32,
    steps=JOINT_STEPS,
)
TINY_THIN = _tiny_branched(0.0)
TINY = _tiny_branched(1.0)
TINY_RESNET18 = replace(
    TINY,
    summary="A ResNet-18 of 32 channels on CelebA, widened with a branching factor of 1: 64 px, for two CPU cores",
    target="No published figure: the paper widens VGG-16 alone.",
    model=configured("keras_models.ThinResNet18", width=32, num_tasks=CELEBA_TASKS),
)
SYNTHETIC = replace(
    TINY,
    summary="A VGG-16 of 8 channels on procedurally drawn faces, widened: to try everything, not for claims",
    target="No published figure: the faces are drawn, so no figure here says anything about photographs.",
    data=Data(datasets=(DatasetConfig("synthetic_faces"),), image_size=(32, 32)),
    tasks=(_attributes(0.52),),
    model=_thin(8),
    training=replace(TINY.training, epochs=6, steps=20, batch_size=32, max_shift=0.05),
)


register("branching/synthetic", SYNTHETIC)
register("branching/celeb_a-vgg16", VGG16)
register("branching/celeb_a-vgg16-random", _random(VGG16))
register("branching/celeb_a-low_rank", LOW_RANK)
for _name, _experiment in BRANCHED.items():
    register(f"branching/celeb_a-{_name}", _experiment)
for _name in ("thin32", "w32-a2"):
    register(f"branching/celeb_a-{_name}-random", _random(BRANCHED[_name]))
for _name, _given in (("retrained", "learned"), ("shuffled", "permuted")):
    _experiment = _in_the_tree_of("branching/celeb_a-w32-a2", BRANCHED["w32-a2"], _given)
    register(f"branching/celeb_a-w32-a2-{_name}", _experiment)
    register(f"branching/celeb_a-{_name}-tiny", _in_the_tree_of("branching/celeb_a-w32-a1-tiny", TINY, _given))
register("branching/deepfashion-vgg16", DEEPFASHION_VGG16)
register("branching/deepfashion-low_rank", DEEPFASHION_LOW_RANK)
for _name, _experiment in JOINT.items():
    register(f"branching/joint-{_name}", _experiment)
register("branching/gender-vgg16-tiny", TINY_GENDER)
register("branching/celeb_a-vgg16-tiny", TINY_VGG16)
register("branching/celeb_a-thin-tiny", TINY_THIN)
register("branching/celeb_a-w32-a1-tiny", TINY)
register("branching/celeb_a-w32-a2-tiny", _tiny_branched(2.0))
register("branching/celeb_a-thin_somp-tiny", _tiny_somp(TINY_THIN))
register("branching/celeb_a-somp-tiny", _tiny_somp(TINY))
register("branching/celeb_a-resnet18-tiny", TINY_RESNET18)
register("branching/clothing-vgg16-tiny", TINY_CLOTHING)
register("branching/joint-tiny", TINY_JOINT)

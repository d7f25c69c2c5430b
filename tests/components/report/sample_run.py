"""A made-up run of any tasks: what the report of a kind or of a system is given."""

import datetime
import io
from types import SimpleNamespace

import numpy as np
from PIL import Image

from components.config import Data, DatasetConfig, Experiment, Task, Training, configured
from components.evaluator.results import Evaluation
from components.record import FaceRecord
from components.report.collect import DataSummary, RunArtifacts, Verdict
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.classification import evaluation as classification_evaluation
from components.tasks.landmarks import evaluation as landmarks_evaluation
from components.tasks.multi_label import evaluation as multi_label_evaluation
from components.tasks.regression import evaluation as regression_evaluation
from components.tasks.reporting import Sample
from components.tasks.scores import BINS, summarize_scores
from components.tasks.segmentation import evaluation as segmentation_evaluation

EPOCHS = 15
# CelebA's attributes, and about the share of its images (%) that have each, so that the figures look like real ones.
_FREQUENCIES = """
5_o_Clock_Shadow:11 Arched_Eyebrows:27 Attractive:51 Bags_Under_Eyes:20 Bald:2 Bangs:15 Big_Lips:24 Big_Nose:23
Black_Hair:24 Blond_Hair:15 Blurry:5 Brown_Hair:21 Bushy_Eyebrows:14 Chubby:6 Double_Chin:5 Eyeglasses:7
Goatee:6 Gray_Hair:4 Heavy_Makeup:39 High_Cheekbones:46 Male:42 Mouth_Slightly_Open:48 Mustache:4 Narrow_Eyes:12
No_Beard:83 Oval_Face:28 Pale_Skin:4 Pointy_Nose:28 Receding_Hairline:8 Rosy_Cheeks:7 Sideburns:6 Smiling:48
Straight_Hair:21 Wavy_Hair:32 Wearing_Earrings:19 Wearing_Hat:5 Wearing_Lipstick:47 Wearing_Necklace:12
Wearing_Necktie:7 Young:77
"""
NAMES = tuple(each.split(":")[0] for each in _FREQUENCIES.split())
POSITIVE_RATE = np.array([int(each.split(":")[1]) / 100 for each in _FREQUENCIES.split()])
# Those of Helen and LaPa, and what Helen's overall F1 merges.
CLASSES = (
    "background", "skin", "left_eyebrow", "right_eyebrow", "left_eye", "right_eye", "nose", "upper_lip", "inner_mouth",
    "lower_lip", "hair",
)  # fmt: skip
MERGED_PARTS = {
    "brows": ("left_eyebrow", "right_eyebrow"),
    "eyes": ("left_eye", "right_eye"),
    "nose": ("nose",),
    "mouth": ("upper_lip", "inner_mouth", "lower_lip"),
}
PIXELS = np.array([40_000, 30_000, 400, 420, 200, 210, 2_000, 300, 90, 500, 25_000])
EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
EMOTION_COUNTS = np.array([958, 111, 1024, 1774, 1233, 1247, 831])


def bound(name, kind, names, dataset="celeb_a", merged_parts=None, **options) -> BoundTask:
    """A task with its annotation."""
    return BoundTask(Task(name, kind, options), Annotation(kind, tuple(names), merged_parts or {}), dataset)


ATTRIBUTES = bound("attributes", "multi_label", NAMES)
PARSING = bound("parsing", "segmentation", CLASSES, "helen", MERGED_PARTS)
LANDMARKS = bound("landmarks", "landmarks", map(str, range(1, 6)), "mtfl")
EMOTION = bound("emotion", "classification", EMOTIONS, "fer2013")
AGE = bound("age", "regression", (), "portraits", scale=100.0)


# What the kinds' metrics say of made-up counts.


def attribute_values(seed=0, count=998, skill=0.55, rates=POSITIVE_RATE) -> dict:
    """A model that is right about `skill` of what the majority answer gets wrong; two attributes are below that."""
    rng = np.random.default_rng(seed)
    positive = np.round(rates * count).astype(int)
    hits = np.clip(rng.normal(skill, 0.15, len(rates)), 0, 1)
    tp = np.round(positive * hits).astype(int)
    fp = np.round((count - positive) * (1 - hits) * 0.1).astype(int)
    if len(rates) > 10:
        fp[[4, 10]] = positive[[4, 10]] * 3
    counts = np.stack([tp, fp, positive - tp, count - positive - fp])
    recall = {"top_10_recall": 0.6251, "pooled_top_10_recall": 0.8} if len(rates) > 10 else {}
    sums = np.append(counts.ravel(), count)
    # Twenty parts that are nearly alike.
    parts = sums // 20 + (np.arange(20)[:, np.newaxis] < sums % 20)
    return multi_label_evaluation.summarize(sums) | {"parts": parts} | score_values(positive, count) | recall


def score_values(positive, count) -> dict:
    """Scores a little too high of `count` images, of which `positive` [N] have each label."""
    middles = (np.arange(BINS) + 0.5) / BINS
    densities = np.stack([(1 - middles) ** 4, middles**1.5])
    shares = densities / densities.sum(axis=1, keepdims=True)
    positive = np.asarray(positive)
    return summarize_scores(
        np.round(np.stack([count - positive, positive])[..., np.newaxis] * shares[:, np.newaxis]).astype(int)
    )


def parsing_values(count=100, confusion=None) -> dict:
    """A tenth of a class's pixels goes to skin, and of a small class's three tenths."""
    if confusion is None:
        lost = np.where(PIXELS < 1000, PIXELS * 3 // 10, PIXELS // 10)
        lost[1] = 0
        confusion = np.diag(PIXELS - lost)
        confusion[:, 1] += lost
    merged = [[CLASSES.index(name) for name in names] for names in MERGED_PARTS.values()]
    merged = merged if len(confusion) == len(CLASSES) else []
    return segmentation_evaluation.summarize(np.append(confusion.ravel(), count), len(confusion), merged)


def landmark_values(iteration=2, points=5, count=2995) -> dict:
    """Errors of about iFAN's Table 1; the later the iteration, the smaller."""
    nme = np.resize([0.0608, 0.0754, 0.0892, 0.0742, 0.0779], points) * 0.8**iteration
    failures = np.linspace(0.1, 0.24, points) * 0.7**iteration
    sums = np.array([nme.mean(), 0.18 * 0.7**iteration, 1, 0, *nme, *failures]) * count
    return landmarks_evaluation.summarize(sums)


def emotion_values(iteration=2) -> dict:
    """Seven emotions, happy the commonest; the rest of a class is predicted as the others, most of all as the next."""
    right = np.round(EMOTION_COUNTS * (np.array([0.42, 0.2, 0.3, 0.8, 0.5, 0.36, 0.7]) + 0.03 * iteration)).astype(int)
    confusion = np.diag(right)
    for index, left in enumerate(EMOTION_COUNTS - right):
        share = left // 12
        confusion[index] += np.where(np.arange(7) == index, 0, share)
        confusion[index, (index + 1) % 7] += left - 6 * share
    return class_values(confusion)


def class_values(confusion, ranks=None, top=()) -> dict:
    """Of a [C, C] confusion; `ranks` [C]: records by the rank of their class."""
    confusion = np.asarray(confusion)
    ranks = np.zeros(len(confusion), int) if ranks is None else np.asarray(ranks)
    found = classification_evaluation.summarize(np.concatenate([confusion, ranks[None]]), list(top))
    return found | score_values(confusion.sum(axis=1), confusion.sum())


def age_values(mean_absolute_error=5.2, count=998) -> dict:
    """Of people of about 40, who are taken for older."""
    error, age = mean_absolute_error, 40.0
    sums = np.array([1, error, 1.5 * error**2, age, age**2 + 15.0**2, 0.3 * error])
    return regression_evaluation.summarize(sums * count)


def made_values(task, iteration=2) -> dict:
    """Of one task."""
    if task.kind == "regression":
        return age_values()
    if task.kind == "multi_label":
        return attribute_values(rates=np.resize(POSITIVE_RATE, len(task.names)))
    if task.kind == "segmentation":
        return parsing_values()
    return landmark_values(iteration) if task.kind == "landmarks" else emotion_values(iteration)


def evaluation(tasks, values=None, slices=None, counts=None, iterations=()) -> Evaluation:
    """The table of `values`, by task or by (task, slice); made up where there are none.

    The one place where tests make an Evaluation.
    """
    values = {key if isinstance(key, tuple) else (key,): found for key, found in (values or {}).items()}
    table = {(task.name, "", None): made_values(task) for task in tasks}
    table |= {(task.name, "", number): made_values(task, number) for task in tasks for number in iterations}
    table |= {(*(*key, "")[:2], None): found for key, found in values.items()}
    flat = {(name, metric, *where): value for (name, *where), of in table.items() for metric, value in of.items()}
    errors = {key: 0.005 for key, value in flat.items() if np.ndim(value) == 0}
    return Evaluation(tuple(tasks), flat, {"": 998, **(counts or {})}, slices or {}, tuple(iterations), errors)


# Images, labels and answers.


def png(array) -> bytes:
    """An image file."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def label_map(height=60, width=48, shift=0) -> np.ndarray:
    """[H, W] uint8: an oval of skin under hair, with eyes, brows, a nose and a mouth."""
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    labels = np.zeros((height, width), np.uint8)
    labels[(x - 0.5) ** 2 / 0.16 + (y - 0.5) ** 2 / 0.23 < 1] = 10
    labels[(x - 0.5) ** 2 / 0.1 + (y - 0.58) ** 2 / 0.14 < 1] = 1
    for label, cx, cy, rx, ry in (
        (3, 0.37, 0.42, 0.08, 0.02), (2, 0.63, 0.42, 0.08, 0.02), (5, 0.38, 0.48, 0.05, 0.02),
        (4, 0.62, 0.48, 0.05, 0.02), (6, 0.5, 0.58, 0.05, 0.08), (7, 0.5, 0.72, 0.09, 0.02),
        (8, 0.5, 0.74, 0.08, 0.015), (9, 0.5, 0.765, 0.09, 0.02),
    ):  # fmt: skip
        labels[((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1] = label
    return np.roll(labels, shift, axis=1)


FIVE_POINTS = np.array([[0.38, 0.48], [0.62, 0.48], [0.5, 0.6], [0.42, 0.73], [0.58, 0.73]], np.float32)


def made_sample(index, dataset, tasks, labelled=None) -> Sample:
    """A face with every task's answer and the labels of its own data set; of two sizes, and worse by index."""
    rng = np.random.default_rng(index)
    size = (60, 48) if index % 2 else (48, 64)
    labels = label_map(*size)
    outputs, truths = {}, {}
    for task in tasks:
        if task.kind == "multi_label":
            truth = (rng.random(len(task.names)) < np.resize(POSITIVE_RATE, len(task.names))).astype(np.int64)
            scores = ((2 * truth - 1) * 0.7 + rng.normal(0, 0.45, len(truth))).astype(np.float32)
            outputs |= {task.name: scores, f"{task.name}_decisions": (scores > 0.1).astype(np.int64)}
        elif task.kind == "landmarks":
            places = np.resize(FIVE_POINTS, (len(task.names), 2))
            truth = places.ravel()
            outputs[task.name] = places + rng.normal(0, 0.012, places.shape)
        elif task.kind == "segmentation":
            known = labels.copy()
            known[:6, :6] = 255
            truth = png(known)
            padded = np.full((64, 64), 255, np.uint8)  # as large as another image of the batch
            padded[: size[0], : size[1]] = np.roll(labels, index // 2, axis=1)
            outputs[task.name] = padded
        elif task.kind == "regression":
            truth = np.array([20.0 + 3 * index], np.float32)
            outputs[task.name] = truth[0] + rng.normal(0, 4)
        else:
            truth = np.array([index % len(task.names)])
            scores = np.full(len(task.names), 0.1 / (len(task.names) - 1))
            scores[(index if index % 2 else 3) % len(task.names)] = 0.9
            outputs[task.name] = scores
        if task.dataset == dataset if labelled is None else labelled:
            truths[task.name] = truth
    image = np.repeat(labels[..., None] * 20 + 30, 3, axis=-1).astype(np.uint8)
    return Sample(FaceRecord(f"{dataset}-{index}.jpg", dataset, png(image), truths), image, outputs)


def made_samples(tasks, count=12) -> dict:
    """By data set."""
    datasets = dict.fromkeys(task.dataset for task in tasks)
    return {name: tuple(made_sample(index, name, tasks) for index in range(count)) for name in datasets}


def epochs(tasks, count=EPOCHS, stages=()) -> list[dict]:
    """A history in which everything gets better, and weights and thresholds move."""
    rng = np.random.default_rng(3)
    names = [name for name, length in stages for _ in range(length)]
    made = []
    for number in range(count):
        rise = 1 - np.exp(-(number + 1) / 5)
        epoch = {"loss": 4 - 3 * rise, "learning_rate": 1e-3 if number < 9 else 1e-4}
        epoch |= {"stage": names[number]} if names else {"val_loss": 4.2 - 3 * rise}
        for task in tasks:
            many = len(task.names)
            if task.kind == "multi_label":
                epoch[f"val_{task.name}_accuracy"] = 0.8 + 0.1 * rise
                epoch |= {
                    f"{task.name}_losses": (np.linspace(1, 2, many) - rise).tolist(),
                    f"{task.name}_weights": (rng.random(many) if number > 1 else np.ones(many)).tolist(),
                    f"{task.name}_thresholds": (rise * np.linspace(-0.2, 0.2, many)).tolist(),
                }
            elif task.kind == "segmentation":
                epoch[f"val_{task.name}_mean_f1"] = 0.8 * rise
                epoch[f"{task.name}_f1"] = (rise * np.linspace(0.9, 0.4, many)).tolist()
            elif task.kind == "landmarks":
                epoch[f"val_{task.name}_nme"] = 1.4 - 1.35 * rise
            elif task.kind == "regression":
                epoch[f"val_{task.name}_mean_absolute_error"] = 12 - 7 * rise
            else:
                epoch[f"val_{task.name}_accuracy"] = 0.6 * rise
        made.append(epoch)
    return made


DATA = DataSummary(
    splits={
        "train": {"read": 8000, "kept": 7993, "quarantined": 7},
        "test": {"read": 1000, "kept": 998, "quarantined": 2},
    },
    quarantine_reasons={"image can't be decoded: truncated": 6, "attribute Young is 3, expected 0 or 1": 3},
    quarantine_samples=(("011835.jpg", "image can't be decoded: truncated"), ("Zoë <b>7</b>.jpg", "missing file")),
    annotations={"train": {"annotated": 7801, "had_landmarks": 0, "not_found": 192}},
    soft_labels={"train": {"clothing": {"annotated": 3068, "labelled": 8000}}},
    anomalies=("Feature 'emotion': expected 7 classes, found value 9 in 3 records.",),
)
VERDICT = Verdict(
    blessed=True,
    serving_message="the exported model gave the trained model's answers on 16 images (largest difference 2e-7).",
    pushed_path="/data/serving/ifan/1715956200",
)


def artifacts(*tasks, values=None, slices=None, counts=None, iterations=(), stages=(), system="", **changed):
    """A run's artifacts. `changed`: of RunArtifacts; `epochs`, too."""
    names = dict.fromkeys(task.dataset for task in tasks)
    nothing = configured("builtins.dict")
    experiment = Experiment(
        summary="A network of several tasks.",
        target="91.15 % overall F1 on Helen (iFAN, Table 4)",
        data=Data(tuple(DatasetConfig(name) for name in names)),
        tasks=tuple(task.task for task in tasks),
        model=nothing,
        training=Training(epochs=EPOCHS, batch_size=2, optimizer=nothing, seed=7),
        system=system,
    )
    samples = changed.pop("samples", None)
    samples = made_samples(tasks) if samples is None else samples
    found = {
        "name": "ifan/3t-tiny",
        "experiment": experiment,
        "tasks": tasks,
        "evaluation": evaluation(tasks, values, slices, counts, iterations),
        "training": {
            "epochs": changed.pop("epochs", None) or epochs(tasks, stages=stages),
            "minutes": 41.3,
            "processor_minutes": 75.2,
            "trained_in": "mixed_bfloat16",
            "lite": {"bytes": 400_000} if changed.get("lite") else {},
            "precision": {
                "served": "bfloat16",
                "figures": {"float32": {"parsing_mean_f1": 0.71}, "bfloat16": {"parsing_mean_f1": 0.7095}},
            },
            "parameters": 88_713_432,
        },
        "model": SimpleNamespace(signatures={}),
        "model_path": "/data/runs/ifan/3t-tiny/Trainer/model/12/Format-Serving",
        "contract": {
            f"{task.name}_decisions": {"thresholds": np.linspace(-0.2, 0.2, len(task.names)).tolist()}
            for task in tasks
            if task.kind == "multi_label"
        },
        "tested": {name: tuple(sample.record for sample in of) for name, of in samples.items()},
        "samples": samples,
        "model_run": "/data/runs/ifan/3t-tiny/Trainer/model_run/12",
        "data": DATA,
        "verdict": VERDICT,
        "terms": dict.fromkeys(names, "For research; the images belong to their owners."),
        "created": datetime.datetime(2024, 5, 17, 14, 30),
    }
    return RunArtifacts(**found | changed)


def whole_page(run: RunArtifacts) -> str:
    """The run's page."""
    from components.report.run_page import parts_of, run_page

    return run_page(run, parts_of(run)).render()


def page_of(run: RunArtifacts, *sections) -> str:
    """A page of some sections alone."""
    from components.page.page import Page

    return Page(run.name, tuple(sections)).render()

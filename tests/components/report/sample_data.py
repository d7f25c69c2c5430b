"""Made-up material for reports of the size of real ones: 40 attributes, 11 classes, 15 epochs, 12 pictures."""

import dataclasses
import datetime

import numpy as np

from components.report import (
    Page,
    attribute_part,
    class_part,
    landmark_part,
    parsing_part,
    run_page,
    tasks_part,
)
from components.report.data import (
    AnnotationCount,
    Attention,
    AttributeResults,
    AttributeSlice,
    ClassResults,
    ComponentTime,
    DataSummary,
    EdgeMaps,
    History,
    IterationRow,
    LandmarkResults,
    ParsingPicture,
    ParsingPictures,
    ParsingResults,
    Picture,
    Pictures,
    Run,
    SoftLabelCount,
    SplitCount,
    StageHistory,
    TaskPicture,
    TaskPictures,
    Verdict,
)

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
EPOCHS = 15


def run() -> Run:
    times = {"CsvExampleGen": (2.4, True), "StatisticsGen": (1.1, True), "Transform": (6.75, False)}
    times |= {"Trainer": (41.3, False), "Evaluator": (3.2, False), "Pusher": (0.04, False)}
    return Run(
        experiment="dmm_cnn/celeb_a-tiny",
        description=(
            "DMM-CNN learns forty facial attributes with facial landmarks as the auxiliary task. Attributes that can "
            "be seen at once and those that are a matter of opinion have branches of their own, and both the weight of "
            "an attribute's loss and its decision threshold adapt while it trains."
        ),
        target="91.70 % mean accuracy on CelebA (Mao et al. 2020, Table 3)",
        created=datetime.datetime(2024, 5, 17, 14, 30),
        seed=7,
        components={name: ComponentTime(*time) for name, time in times.items()},
        parameters=88_713_432,
        image_size=(224, 224),
        model_location="/data/runs/dmm_cnn/celeb_a-tiny/Trainer/model/12/Format-Serving",
        log_location="/data/runs/dmm_cnn/celeb_a-tiny/Trainer/model_run/12",
        tensorboard_command="tensorboard --logdir /data/runs/dmm_cnn/celeb_a-tiny/Trainer/model_run/12",
        serving_commands=(
            "docker run -p 8501:8501 -v /data/serving:/models/facetfx -e MODEL_NAME=facetfx tensorflow/serving\n"
            'curl -d "{\\"instances\\": [{\\"b64\\": \\"$(base64 -w0 face.jpg)\\"}]}" '
            "localhost:8501/v1/models/facetfx:predict"
        ),
    )


def data_summary() -> DataSummary:
    return DataSummary(
        splits={
            "train": SplitCount(8000, 7993, 7),
            "validation": SplitCount(1000, 1000, 0),
            "test": SplitCount(1000, 998, 2),
        },
        quarantine_reasons={"image can't be decoded: truncated": 6, "attribute Young is 3, expected 0 or 1": 3},
        quarantine_samples=(("011835.jpg", "image can't be decoded: truncated"), ("Zoë <b>7</b>.jpg", "missing file")),
        annotations={"train": AnnotationCount(7801, 0, 192), "test": AnnotationCount(977, 0, 21)},
        soft_labels={"train": {"clothing": SoftLabelCount(annotated=3068, labelled=8000)}},
        attribute_names=NAMES,
        positive_rate=POSITIVE_RATE,
        anomalies=("Feature 'emotion': expected 7 classes, found value 9 in 3 records.",),
    )


def results(seed: int = 0, count: int = 998, skill: float = 0.55) -> AttributeResults:
    """A model that removes about `skill` of the majority answer's errors; two attributes are below it."""
    rng = np.random.default_rng(seed)
    n = len(NAMES)
    majority = np.maximum(POSITIVE_RATE, 1 - POSITIVE_RATE)
    learnt = np.clip(rng.normal(skill, 0.2, n), -0.04, 0.95)
    learnt[[4, 10]] = -0.2
    accuracy = majority + (1 - majority) * learnt
    balanced = 0.5 + 0.5 * np.clip(learnt, 0, 1)
    f1 = np.clip(learnt + 0.1, 0, 1)
    f1[4] = np.nan
    predicted = np.clip(POSITIVE_RATE * rng.normal(0.95, 0.12, n), 0, 1)
    return AttributeResults(
        names=NAMES,
        count=count,
        accuracy=accuracy,
        mean_accuracy=float(accuracy.mean()),
        balanced_accuracy=balanced,
        f1=f1,
        positive_rate_true=POSITIVE_RATE,
        positive_rate_predicted=predicted,
        majority_accuracy=majority,
        thresholds=rng.normal(0, 0.12, n),
        mean_balanced_accuracy=float(balanced.mean()),
        mean_f1=float(np.nanmean(f1)),
        landmark_nme=0.0473,
        failure_rate=0.031,
        failure_threshold=0.1,
    )


def slices() -> tuple[AttributeSlice, ...]:
    made = [("Male", 411, 0.52, 587, 0.60), ("Young", 770, 0.58, 228, 0.42), ("Eyeglasses", 66, 0.4, 932, 0.56)]
    return tuple(
        AttributeSlice(name, results(2 * i + 1, n_with, skill_with), results(2 * i + 2, n_without, skill_without))
        for i, (name, n_with, skill_with, n_without, skill_without) in enumerate(made)
    )


def history(epochs: int = EPOCHS) -> History:
    rng = np.random.default_rng(3)
    n, steps = len(NAMES), np.arange(epochs)[:, None]
    final = np.linspace(0.2, 0.7, n)
    losses = final + (1 - final) * np.exp(-steps / rng.uniform(1.5, 5, n)) + rng.normal(0, 0.012, (epochs, n))
    weights = np.ones((epochs, n))
    weights[2:] = np.abs(np.diff(losses, axis=0)[1:] / losses[1:-1])
    return History(
        loss=losses.mean(axis=1) * 0.9 + 0.1,
        val_loss=losses.mean(axis=1) + 0.12,
        learning_rate=np.where(np.arange(epochs) < 9, 1e-3, np.where(np.arange(epochs) < 13, 1e-4, 1e-5)),
        names=NAMES,
        attribute_losses=losses,
        weights=weights,
        thresholds=rng.normal(0, 0.12, n) * (1 - np.exp(-steps / 4)) + rng.normal(0, 0.003, (epochs, n)),
        iterations=125 * np.arange(1, epochs + 1),
        loss_name="mean squared error (labels are −1 and 1)",
    )


def face_points() -> np.ndarray:
    """[68, 2] points of about the iBUG mark-up's shape, in [0, 1] of an aligned CelebA picture."""

    def arc(count, cx, cy, rx, ry, first, last):
        angle = np.linspace(first, last, count)
        return np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], axis=1)

    pi = np.pi
    return np.concatenate(
        [
            arc(17, 0.5, 0.52, 0.27, 0.29, pi, 0),
            arc(5, 0.38, 0.47, 0.09, 0.05, pi * 1.1, pi * 1.9),
            arc(5, 0.62, 0.47, 0.09, 0.05, pi * 1.1, pi * 1.9),
            np.stack([np.full(4, 0.5), np.linspace(0.51, 0.6, 4)], axis=1),
            arc(5, 0.5, 0.625, 0.06, 0.015, pi, 0),
            arc(6, 0.39, 0.515, 0.045, 0.015, pi, -pi * 2 / 3),
            arc(6, 0.61, 0.515, 0.045, 0.015, pi, -pi * 2 / 3),
            arc(12, 0.5, 0.71, 0.1, 0.035, pi, -pi * 5 / 6),
            arc(8, 0.5, 0.71, 0.07, 0.015, pi, -pi * 3 / 4),
        ]
    )


def pictures(images: list[np.ndarray] | None = None, count: int = 12) -> Pictures:
    """`images`, or smooth generated ones; the last picture has no labels and no given landmarks."""
    rng = np.random.default_rng(5)
    if images is None:
        ramp = np.linspace(0, 255, 218 * 178).reshape(218, 178, 1)
        images = [np.broadcast_to(np.abs(ramp - 20 * i), (218, 178, 3)).astype(np.uint8) for i in range(count)]
    thresholds = rng.normal(0, 0.1, len(NAMES))
    made = []
    for index, image in enumerate(images):
        labels = (rng.random(len(NAMES)) < POSITIVE_RATE).astype(int)
        scores = (2 * labels - 1) * 0.7 + rng.normal(0, 0.45, len(NAMES))
        known = index < len(images) - 1
        truth = face_points() + rng.normal(0, 0.002, (68, 2))
        made.append(
            Picture(
                image=image,
                id=f"{19 + 37 * index:06d}.jpg",
                scores=scores,
                decisions=(scores > thresholds).astype(int),
                attributes=labels if known else None,
                landmarks=truth + rng.normal(0, 0.006, (68, 2)),
                true_landmarks=truth if known else None,
            )
        )
    return Pictures(NAMES, thresholds, tuple(made))


GROUPS = ("eyes", "nose", "mouth", "hairline", "around head", "middle face", "neck", "whole face")


def attention(groups=GROUPS, images: list[np.ndarray] | None = None, count: int = 16) -> Attention:
    """`count` pictures, four of them shown; each mask is a spot, and that of the third group in block 3 is dead."""
    rng = np.random.default_rng(11)
    masks, affinities = {}, {}
    for block, side in (("block3", 12), ("block4", 6)):
        y, x = np.mgrid[:side, :side][..., None] / (side - 1)
        spots = np.exp(-((y - rng.random(len(groups))) ** 2 + (x - rng.random(len(groups))) ** 2) / 0.05)
        masks[block] = np.maximum(spots + rng.normal(0, 0.1, (count, *spots.shape)), 0).astype(np.float32)
        raw = rng.random((count, len(groups), len(groups))) * (1 - np.eye(len(groups)))
        affinities[block] = (raw / raw.sum(axis=-1, keepdims=True)).astype(np.float32)
    masks["block3"][..., 2] = 0
    shown = images or [each.image for each in pictures(count=4).pictures]
    return Attention(tuple(groups), tuple(shown[:4]), masks, affinities)


def verdict() -> Verdict:
    return Verdict(
        blessed=True,
        reasons=("Mean accuracy 90.4 % is above the majority baseline of 80.0 %.",),
        serving_ok=True,
        serving_message="the exported model gave the trained model's answers on 16 pictures (largest difference 2e-7).",
        pushed_path="/data/serving/dmm_cnn/1715956200",
    )


def attribute_page(run: Run, data=None, history=None, verdict=None, **task) -> Page:
    """The page of a run with attributes alone; `task` as for `attribute_part`."""
    return run_page(run, [attribute_part(data=data, **task)], data, history, verdict)


def whole_report(images: list[np.ndarray] | None = None) -> dict:
    """Keyword arguments of `attribute_page`."""
    return {
        "run": run(),
        "data": data_summary(),
        "results": results(),
        "slices": slices(),
        "history": history(),
        "pictures": pictures(images),
        "attention": attention(images=images),
        "verdict": verdict(),
    }


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
_PIXELS = np.array([40_000, 30_000, 400, 420, 200, 210, 2_000, 300, 90, 500, 25_000])


def parsing_results(count: int = 100) -> ParsingResults:
    """A tenth of a class's pixels goes to skin, and of a small class's three tenths."""
    lost = np.where(_PIXELS < 1000, _PIXELS * 3 // 10, _PIXELS // 10)
    lost[1] = 0
    confusion = np.diag(_PIXELS - lost)
    confusion[:, 1] += lost
    hits, both = confusion.diagonal(), confusion.sum(axis=0) + confusion.sum(axis=1)
    f1, iou = 2 * hits / both, hits / (both - hits)
    return ParsingResults(
        classes=CLASSES,
        dataset="helen",
        count=count,
        mean_f1=float(f1[1:].mean()),
        mean_iou=float(iou.mean()),
        pixel_accuracy=float(hits.sum() / confusion.sum()),
        f1=f1,
        iou=iou,
        confusion=confusion,
        overall_f1=0.8765,
        merged_parts=MERGED_PARTS,
    )


def label_map(height: int = 60, width: int = 48, shift: int = 0) -> np.ndarray:
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


def parsing_pictures(count: int = 12) -> ParsingPictures:
    """The later, the worse; each second one is of another size, and the first has pixels without a class."""
    made = []
    for index in range(count):
        size = (60, 48) if index % 2 else (48, 64)
        truth, predicted = label_map(*size), label_map(*size, shift=index // 2)
        if index == 0:
            truth[:8, :8] = 255
        f1 = np.linspace(0.6, 1, len(CLASSES)) - index / 40
        f1[3] = np.nan
        image = np.repeat(label_map(*size)[..., None] * 20 + 30, 3, axis=-1).astype(np.uint8)
        made.append(ParsingPicture(image, f"face-{index}.jpg", predicted, truth, f1, float(np.nanmean(f1[1:])), 0.9))
    return ParsingPictures(CLASSES, tuple(made))


def edge_maps(count: int = 5, size: int = 40) -> EdgeMaps:
    """Edges where a label map changes; predicted one pixel off."""
    labels = np.stack([label_map(size, size, shift=index) for index in range(count)])
    binary = np.zeros(labels.shape, np.uint8)
    binary[:, :, 1:] = labels[:, :, 1:] != labels[:, :, :-1]
    category = labels * binary
    return EdgeMaps(
        classes=CLASSES,
        images=np.repeat(labels[..., None] * 20 + 30, 3, axis=-1).astype(np.uint8),
        true_binary=binary,
        binary=(np.roll(binary, 1, axis=2) * 0.8).astype(np.float16),
        true_category=category,
        category=np.roll(category, 1, axis=2),
    )


def parsing_history(first: int = 9, cycles: int = 2, length: int = 3) -> History:
    """A first phase and cycles of self-regulation, each of which ends in an ensemble."""
    epochs = first + cycles * length
    rng = np.random.default_rng(4)
    rise = 1 - np.exp(-np.arange(1, epochs + 1) / 5)
    ensemble = np.full(epochs, np.nan)
    ensemble[first - 1 + length :: length] = rise[first - 1 + length :: length] * 0.82
    return History(
        loss=4 - 3 * rise,
        val_loss=4.2 - 3 * rise,
        learning_rate=1e-3 * (1 - np.arange(epochs) / (epochs + 1)) ** 0.9,
        terms={"parsing_loss": 2 - 1.6 * rise, "edge_loss": 1 - 0.5 * rise, "attention_loss": 0.4 - 0.3 * rise},
        mean_f1=rise * 0.8,
        ensemble_mean_f1=ensemble,
        classes=CLASSES,
        class_f1=rise[:, None] * rng.uniform(0.4, 0.95, len(CLASSES)),
        class_pixels=_PIXELS,
    )


def parsing_page(run: Run, data=None, history=None, verdict=None, **task) -> Page:
    """The page of a run with face parsing alone; `task` as for `parsing_part`."""
    return run_page(run, [parsing_part(**task)], data, history, verdict)


def whole_parsing_report() -> dict:
    """Keyword arguments of `parsing_page`."""
    return {
        "run": run(),
        "data": data_summary(),
        "results": parsing_results(),
        "pictures": parsing_pictures(),
        "edges": edge_maps(),
        "history": parsing_history(),
        "verdict": verdict(),
    }


POINTS = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")
EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def landmark_results(iteration: int = 2, names: tuple[str, ...] = POINTS) -> LandmarkResults:
    """Errors of about iFAN's Table 1; the later the iteration, the smaller."""
    nme = np.resize([0.0608, 0.0754, 0.0892, 0.0742, 0.0779], len(names)) * 0.8**iteration
    return LandmarkResults(
        dataset="mtfl",
        count=2995,
        nme=float(nme.mean()),
        failure_rate=0.18 * 0.7**iteration,
        failure_threshold=0.1,
        point_names=names,
        point_nme=nme,
        point_failure_rate=np.linspace(0.1, 0.24, len(names)) * 0.7**iteration,
    )


def emotion_results(iteration: int = 2) -> ClassResults:
    """Seven emotions, happy the commonest; the rest of a class is taken for the others, most of all for the next."""
    pictures = np.array([958, 111, 1024, 1774, 1233, 1247, 831])
    right = np.round(pictures * (np.array([0.42, 0.2, 0.3, 0.8, 0.5, 0.36, 0.7]) + 0.03 * iteration)).astype(int)
    confusion = np.diag(right)
    for index, left in enumerate(pictures - right):
        share = left // 12
        confusion[index] += np.where(np.arange(7) == index, 0, share)
        confusion[index, (index + 1) % 7] += left - 6 * share
    hits, both = confusion.diagonal(), confusion.sum(axis=0) + confusion.sum(axis=1)
    return ClassResults(
        title="emotion",
        classes=EMOTIONS,
        dataset="fer2013",
        count=int(confusion.sum()),
        accuracy=float(hits.sum() / confusion.sum()),
        recall=hits / confusion.sum(axis=1),
        f1=2 * hits / both,
        confusion=confusion,
    )


def iteration_rows(count: int = 3) -> tuple[IterationRow, ...]:
    """About iFAN's Table 4. Attributes get worse."""
    return tuple(
        IterationRow(
            iteration,
            {
                "parsing mean F1": 0.86 + 0.004 * iteration,
                "overall F1": 0.9096 + 0.0018 * iteration,
                "landmark NME": landmark_results(iteration).nme,
                "landmark failure rate": landmark_results(iteration).failure_rate,
                "emotion accuracy": emotion_results(iteration).accuracy,
                "mean accuracy": 0.88 - 0.001 * iteration,
            },
        )
        for iteration in range(count)
    )


def stage_history() -> StageHistory:
    """Three tasks alone for two epochs each, of which each forgets the others, then nine of turns."""
    stages = (("parsing alone", 2), ("landmarks alone", 2), ("emotion alone", 2), ("taking turns", 9))
    together = 1 - np.exp(-np.arange(1, 10) / 3)
    return StageHistory(
        {
            "parsing mean F1": np.concatenate([[0.4, 0.62, 0.3, 0.2, 0.12, 0.1], 0.3 + 0.5 * together]),
            "landmark NME": np.concatenate([[1.4, 1.3, 0.2, 0.12, 0.4, 0.6], 0.07 + 0.2 * (1 - together)]),
            "emotion accuracy": np.concatenate([[np.nan, 0.14, 0.15, 0.16, 0.35, 0.4], 0.4 + 0.25 * together]),
        },
        stages,
    )


def task_history() -> History:
    """What the section on learning shows of such a training."""
    stages = stage_history().stages
    return History(
        loss=np.concatenate([[2, 1.2, 0.3, 0.2, 1.9, 1.7], np.linspace(2.5, 1.4, 9)]),
        learning_rate=np.concatenate([np.full(6, 1e-3), np.geomspace(1e-3, 1e-6, 9)]),
        stages=stages,
    )


def task_pictures(faces: list[tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None) -> TaskPictures:
    """Four pictures of each of three data sets, each with the labels of its own.

    `faces`: (picture, label map, five landmarks) of each, else made ones.
    """
    rng = np.random.default_rng(6)
    points = np.array([[0.38, 0.48], [0.62, 0.48], [0.5, 0.6], [0.42, 0.73], [0.58, 0.73]])
    made = []
    for index in range(12):
        dataset = ("helen", "mtfl", "fer2013")[index // 4]
        if faces is None:
            labels, places = label_map(*((60, 48) if index % 2 else (48, 64))), points
            image = np.repeat(labels[..., None] * 20 + 30, 3, axis=-1).astype(np.uint8)
        else:
            image, labels, places = faces[index]
        truth = labels.copy()
        truth[:6, :6] = 255
        emotion = index % 3
        made.append(
            TaskPicture(
                image=image,
                id=f"{dataset}-{index:04d}.jpg",
                dataset=dataset,
                landmarks=places + rng.normal(0, 0.012, places.shape),
                true_landmarks=places if dataset == "mtfl" else None,
                parsing=np.roll(labels, 1 + index % 3, axis=1),
                true_parsing=truth if dataset == "helen" else None,
                class_name=EMOTIONS[emotion],
                class_probability=0.9 - 0.04 * index,
                true_class_name=EMOTIONS[emotion if index % 2 else 3] if dataset == "fer2013" else None,
            )
        )
    return TaskPictures(CLASSES, tuple(made))


def part_f1() -> dict[str, float]:
    """Of MERGED_PARTS."""
    return {"brows": 0.816, "eyes": 0.868, "nose": 0.942, "mouth": 0.9419}


def whole_tasks_report() -> dict:
    """Keyword arguments of `tasks_page`: parsing, landmarks and emotions at iterations 0 to 2, in four stages."""
    return {
        "run": run(),
        "data": data_summary(),
        "pictures": task_pictures(),
        "iterations": iteration_rows(),
        "stages": stage_history(),
        "parsing": dataclasses.replace(parsing_results(), part_f1=part_f1()),
        "landmarks": landmark_results(),
        "emotion": emotion_results(),
        "history": task_history(),
        "verdict": verdict(),
    }


def tasks_page(
    run: Run,
    data=None,
    history=None,
    verdict=None,
    parsing=None,
    landmarks=None,
    emotion=None,
    attributes=None,
    **together,
) -> Page:
    """The page of a run of several tasks: the results of each that it has; `together` as for `tasks_part`."""
    iterated = range(len(together.get("iterations", ())))
    parts = [tasks_part(**together)]
    if attributes is not None:
        parts.append(attribute_part(attributes))
    if parsing is not None:
        parts.append(parsing_part(parsing))
    if landmarks is not None:
        names = landmarks.point_names
        parts.append(landmark_part(landmarks, {i: landmark_results(i, names) for i in iterated}))
    if emotion is not None:
        parts.append(class_part(emotion, {i: emotion_results(i) for i in iterated}))
    return run_page(run, parts, data, history, verdict)

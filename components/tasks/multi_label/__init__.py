"""Yes-or-no labels, many an image, such as the attributes of a face."""

from components.tasks import Kind

KIND = Kind(
    metrics={"mean_accuracy": True, "mean_balanced_accuracy": True, "mean_f1": True},
    # What the network gives: logits, probabilities, or values trained towards +1 and -1 (DMM-CNN).
    options={"scores": ("logits", "probabilities", "signed")},
    answers_yes_or_no=True,
)

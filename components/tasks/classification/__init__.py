"""One class an image, such as its emotion or the category of the clothing."""

from components.tasks import Kind

KIND = Kind(
    metrics={"accuracy": True, "mean_recall": True, "top_3_accuracy": True, "top_5_accuracy": True},
    options={
        # What the network gives: logits of one choice, or a probability for each class on its own.
        "scores": ("logits", "probabilities"),
        "top": list,  # the k of the top-k accuracies
    },
    answers_yes_or_no=True,
)

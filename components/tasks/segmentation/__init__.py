"""A class for each pixel, such as the parts of a face."""

from components.tasks import Kind

KIND = Kind(
    metrics={"mean_f1": True, "mean_iou": True, "pixel_accuracy": True, "overall_f1": True},
    options={"lovasz": float},  # weight of the Lovász-softmax that is added to the cross-entropy; none by default
)

"""One number an image, such as an age."""

from components.tasks import Kind

KIND = Kind(
    metrics={"mean_absolute_error": False, "root_mean_squared_error": False, "r_squared": True},
    options={
        "scale": float,  # what the network's output is multiplied by, so that it learns values near 1; 1 by default
        "delta": float,  # the error from which the Huber loss is linear, in the label's unit; the scale by default
    },
    shares=False,
)

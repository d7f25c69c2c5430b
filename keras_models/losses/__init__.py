"""Losses as pure functions, with their equations."""

from keras_models.losses.attributes import (
    attribute_mse,
    joint_loss,
    landmark_mse,
    soft_binary_crossentropy,
    weighted_binary_crossentropy,
)
from keras_models.losses.parsing import (
    binary_edge_attention,
    binary_edge_cross_entropy,
    category_edge_attention,
    category_edge_cross_entropy,
    csr_loss,
    distillation_kl,
    dml_loss,
    labelled_mean,
    lovasz_softmax,
    pixel_cross_entropy,
)

__all__ = [
    "attribute_mse",
    "binary_edge_attention",
    "binary_edge_cross_entropy",
    "category_edge_attention",
    "category_edge_cross_entropy",
    "csr_loss",
    "distillation_kl",
    "dml_loss",
    "joint_loss",
    "labelled_mean",
    "landmark_mse",
    "lovasz_softmax",
    "pixel_cross_entropy",
    "soft_binary_crossentropy",
    "weighted_binary_crossentropy",
]

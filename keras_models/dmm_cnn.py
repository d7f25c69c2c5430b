"""DMM-CNN: facial attributes with landmarks as the auxiliary task (Mao et al. 2020, Section 3.2, Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from tensorflow import keras

from keras_models.attributes import CELEBA_ATTRIBUTES
from keras_models.backbones import backbone as build_backbone
from keras_models.spatial_pyramid_pooling import SpatialPyramidPooling

layers = keras.layers

# The paper shows which group a few attributes belong to (Fig. 1) but lists no full split: this one is ours.
SUBJECTIVE_ATTRIBUTES = (
    "Attractive",
    "Big_Lips",
    "Big_Nose",
    "Bushy_Eyebrows",
    "Oval_Face",
    "Pointy_Nose",
    "Smiling",
    "Young",
    "Arched_Eyebrows",
    "Bags_Under_Eyes",
    "Chubby",
    "Double_Chin",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Narrow_Eyes",
    "Pale_Skin",
    "Receding_Hairline",
    "Rosy_Cheeks",
)

_MIDDLE = 0.5  # initial landmark position, in [0, 1] of the image


def DMMCNN(
    input_shape: tuple[int | None, int | None, int],
    num_landmarks: int = 72,
    backbone: str = "resnet50",
    attributes: Sequence[str] = CELEBA_ATTRIBUTES,
    subjective: Sequence[str] | None = SUBJECTIVE_ATTRIBUTES,
    backbone_width: int = 64,
    objective_units: Sequence[int] = (1024,),
    subjective_units: Sequence[int] = (2048, 1024),
    landmark_units: Sequence[int] = (1024,),
    weights: str | None = None,
) -> keras.Model:
    """Deep multi-task multi-label CNN.

    Args:
        input_shape: (H, W, 3), RGB pixels in [0, 255]; H and W may be None.
        num_landmarks: T, points of the landmark branch; 0 leaves the branch out (the paper's DMM-FAC).
        backbone: its name; `backbone_width` and `weights` are its options: see `keras_models.backbones.backbone`.
        attributes: names of the N attributes, in the order of the output.
        subjective: those of them that are predicted from the 3-level pyramid; None: all, the paper's DMM-SPP.
        objective_units: hidden units of the objective branch.
        subjective_units: hidden units of the subjective branch.
        landmark_units: hidden units of the landmark branch.

    Returns:
        keras.Model: image -> {"attributes": [batch, N] real scores, positive where > τ_j, trained towards -1 and +1;
        "landmarks": [batch, 2·T], x and y in turn, in [0, 1] of the image}, float32.

    Raises:
        ValueError: if a subjective attribute is not among the attributes.
    """
    subjective = tuple(attributes if subjective is None else subjective)
    unknown = sorted(set(subjective) - set(attributes))
    if unknown:
        raise ValueError(f"Subjective attributes {unknown} are not among the attributes {tuple(attributes)}.")
    objective = [name for name in attributes if name not in subjective]
    image = keras.Input(input_shape, name="image")
    features = build_backbone(backbone, input_shape, backbone_width, weights)(image)
    coarse = SpatialPyramidPooling(1, name="spp1")(features)

    scores = []
    if objective:
        scores.append(_branch(coarse, objective_units, len(objective), name="objective"))
    if subjective:
        fine = SpatialPyramidPooling(3, name="spp3")(features)
        scores.append(_branch(fine, subjective_units, len(subjective), name="subjective"))
    outputs = {"attributes": _in_order(scores, [*objective, *subjective], attributes)}
    if num_landmarks:
        # Before training, every landmark is predicted at the centre of the image.
        outputs["landmarks"] = _branch(coarse, landmark_units, 2 * num_landmarks, name="landmarks", start=_MIDDLE)
    return keras.Model(image, outputs, name="dmm_cnn")


def _branch(features, hidden_units, outputs, name, start=0.0):
    """Fully connected layers with ReLU between them: [batch, D] -> [batch, outputs], initially `start`."""
    x = features
    for i, units in enumerate(hidden_units, start=1):
        x = layers.Dense(units, activation="relu", name=f"{name}_fc{i}")(x)
    return layers.Dense(
        outputs,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(start),
        dtype="float32",
        name=f"{name}_out",
    )(x)


def _in_order(scores, names, attributes):
    """Scores of the branches, which are in the order of `names`, in that of `attributes`."""
    joined = tf.concat(scores, axis=-1, name="groups")
    return tf.gather(joined, [names.index(name) for name in attributes], axis=-1, name="attributes")

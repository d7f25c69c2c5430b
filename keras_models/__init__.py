"""What is learnt: functional Keras models, their layers and losses. Imports neither TFX nor Beam."""

from keras_models.dmm_cnn import DMMCNN, AttributeBaseline
from keras_models.spatial_pyramid_pooling import SpatialPyramidPooling

__all__ = ["DMMCNN", "AttributeBaseline", "SpatialPyramidPooling"]

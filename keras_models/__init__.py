"""What is learnt: functional Keras models, their layers and losses. Imports neither TFX nor Beam."""

from keras_models.dmm_cnn import DMMCNN, AttributeBaseline
from keras_models.graph_correlation import GraphCorrelation
from keras_models.group_attention import GroupAttention
from keras_models.mgg_net import MGGNet
from keras_models.spatial_pyramid_pooling import SpatialPyramidPooling

__all__ = ["DMMCNN", "AttributeBaseline", "GraphCorrelation", "GroupAttention", "MGGNet", "SpatialPyramidPooling"]

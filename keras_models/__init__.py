"""What is learnt: functional Keras models, their layers and losses. Imports neither TFX nor Beam."""

from keras_models import _environment  # noqa: F401 (before TensorFlow)
from keras_models.aligned_resize import AlignedResize
from keras_models.branch_tree import BranchTree
from keras_models.branched_resnet18 import BranchedResNet18, ThinResNet18
from keras_models.branched_vgg16 import VGG16, BranchedVGG16, LowRankVGG16, ThinVGG16
from keras_models.dml_csr import DMLCSR
from keras_models.dmm_cnn import DMMCNN
from keras_models.dynamic_dual_graph_conv import DynamicDualGraphConv
from keras_models.graph_correlation import GraphCorrelation
from keras_models.group_attention import GroupAttention
from keras_models.ifan import IFAN
from keras_models.mgg_net import MGGNet
from keras_models.multi_task import MultiTaskNetwork
from keras_models.spatial_pyramid_pooling import SpatialPyramidPooling
from keras_models.trained_network import TrainedNetwork

__all__ = [
    "DMLCSR",
    "DMMCNN",
    "IFAN",
    "VGG16",
    "AlignedResize",
    "BranchTree",
    "BranchedResNet18",
    "BranchedVGG16",
    "DynamicDualGraphConv",
    "GraphCorrelation",
    "GroupAttention",
    "LowRankVGG16",
    "MGGNet",
    "MultiTaskNetwork",
    "SpatialPyramidPooling",
    "ThinResNet18",
    "ThinVGG16",
    "TrainedNetwork",
]

"""What has to be set before TensorFlow is imported.

TensorFlow's own CPU kernels have no gradient of a grouped convolution (MGG-Net, branched networks); oneDNN's have, and
on a processor without AVX512_VNNI TensorFlow leaves them off unless told otherwise.
"""

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

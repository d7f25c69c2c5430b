"""What the tests of branched networks share."""

import numpy as np


def kernels(network):
    """Its weights as the paper counts them: kernels alone."""
    return sum(int(np.prod(weight.shape)) for weight in network.weights if "kernel" in weight.name)


def random_images(size, count=2):
    """[count, size, size, 3] of random pixels."""
    return np.random.default_rng(7).uniform(0, 255, (count, size, size, 3)).astype(np.float32)


def randomise(network, seed=0):
    """Biases and batch norm as after training: of both signs, one gamma of each layer 0."""
    random = np.random.default_rng(seed)
    for layer in network.layers:
        if layer.name.endswith("_bn"):
            gamma, beta, mean, variance = (w.shape for w in layer.get_weights())
            gammas = random.uniform(0.5, 1.5, gamma) * random.choice([-1, 1], gamma)
            gammas[0] = 0
            layer.set_weights(
                [gammas, random.normal(0, 0.3, beta), random.normal(0, 0.5, mean), random.uniform(0.3, 2, variance)]
            )
        elif getattr(layer, "use_bias", False):
            layer.bias.assign(random.normal(0, 0.3, layer.bias.shape))

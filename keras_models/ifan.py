"""iFAN: an integrated face analytics network that feeds every task's predictions back to all tasks (Li et al. 2017).

The backbone is a fully convolutional DenseNet. Each task decodes its prediction from it; the predictions are re-encoded
to features and fed back into the backbone, where the next iteration finds them. Where the paper leaves the network
open, it is that of the authors' released graph.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import tensorflow as tf
from tensorflow import keras

from keras_models.feature_re_encoder import WIDTHS, FeatureReEncoder
from keras_models.initial_feedback import InitialFeedback
from keras_models.landmark_heat_maps import landmark_heat_maps
from keras_models.normalization import batch_norm
from keras_models.resumable_dropout import ResumableDropout
from keras_models.task_batch_norm import TaskBatchNorm

layers = keras.layers

# All tasks, in a network's order, with the features that they are decoded from.
DECODED_FROM = MappingProxyType(
    {"parsing": "up", "landmarks": "lowest", "emotion": "bottleneck", "attributes": "bottleneck"}
)
PAPER_TASKS = MappingProxyType({"parsing": 9, "landmarks": 5, "emotion": 7})

_RADIUS = 5 / 128  # of a landmark's disc, as a share of the image's height
_DROPOUT = 0.3
_MIDDLE = 0.5  # centre of the image: offsets from it are learnt, in [-0.5, 0.5]
_EPSILON = 1e-3  # of batch norm
_CONV = MappingProxyType({"padding": "same", "use_bias": False, "kernel_initializer": "he_uniform"})


def IFAN(
    input_shape: tuple[int, int, int],
    tasks: Mapping[str, int],
    iterations: int,
    re_encoders: bool = True,
    task_batch_norm: bool = True,
    stop_gradient: bool = True,
    levels: int = 5,
    width: int = 48,
    stem_kernel: int = 7,
    growth: int | Sequence[int] = 12,
    block_layers: int = 3,
    up_width: int = 128,
    re_encoder_widths: Sequence[int] = WIDTHS,
    momentum: float = 0.99,
) -> keras.Model:
    """Integrated face analytics network, unrolled over its iterations, which have the same weights.

    A task's prediction is always made with the task's own batch norm, and these predictions are fed back to all tasks.
    The network runs as at inference even if it is called with training=True: `task_network` gives the model to train.

    Args:
        input_shape: (H, W, 3), RGB pixels in [0, 255]; both sides multiples of 2 ** levels.
        tasks: names of tasks, keys of DECODED_FROM, with the number of classes ("parsing", including background;
            "emotion"), of points ("landmarks") or of attributes ("attributes").
        iterations: ITER, how often predictions are fed back: 2 in the paper; 0 is plain multi-task learning.
        re_encoders: whether predictions are re-encoded; otherwise they are only averaged over a level's pixels.
        task_batch_norm: whether each task has its own batch norm in the backbone; otherwise all share one, and one pass
            serves all tasks.
        stop_gradient: whether no gradient flows from the feedback into the predictions that it is made from.
        levels: dense blocks on the way down, and up; 3 or more. At level i a side has 2 ** (1 - i) of the image's
            pixels. Feedback goes to level 1 and to all from 3 on.
        width: channels of the first convolution.
        stem_kernel: side of its kernel.
        growth: channels that a dense layer adds; one number, or one for each level and one for the bottleneck.
        block_layers: dense layers of a block.
        up_width: channels of the convolutions around the sub-pixel up-sampling, a multiple of 4.
        re_encoder_widths: channels of a prediction's features at level 3 and each below it.
        momentum: of batch norm's moving statistics.

    Returns:
        keras.Model: image -> dict of float32. "{task}_iter{I}" for each iteration from 0 on, and "{task}", the last
        one's: "parsing" logits [batch, H, W, classes]; "landmarks" [batch, 2·L], x and y in turn, in [0, 1] of the
        image; "emotion" logits [batch, classes]; "attributes" logits [batch, N].

    Raises:
        ValueError: for an unknown task or none, fewer than three levels, sides that aren't multiples of 2 ** levels, a
            negative number of iterations, other than a width for each level from 3 on, or other than one growth or one
            for each level and the bottleneck.
    """
    if levels < 3:
        raise ValueError(f"levels is 3 or more, received {levels}.")
    if any(side is None or side % 2**levels for side in input_shape[:2]):
        raise ValueError(f"The image's sides are multiples of {2**levels}; received input_shape={input_shape}.")
    if not tasks or set(tasks) - set(DECODED_FROM):
        raise ValueError(f"tasks are one or several of {', '.join(DECODED_FROM)}; received {dict(tasks)}.")
    if iterations < 0:
        raise ValueError(f"iterations is 0 or more, received {iterations}.")
    if not isinstance(growth, int) and len(growth) != levels + 1:
        raise ValueError(f"growth is one number or {levels + 1}, received {tuple(growth)}.")
    if len(re_encoder_widths) != levels - 2:
        raise ValueError(f"re_encoder_widths are {levels - 2} numbers, received {tuple(re_encoder_widths)}.")
    growths = [growth] * (levels + 1) if isinstance(growth, int) else list(growth)
    tasks = {task: tasks[task] for task in DECODED_FROM if task in tasks}
    size = input_shape[0], input_shape[1]
    norms = _Norms(len(tasks) if task_batch_norm else 1, momentum)
    image = keras.Input(input_shape, name="image")
    integrator = _task_integrator(tasks, size, re_encoders, re_encoder_widths)
    fed_back = {level: shape[1:] for level, shape in integrator.output_shape.items()}
    parts = {
        "stem_feedback": layers.Conv2D(width, stem_kernel, name="stem_feedback", **_CONV),
        "down": _down_path((*size, width), fed_back, norms, growths, block_layers),
    }
    features = parts["down"].output_shape
    if "parsing" in tasks:
        parts["up"] = _up_path(features, fed_back, norms, growths[:-1], block_layers, up_width)
        features = {**features, **parts["up"].output_shape}
    for task, number in tasks.items():
        parts[task] = _decoder(task, number, features[DECODED_FROM[task]][1:], momentum)

    x = layers.Rescaling(1 / 127.5, -1, name="rescaling")(image)
    stem = layers.Conv2D(width, stem_kernel, name="stem", **_CONV)(x)
    # Before anything is predicted, the feedback is the same for every image.
    initial = integrator(InitialFeedback(tasks, size, name="initial")(image))
    feedback = {level: tf.repeat(maps, tf.shape(image)[0], axis=0) for level, maps in initial.items()}
    outputs = {}
    for iteration in range(iterations + 1):
        feedback = {
            level: layers.Activation("linear", name=f"feedback{iteration}_{level}")(maps)
            for level, maps in feedback.items()
        }
        predicted = _predict_all(parts, tuple(tasks), norms.domains, stem, feedback)
        outputs.update({f"{task}_iter{iteration}": prediction for task, prediction in predicted.items()})
        if iteration < iterations:
            feedback = integrator(_as_feedback(predicted, stop_gradient))
    return keras.Model(image, {**outputs, **predicted}, name="ifan")


def task_network(network: keras.Model, task: str, iteration: int) -> keras.Model:
    """The model trained for a task at an iteration (Algorithm 1, Δ^t_I): one pass, with the feedback of inference.

    Args:
        network: an `IFAN`.
        task: one of its tasks.
        iteration: I, one of its iterations.

    Returns:
        keras.Model: image -> the task's output, as in `IFAN`. It shares the weights of `network`. Called with
        training=True, its last pass has dropout and normalises by the batch's statistics.
    """
    names = {layer.name for layer in network.layers}
    parts = {name: network.get_layer(name) for name in ("stem_feedback", "down", "up", task) if name in names}
    tasks = network_tasks(network)
    levels = network.get_layer("integrator").output_shape
    feedback = {level: network.get_layer(f"feedback{iteration}_{level}").output for level in levels}
    stem = network.get_layer("stem").output + parts["stem_feedback"](feedback["level1"])
    domain = 0 if _num_domains(network) == 1 else tasks.index(task)
    domains = tf.fill(tf.shape(stem)[:1], domain)
    features = parts["down"]({"stem": stem, **feedback, "domain": domains})
    if DECODED_FROM[task] not in features:
        features = parts["up"]({**features, **feedback, "domain": domains})
    return keras.Model(network.input, parts[task](features[DECODED_FROM[task]]), name=f"{task}_at_iteration{iteration}")


def network_tasks(network: keras.Model) -> tuple[str, ...]:
    """The tasks of an IFAN, in its order."""
    return tuple(task for task in DECODED_FROM if task in network.output)


def network_iterations(network: keras.Model) -> int:
    """ITER of an IFAN."""
    task = network_tasks(network)[0]
    return sum(name.startswith(f"{task}_iter") for name in network.output) - 1


def task_variables(network: keras.Model, task: str, re_encoders: bool = True) -> list[tf.Variable]:
    """The variables that a task's update changes: the shared ones, its decoder, its batch norm, and the re-encoders.

    Args:
        network: an `IFAN`.
        task: one of its tasks.
        re_encoders: False leaves their variables out, for task-wise pre-training.
    """
    others = [other for other in network_tasks(network) if other != task]
    left_out = [network.get_layer(other) for other in others]
    if not re_encoders:
        left_out.append(network.get_layer("integrator"))
    foreign = {variable.ref() for layer in left_out for variable in layer.trainable_variables}
    if _num_domains(network) > 1:
        tasks = network_tasks(network)
        foreign |= {
            v.ref() for norm in _norms_of(network) for other in others for v in norm.task_weights(tasks.index(other))
        }
    return [variable for variable in network.trainable_variables if variable.ref() not in foreign]


def _num_domains(network):
    """Number of batch norms that the tasks have in each place."""
    return max((norm.num_tasks for norm in _norms_of(network)), default=1)


def _norms_of(model):
    """The batch norms of tasks in a model and the models in it; `submodules` looks into each layer's attributes too."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _norms_of(layer)
        elif isinstance(layer, TaskBatchNorm):
            yield layer


def _predict_all(parts, tasks, domains, stem, feedback):
    """Every task's output at inference, made with its own batch norm."""
    batch = tf.shape(stem)[:1]
    # A convolution of image and feedback together: the image's part is the same at every iteration.
    stem = stem + parts["stem_feedback"](feedback["level1"])
    # The batch, repeated for each batch norm.
    inputs = {"stem": stem, **feedback, "domain": tf.zeros(batch, tf.int32)}
    if domains > 1:
        inputs = {name: tf.concat([x] * domains, axis=0) for name, x in inputs.items()}
        inputs["domain"] = tf.repeat(tf.range(domains), batch)
    all_features = parts["down"](inputs, training=False)
    outputs = {}
    for position, task in enumerate(tasks):
        features, domain = all_features, inputs["domain"]
        if domains > 1:
            features = {name: tf.split(x, domains)[position] for name, x in all_features.items()}
            domain = tf.split(domain, domains)[position]
        if DECODED_FROM[task] not in features:
            features = parts["up"]({**features, **feedback, "domain": domain}, training=False)
        outputs[task] = parts[task](features[DECODED_FROM[task]], training=False)
    return outputs


def _as_feedback(outputs, stop_gradient):
    """Predictions from outputs: probabilities in place of logits."""
    activation = {
        "parsing": tf.nn.softmax,
        "landmarks": tf.identity,
        "emotion": tf.nn.softmax,
        "attributes": tf.sigmoid,
    }
    predictions = {task: activation[task](output) for task, output in outputs.items()}
    return {task: tf.stop_gradient(x) for task, x in predictions.items()} if stop_gradient else predictions


def _task_integrator(tasks, size, re_encoders, widths):
    """Predictions -> all tasks' features at the levels that are fed back, by concatenation (Eqs 2 and 4).

    Level 1 gets the predictions themselves: heat maps, probabilities, and tiled vectors.
    """
    fed_back = (1, *range(3, 3 + len(widths)))
    shapes = {"parsing": lambda classes: (*size, classes), "landmarks": lambda points: (2 * points,)}
    inputs = {
        task: keras.Input(shapes.get(task, lambda outputs: (outputs,))(number), name=task)
        for task, number in tasks.items()
    }
    levels: dict[str, list[tf.Tensor]] = {f"level{level}": [] for level in fed_back}
    for task, prediction in inputs.items():
        if task == "landmarks":
            points = tf.reshape(prediction, [-1, tasks[task], 2])
            prediction = landmark_heat_maps(points, size, _RADIUS * size[0])
        pyramid = [prediction] * len(widths)
        if re_encoders:
            pyramid = FeatureReEncoder(widths, name=f"{task}_re_encoder")(prediction)
        for level, x in zip(fed_back, [prediction, *pyramid], strict=True):
            levels[f"level{level}"].append(_at_level(x, size, level, name=f"{task}_level{level}"))
    maps = {level: _joined(found, name=level) for level, found in levels.items()}
    return keras.Model(inputs, maps, name="integrator")


def _at_level(x, size, level, name):
    """A map, of the level's size or the image's, or a vector, as a map of the level's size."""
    side = 2 ** (level - 1)
    height, width = size[0] // side, size[1] // side
    if len(x.shape) == 2:
        x = layers.Reshape((1, 1, x.shape[-1]), name=f"{name}_pixel")(x)
        return layers.UpSampling2D((height, width), name=name)(x)
    if x.shape[1] != height:
        x = layers.AveragePooling2D(side, name=f"{name}_mean")(x)
    return layers.Activation("linear", name=name)(x)  # in the policy's precision


@dataclasses.dataclass(frozen=True)
class _Norms:
    """Batch norm and ReLU of the backbone, in each place a batch norm for each domain.

    Args:
        domains: number of tasks, or 1 where all share one.
        momentum: of the moving statistics.
    """

    domains: int
    momentum: float

    def __call__(self, x, domain, name):
        name_bn = f"{name}_bn"
        if self.domains > 1:
            x = TaskBatchNorm(self.domains, self.momentum, _EPSILON, name=name_bn)(x, domain)
        else:
            x = batch_norm(name_bn, self.momentum, _EPSILON)(x)
        return layers.ReLU(name=f"{name}_relu")(x)


def _down_path(stem, fed_back, norms, growths, block_layers):
    """The first convolution's features and the feedback -> the blocks' "skip<level>", the "lowest" and "bottleneck"."""
    inputs, domain = _path_inputs(fed_back)
    inputs["stem"] = x = keras.Input(stem, name="stem")
    # As in the authors' graph: of 48 channels a third, and what all blocks so far have added.
    channels = stem[-1] // 3
    features = {}
    for level, growth in enumerate(growths[:-1], start=1):
        block_input = x
        x = _dense_block(x, domain, norms, growth, block_layers, name=f"down{level}")
        # The block's input is then in it twice, as in the authors' graph.
        features[f"skip{level}"] = x = layers.Concatenate(name=f"down{level}_skip")([x, block_input])
        features["lowest"] = x = _joined([x, inputs.get(f"level{level}")], name=f"down{level}_feedback")
        channels += growth * block_layers
        x = _transition_down(x, channels, domain, norms, name=f"down{level}_transition")
    features["bottleneck"] = _dense_block(x, domain, norms, growths[-1], block_layers, name="bottleneck")
    return keras.Model(inputs, features, name="down")


def _up_path(features, fed_back, norms, growths, block_layers, up_width):
    """Features of the down path and the feedback -> the last block's features with it, "up", at the image's size."""
    inputs, domain = _path_inputs(fed_back)
    inputs.update({name: keras.Input(shape[1:], name=name) for name, shape in features.items()})
    x = inputs["bottleneck"]
    for level, growth in reversed(list(enumerate(growths, start=1))):
        x = _joined([x, inputs.get(f"level{level + 1}")], name=f"up{level}_feedback")
        x = _sub_pixel_up(x, up_width, name=f"up{level}_sampling")
        x = layers.Concatenate(name=f"up{level}_skip")([x, inputs[f"skip{level}"]])
        x = _dense_block(x, domain, norms, growth, block_layers, name=f"up{level}")
    return keras.Model(inputs, {"up": _joined([x, inputs["level1"]], name="up_feedback")}, name="up")


def _path_inputs(fed_back):
    """All inputs by name (each level's feedback, the number of each image's batch norm), and the latter alone."""
    inputs = {level: keras.Input(shape, name=level) for level, shape in fed_back.items()}
    inputs["domain"] = domain = keras.Input((), dtype=tf.int32, name="domain")
    return inputs, domain


def _dense_block(x, domain, norms, growth, block_layers, name):
    """[batch, H, W, C] -> [batch, H, W, C + layers · growth]."""
    for i in range(1, block_layers + 1):
        y = norms(x, domain, name=f"{name}_layer{i}")
        y = layers.Conv2D(growth, 3, name=f"{name}_layer{i}_conv", **_CONV)(y)
        x = layers.Concatenate(name=f"{name}_layer{i}_concat")([x, y])
    return x


def _transition_down(x, channels, domain, norms, name):
    """[batch, H, W, C] -> [batch, H/2, W/2, channels]."""
    y = norms(x, domain, name=name)
    y = layers.Conv2D(channels, 1, name=f"{name}_conv", **_CONV)(y)
    return layers.AveragePooling2D(name=f"{name}_pool")(y)


def _sub_pixel_up(x, width, name):
    """[batch, H, W, C] -> [batch, 2H, 2W, width] by depth to space (Shi et al. 2016)."""
    x = layers.Conv2D(width, 3, activation="relu", name=f"{name}_before", **_CONV)(x)
    x = tf.nn.depth_to_space(x, 2)
    return layers.Conv2D(width, 3, activation="relu", name=f"{name}_after", **_CONV)(x)


def _joined(maps, name):
    """Concatenated along the channels, leaving out None."""
    maps = [x for x in maps if x is not None]
    return layers.Concatenate(name=name)(maps) if len(maps) > 1 else maps[0]


def _decoder(task, number, shape, momentum):
    """Features -> output, as in `IFAN`."""
    features = keras.Input(shape, name="features")
    if task == "parsing":
        x = layers.Conv2D(number, 1, dtype="float32", name=f"{task}_logits")(features)
        return keras.Model(features, x, name=task)
    # Not in the authors' graph: batch norm and ReLU come first, as in every layer of a DenseNet.
    x = layers.ReLU(name=f"{task}_relu")(batch_norm(f"{task}_bn", momentum, _EPSILON)(features))
    x = ResumableDropout(_DROPOUT, name=f"{task}_dropout")(layers.Flatten(name=f"{task}_flatten")(x))
    # Before training, all classes are equally likely, and every landmark is at the centre of the image.
    if task != "landmarks":
        x = layers.Dense(number, kernel_initializer="zeros", dtype="float32", name=f"{task}_logits")(x)
        return keras.Model(features, x, name=task)
    # Coordinates differ by tenths: a step of an optimizer that normalises gradients would, over thousands of weights,
    # move the points out of the image.
    x = layers.Rescaling(x.shape[-1] ** -0.5, dtype="float32", name=f"{task}_scaled")(x)
    x = layers.Dense(2 * number, kernel_initializer="zeros", dtype="float32", name=f"{task}_logits")(x)
    return keras.Model(
        features, layers.Rescaling(1.0, _MIDDLE, dtype="float32", name=f"{task}_coordinates")(x), name=task
    )

"""iFAN: an integrated face analytics network that feeds every task's predictions back to all tasks (Li et al. 2017).

The backbone is a fully convolutional DenseNet. Each task decodes its prediction from it; the predictions are re-encoded
to features and fed back into the backbone, where the next iteration finds them.
"""

from __future__ import annotations

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
    {"parsing": "up1", "landmarks": "down5", "emotion": "bottleneck", "attributes": "bottleneck"}
)
PAPER_TASKS = MappingProxyType({"parsing": 9, "landmarks": 5, "emotion": 7})

_LEVELS = (1, 2, 3, 4, 5)  # of the dense blocks: at level i a side has 2 ** (1 - i) of the image's pixels
_FED_BACK = (1, 3, 4, 5)  # the levels that get feedback
_BOTTLENECK_SCALE = 2 ** len(_LEVELS)
_RADIUS = 5 / 128  # of a landmark's disc, as a share of the image's height
_DROPOUT = 0.3
_MIDDLE = 0.5  # centre of the image: offsets from it are learnt, in [-0.5, 0.5]


def IFAN(
    input_shape: tuple[int, int, int],
    tasks: Mapping[str, int],
    iterations: int,
    re_encoders: bool = True,
    task_batch_norm: bool = True,
    stop_gradient: bool = True,
    width: int = 48,
    growth: int | Sequence[int] = 12,
    block_layers: int = 3,
    up_width: int = 128,
    re_encoder_widths: Sequence[int] = WIDTHS,
) -> keras.Model:
    """Integrated face analytics network, unrolled over its iterations, which have the same weights.

    A task's prediction is always made with the task's own batch norm, and these predictions are fed back to all tasks.
    The network runs as at inference even if it is called with training=True: `task_network` gives the model to train.

    Args:
        input_shape: (H, W, 3), RGB pixels in [0, 255]; both sides multiples of 32.
        tasks: names of tasks, keys of DECODED_FROM, with the number of classes ("parsing", including background;
            "emotion"), of points ("landmarks") or of attributes ("attributes").
        iterations: ITER, how often predictions are fed back: 2 in the paper; 0 is plain multi-task learning.
        re_encoders: whether predictions are re-encoded; otherwise they are only resized to the levels.
        task_batch_norm: whether each task has its own batch norm in the backbone; otherwise all share one, and one pass
            serves all tasks.
        stop_gradient: whether no gradient flows from the feedback into the predictions that it is made from.
        width: channels of the first convolution.
        growth: channels that a dense layer adds; one number, or one for each level and one for the bottleneck.
        block_layers: dense layers of a block.
        up_width: channels of the convolutions around the sub-pixel up-sampling, a multiple of 4.
        re_encoder_widths: channels of a prediction's features at levels 3, 4 and 5.

    Returns:
        keras.Model: image -> dict of float32. "{task}_iter{I}" for each iteration from 0 on, and "{task}", the last
        one's: "parsing" logits [batch, H, W, classes]; "landmarks" [batch, 2·L], x and y in turn, in [0, 1] of the
        image; "emotion" logits [batch, classes]; "attributes" logits [batch, N].

    Raises:
        ValueError: for an unknown task or none, sides that aren't multiples of 32, a negative number of iterations,
            other than three widths, or other than one or six growths.
    """
    if any(side is None or side % _BOTTLENECK_SCALE for side in input_shape[:2]):
        raise ValueError(f"The image's sides are multiples of {_BOTTLENECK_SCALE}; received input_shape={input_shape}.")
    if not tasks or set(tasks) - set(DECODED_FROM):
        raise ValueError(f"tasks are one or several of {', '.join(DECODED_FROM)}; received {dict(tasks)}.")
    if iterations < 0:
        raise ValueError(f"iterations is 0 or more, received {iterations}.")
    if not isinstance(growth, int) and len(growth) != len(_LEVELS) + 1:
        raise ValueError(f"growth is one number or {len(_LEVELS) + 1}, received {tuple(growth)}.")
    if len(re_encoder_widths) != len(_FED_BACK) - 1:
        raise ValueError(f"re_encoder_widths are three numbers, received {tuple(re_encoder_widths)}.")
    growths = dict(zip((*_LEVELS, "bottleneck"), [growth] * 6 if isinstance(growth, int) else growth, strict=True))
    tasks = {task: tasks[task] for task in DECODED_FROM if task in tasks}
    size = input_shape[0], input_shape[1]
    domains = len(tasks) if task_batch_norm else 1
    image = keras.Input(input_shape, name="image")
    integrator = _task_integrator(tasks, size, re_encoders, re_encoder_widths)
    fed_back = {level: maps[-1] for level, maps in integrator.output_shape.items()}
    down = _down_path(size, width, fed_back, domains, growths, block_layers)
    parts = {"down": down}
    if "parsing" in tasks:
        parts["up"] = _up_path(down, size, fed_back, domains, growths, block_layers, up_width)
    for task, number in tasks.items():
        source = next(part for part in parts.values() if DECODED_FROM[task] in part.output)
        parts[task] = _decoder(task, number, source.output_shape[DECODED_FROM[task]][1:])

    x = layers.Rescaling(1 / 127.5, -1, name="rescaling")(image)
    stem = layers.Conv2D(width, 7, padding="same", name="stem")(x)
    # Before anything is predicted, the feedback is the same for every image.
    initial = integrator(InitialFeedback(tasks, size, name="initial")(image))
    feedback = {level: tf.repeat(maps, tf.shape(image)[0], axis=0) for level, maps in initial.items()}
    outputs = {}
    for iteration in range(iterations + 1):
        feedback = {
            level: layers.Activation("linear", name=f"feedback{iteration}_{level}")(maps)
            for level, maps in feedback.items()
        }
        predicted = _predict_all(parts, tuple(tasks), domains, stem, feedback)
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
    parts = {name: network.get_layer(name) for name in ("down", "up", task) if name in names}
    tasks = network_tasks(network)
    feedback = {f"level{level}": network.get_layer(f"feedback{iteration}_level{level}").output for level in _FED_BACK}
    stem = network.get_layer("stem").output
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
        norms = [layer for layer in network.submodules if isinstance(layer, TaskBatchNorm)]
        foreign |= {v.ref() for norm in norms for other in others for v in norm.task_weights(tasks.index(other))}
    return [variable for variable in network.trainable_variables if variable.ref() not in foreign]


def _num_domains(network):
    """Number of batch norms that the tasks have in each place."""
    return max((layer.num_tasks for layer in network.submodules if isinstance(layer, TaskBatchNorm)), default=1)


def _predict_all(parts, tasks, domains, stem, feedback):
    """Every task's output at inference, made with its own batch norm."""
    batch = tf.shape(stem)[:1]
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
    shapes = {"parsing": lambda classes: (*size, classes), "landmarks": lambda points: (2 * points,)}
    inputs = {
        task: keras.Input(shapes.get(task, lambda outputs: (outputs,))(number), name=task)
        for task, number in tasks.items()
    }
    levels: dict[str, list[tf.Tensor]] = {f"level{level}": [] for level in _FED_BACK}
    for task, prediction in inputs.items():
        if task == "landmarks":
            points = tf.reshape(prediction, [-1, tasks[task], 2])
            prediction = landmark_heat_maps(points, size, _RADIUS * size[0])
        pyramid = [prediction] * (len(_FED_BACK) - 1)
        if re_encoders:
            pyramid = FeatureReEncoder(widths, name=f"{task}_re_encoder")(prediction)
        for level, x in zip(_FED_BACK, [prediction, *pyramid], strict=True):
            levels[f"level{level}"].append(_at_level(x, _scaled(size, level), name=f"{task}_level{level}"))
    maps = {
        level: layers.Concatenate(name=level)(found) if len(found) > 1 else found[0] for level, found in levels.items()
    }
    return keras.Model(inputs, maps, name="integrator")


def _at_level(x, size, name):
    """A map or a vector as a map of `size`."""
    if len(x.shape) == 2:
        x = layers.Reshape((1, 1, x.shape[-1]), name=f"{name}_pixel")(x)
        return layers.UpSampling2D(size, name=name)(x)
    if tuple(x.shape[1:3]) != size:
        x = tf.image.resize(x, size, antialias=True)
    return layers.Activation("linear", name=name)(x)  # in the policy's precision


def _down_path(size, width, fed_back, domains, growths, block_layers):
    """The first convolution's features and the feedback -> each block's features and the bottleneck's."""
    inputs, domain = _path_inputs(size, fed_back)
    inputs["stem"] = x = keras.Input((*size, width), name="stem")
    features = {}
    for level in _LEVELS:
        x = _joined([x, inputs.get(f"level{level}")], name=f"down{level}_feedback")
        x, _ = _dense_block(x, domain, domains, growths[level], block_layers, name=f"down{level}")
        features[f"down{level}"] = x
        x = _transition_down(x, domain, domains, name=f"down{level}_transition")
    features["bottleneck"], _ = _dense_block(x, domain, domains, growths["bottleneck"], block_layers, name="bottleneck")
    return keras.Model(inputs, features, name="down")


def _up_path(down, size, fed_back, domains, growths, block_layers, up_width):
    """Features of the down path and the feedback -> the last block's features, at the image's size."""
    inputs, domain = _path_inputs(size, fed_back)
    inputs.update({name: keras.Input(shape[1:], name=name) for name, shape in down.output_shape.items()})
    x = inputs["bottleneck"]
    for level in reversed(_LEVELS):
        x = _sub_pixel_up(x, up_width, name=f"up{level}_sampling")
        x = _joined([x, inputs[f"down{level}"], inputs.get(f"level{level}")], name=f"up{level}_skip")
        features, x = _dense_block(x, domain, domains, growths[level], block_layers, name=f"up{level}")
    return keras.Model(inputs, {"up1": features}, name="up")


def _path_inputs(size, fed_back):
    """All inputs by name (each level's feedback, the number of each image's batch norm), and the latter alone."""
    inputs = {
        level: keras.Input((*_scaled(size, int(level.removeprefix("level"))), channels), name=level)
        for level, channels in fed_back.items()
    }
    inputs["domain"] = domain = keras.Input((), dtype=tf.int32, name="domain")
    return inputs, domain


def _dense_block(x, domain, domains, growth, block_layers, name):
    """[batch, H, W, C] -> all features [batch, H, W, C + layers · growth], and those that the block adds."""
    added = []
    for i in range(1, block_layers + 1):
        y = _norm_relu(x, domain, domains, name=f"{name}_layer{i}")
        y = layers.Conv2D(growth, 3, padding="same", use_bias=False, name=f"{name}_layer{i}_conv", **_HE)(y)
        added.append(y)
        x = layers.Concatenate(name=f"{name}_layer{i}_concat")([x, y])
    return x, _joined(added, name=f"{name}_added")


def _transition_down(x, domain, domains, name):
    """[batch, H, W, C] -> [batch, H/2, W/2, C]."""
    y = _norm_relu(x, domain, domains, name=name)
    y = layers.Conv2D(x.shape[-1], 1, name=f"{name}_conv", **_HE)(y)
    return layers.AveragePooling2D(name=f"{name}_pool")(y)


def _sub_pixel_up(x, width, name):
    """[batch, H, W, C] -> [batch, 2H, 2W, width] by depth to space (Shi et al. 2016)."""
    x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"{name}_before", **_HE)(x)
    x = tf.nn.depth_to_space(x, 2)
    return layers.Conv2D(width, 3, padding="same", activation="relu", name=f"{name}_after", **_HE)(x)


def _norm_relu(x, domain, domains, name):
    name_bn = f"{name}_bn"
    x = TaskBatchNorm(domains, name=name_bn)(x, domain) if domains > 1 else batch_norm(name_bn)(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _joined(maps, name):
    """Concatenated along the channels, leaving out None."""
    maps = [x for x in maps if x is not None]
    return layers.Concatenate(name=name)(maps) if len(maps) > 1 else maps[0]


def _decoder(task, number, shape):
    """Features -> output, as in `IFAN`; batch norm and ReLU come first, as in every layer of a DenseNet."""
    features = keras.Input(shape, name="features")
    x = layers.ReLU(name=f"{task}_relu")(batch_norm(f"{task}_bn")(features))
    if task == "parsing":
        return keras.Model(features, layers.Conv2D(number, 1, dtype="float32", name=f"{task}_logits")(x), name=task)
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


def _scaled(size, level):
    return tuple(side >> (level - 1) for side in size)


_HE = {"kernel_initializer": "he_normal"}

"""Starts from a wider network: networks whose right start is known, and what a start leaves out."""

import numpy as np
import pytest
from tensorflow import keras

from components.config import Task, configured
from components.systems.branching.initializers import somp_init, start_by_somp, start_by_svd, svd_init
from components.systems.branching.system import BranchingSystem
from components.tasks.annotation import Annotation, BoundTask, points
from components.tasks.base import learning_of
from keras_models import ThinVGG16
from keras_models.branch_tree import BranchTree
from keras_models.branched_vgg16 import BranchedVGG16, FactorizedVGG16
from tests.support import tiny_faces

pytestmark = pytest.mark.slow

SIZE = (64, 64, 3)  # fc6 gets 2 x 2 maps
TASKS = 5
THIN, WIDE = 6, 10
CONVS = BranchedVGG16.LAYERS[:-2]
IMAGES = np.random.default_rng(7).uniform(0, 255, (6, *SIZE)).astype(np.float32)
HALVES = ((0, 1), (2, 3, 4))


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


def _kernel(network, layer):
    """The variable; that of conv5_3 or fc6_basis, say."""
    names = {each.name for each in network.layers}
    return network.get_layer(f"{layer}_conv" if f"{layer}_conv" in names else f"{layer}_dense").kernel


def _norm(network, layer):
    return network.get_layer(f"{layer}_bn")


def _low_rank(width, num_tasks=TASKS, input_shape=SIZE):
    tree = BranchTree.unbranched(FactorizedVGG16.LAYERS, num_tasks)
    return FactorizedVGG16(input_shape, width, tree)


def _branched(network_class=BranchedVGG16, width=THIN):
    tree = BranchTree.unbranched(network_class.LAYERS, TASKS)
    return network_class(SIZE, width, BranchTree(TASKS, tree.layers, (*tree.branches[:-1], HALVES)))


def _trained(width, num_tasks=TASKS):
    """Statistics of these images with scale and shift as training might leave them; kernels of whole numbers by 8,
    whose products are exact: two equal filters are so in every sum."""
    random = np.random.default_rng(width)
    network = ThinVGG16(SIZE, width, num_tasks)
    for layer in network.LAYERS:
        kernel = _kernel(network, layer)
        kernel.assign(random.integers(-8, 9, kernel.shape) / 8)
        features = keras.Model(network.input, network.get_layer(_norm(network, layer).name).input)(IMAGES).numpy()
        axes = tuple(range(features.ndim - 1))
        gamma, beta = random.uniform(0.8, 1.2, features.shape[-1]), random.uniform(0, 0.4, features.shape[-1])
        _norm(network, layer).set_weights([gamma, beta, features.mean(axes), features.var(axes) + 0.1])
    output = network.get_layer("output_dense")
    output.kernel.assign(random.normal(0, 0.5, output.kernel.shape))
    output.bias.assign(random.normal(0, 0.5, output.bias.shape))
    return network


def _answers(network):
    return network(IMAGES)["attributes"].numpy()


def _assert_same(found, expected, atol=1e-4):
    assert np.ptp(found, axis=0).min() > 0.01  # else that two networks agree says little
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def _padded(thin):
    """A wider network that computes the same: beside the filters of `thin`, shuffled, stand others that nothing reads.

    Of those half are zeros, half doubles: of two equal filters the first is chosen, so the doubles stand last.

    Returns:
        The network, and for each layer where the filters of `thin` are in it.
    """
    random = np.random.default_rng(2)
    wide = ThinVGG16(SIZE, WIDE, TASKS)
    places, below, below_width = {}, np.arange(3), 3
    for layer in wide.LAYERS:
        old, new = _kernel(thin, layer), _kernel(wide, layer)
        width, wide_width = old.shape[-1], new.shape[-1]
        num_doubles = (wide_width - width) // 2
        mine = random.permutation(wide_width - num_doubles)[:width]
        own = old.numpy().reshape(-1, len(below), width)  # places of the kernel or the map, inputs, filters
        filters = np.zeros((len(own), below_width, wide_width), np.float32)
        filters[np.ix_(range(len(own)), below, mine)] = own
        filters[:, below, wide_width - num_doubles :] = own[..., :num_doubles]
        new.assign(filters.reshape(new.shape))
        moments = random.uniform(0.5, 1.5, (4, wide_width))
        moments[:, mine] = _norm(thin, layer).get_weights()
        _norm(wide, layer).set_weights(list(moments))
        places[layer], below, below_width = mine, mine, wide_width
    kernel = np.zeros((TASKS, below_width, 1))
    kernel[:, below] = _kernel(thin, "output")
    wide.get_layer("output_dense").set_weights([kernel, thin.get_layer("output_dense").bias])
    return wide, places


@pytest.fixture(scope="module")
def padded():
    """The thin network, the wide one that computes the same, where the filters are."""
    thin = _trained(THIN)
    return thin, *_padded(thin)


class TestSomp:
    """Algorithm 2."""

    def test_finds_the_network_in_a_wider_one(self, padded):
        thin, wide, _ = padded
        expected = _answers(thin)
        _assert_same(_answers(wide), expected)
        network = ThinVGG16(SIZE, THIN, TASKS)
        somp_init(network, wide)
        _assert_same(_answers(network), expected)

    def test_rows_columns_and_batch_norm(self, padded):
        """Each layer has the filters of the thin one in the order of choice, and reads those of the layer below."""
        thin, wide, places = padded
        network = ThinVGG16(SIZE, THIN, TASKS)
        somp_init(network, wide)
        below = np.arange(3)
        for layer in network.LAYERS:
            # By its shift, which is another for every filter, one finds a filter again.
            shifts, of_wide = (_norm(each, layer).beta.numpy() for each in (network, wide))
            chosen = np.array([np.flatnonzero(of_wide == shift)[0] for shift in shifts])
            assert sorted(chosen) == sorted(places[layer])
            for ours, theirs in zip(_norm(network, layer).get_weights(), _norm(wide, layer).get_weights(), strict=True):
                np.testing.assert_array_equal(ours, theirs[chosen])
            kernel, of_wide = _kernel(network, layer).numpy(), _kernel(wide, layer).numpy()
            if layer in CONVS:
                expected = of_wide[:, :, below][..., chosen]
            elif layer == "fc6":  # a channel has four places in the flattened maps, one behind another every 10 or 6
                maps = of_wide.reshape(2, 2, WIDE, 2 * WIDE)[:, :, below][..., chosen]
                expected = maps.reshape(1, 4 * THIN, 2 * THIN)
            else:
                expected = of_wide[:, below][..., chosen]
            np.testing.assert_array_equal(kernel, expected)
            below = chosen
        np.testing.assert_array_equal(_kernel(network, "output"), _kernel(wide, "output").numpy()[:, below])
        np.testing.assert_array_equal(network.get_layer("output_dense").bias, thin.get_layer("output_dense").bias)

    def test_as_wide_is_a_copy(self):
        wide, network = _trained(THIN), ThinVGG16(SIZE, THIN, TASKS)
        somp_init(network, wide)
        for ours, theirs in zip(network.get_weights(), wide.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)

    def test_other_tasks_keep_their_outputs(self, padded):
        _, wide, _ = padded
        network = ThinVGG16(SIZE, THIN, TASKS + 1)
        before = network.get_layer("output_dense").get_weights()
        somp_init(network, wide)
        for found, expected in zip(network.get_layer("output_dense").get_weights(), before, strict=True):
            np.testing.assert_array_equal(found, expected)
        same = ThinVGG16(SIZE, THIN, TASKS)
        somp_init(same, wide)
        np.testing.assert_array_equal(_kernel(network, "fc7"), _kernel(same, "fc7"))

    def test_layers_as_wide_in_both_are_taken_whole(self):
        """ω = 70 and 130: conv1 has 64 channels in both."""
        wide, network = ThinVGG16((32, 32, 3), 130, TASKS), ThinVGG16((32, 32, 3), 70, TASKS)
        somp_init(network, wide)
        for layer in ("conv1_1", "conv1_2"):
            np.testing.assert_array_equal(_kernel(network, layer), _kernel(wide, layer))
        assert _kernel(network, "conv2_1").shape == (3, 3, 64, 70)

    def test_a_wider_network_can_not_start(self):
        with pytest.raises(ValueError, match="conv1_1 has 10 channels, the network to start from only 6"):
            somp_init(ThinVGG16(SIZE, WIDE, TASKS), ThinVGG16(SIZE, THIN, TASKS))

    def test_images_of_another_size(self):
        with pytest.raises(ValueError, match=r"takes images of \(64, 64, 3\), .* from of \(96, 96, 3\)"):
            somp_init(ThinVGG16(SIZE, THIN, TASKS), ThinVGG16((96, 96, 3), WIDE, TASKS))

    def test_branches(self):
        unbranched = ThinVGG16(SIZE, THIN, TASKS)
        for pair in ((_branched(), unbranched), (unbranched, _branched())):
            with pytest.raises(ValueError, match=r"networks without branches, .* has some in fc7"):
                somp_init(*pair)


class TestSvd:
    """Section 4.5."""

    def test_a_full_basis_changes_nothing(self):
        """ω = 8: no layer has more singular values than the basis has filters, most have fewer."""
        full, network = _trained(8), _low_rank(8)
        assert _kernel(network, "conv2_1_basis").shape == (3, 3, 8, 16)
        svd_init(network, full)
        _assert_same(_answers(network), _answers(full))

    def test_filters_to_spare_can_be_learned(self):
        """They weigh nothing, but aren't zeros: else neither they nor their weights had a gradient."""
        network = _low_rank(8)
        before = _kernel(network, "conv2_1_basis").numpy()
        svd_init(network, _trained(8))
        basis, combination = _kernel(network, "conv2_1_basis").numpy(), _kernel(network, "conv2_1").numpy()
        np.testing.assert_array_equal(basis[..., 8:], before[..., 8:])
        assert basis.std(axis=(0, 1, 2)).min() > 0
        assert not combination[:, :, 8:].any()
        assert combination[:, :, :8].any()

    def test_what_is_lost_are_the_smallest_singular_values(self):
        """ω = 20: conv1_1 has rank 20 and a basis of 8 filters, conv2_1 16 of 20, the output 16 of 18."""
        full, network = _trained(20, num_tasks=18), _low_rank(20, num_tasks=18)
        svd_init(network, full)
        for layer, rank in (("conv1_1", 8), ("conv1_2", 8), ("conv2_1", 16), ("output", 16)):
            original, basis, combination = (
                _kernel(each, name).numpy()
                for each, name in ((full, layer), (network, f"{layer}_basis"), (network, layer))
            )
            assert basis.shape[-1] == rank
            if layer == "output":
                original, product = original[..., 0].T, basis[0] @ combination[..., 0].T
            else:
                original = original.reshape(-1, 20)
                product = basis.reshape(-1, rank) @ combination.reshape(rank, 20)
            dropped = np.linalg.svd(original, compute_uv=False)[rank:]
            assert dropped[0] > 0.1
            assert np.linalg.norm(original - product) == pytest.approx(np.linalg.norm(dropped), rel=1e-4)
            # The singular values are shared out evenly.
            norms = (np.linalg.norm(basis.reshape(-1, rank), axis=0), np.linalg.norm(combination.squeeze(), axis=-1))
            if layer != "output":
                np.testing.assert_allclose(*norms, rtol=1e-4)
        np.testing.assert_array_equal(_norm(network, "conv4_2").moving_mean, _norm(full, "conv4_2").moving_mean)
        np.testing.assert_array_equal(network.get_layer("output_dense").bias, full.get_layer("output_dense").bias)

    @pytest.mark.parametrize(
        ("other", "message"),
        [
            ({"width": 9}, "9 wide and has 5 tasks, .* into 8 and 5"),
            ({"num_tasks": 6}, "8 wide and has 6 tasks, .* into 8 and 5"),
            ({"input_shape": (96, 96, 3)}, r"images of \(64, 64, 3\), .* of \(96, 96, 3\)"),
        ],
    )
    def test_networks_that_differ(self, other, message):
        full = ThinVGG16(**{"input_shape": SIZE, "width": 8, "num_tasks": TASKS, **other})
        with pytest.raises(ValueError, match=message):
            svd_init(_low_rank(8), full)

    def test_branches(self):
        with pytest.raises(ValueError, match="without branches"):
            svd_init(_branched(FactorizedVGG16), _branched())


def _tasks():
    task = Task("attributes", "multi_label", {"scores": "probabilities"})
    bound = BoundTask(task, Annotation("multi_label", points(TASKS)), "tiny")
    return {"attributes": learning_of(bound, SIZE[:2])}


def wide(input_shape, weights):
    """A network that has weights as it is made."""
    assert input_shape == SIZE and weights == "ours"
    return _trained(8)


def test_a_start_from_weights_that_the_wider_network_is_made_with():
    wider = configured(f"{__name__}.wide", weights="ours")
    found, expected = ThinVGG16(SIZE, 4, TASKS), ThinVGG16(SIZE, 4, TASKS)
    start_by_somp(found, None, {}, wider)
    somp_init(expected, _trained(8))
    for ours, theirs in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match=r"has learnt nothing: name its experiment in training\.warm_start"):
        start_by_somp(found, None, {}, configured("keras_models.ThinVGG16", width=8, num_tasks=TASKS))


class TestFromAnExportedModel:
    """As `Training.initializer` calls them: what is served has no batch norm, what they start from has."""

    @pytest.fixture(scope="class")
    def exported(self, tmp_path_factory):
        wide = _trained(8)
        folder = str(tmp_path_factory.mktemp("model"))
        tiny_faces.export_network(wide, _tasks(), folder, BranchingSystem())
        return folder, wide

    @pytest.mark.parametrize(
        ("build", "start", "start_from"),
        [
            (lambda: ThinVGG16(SIZE, 4, TASKS), start_by_somp, somp_init),
            (lambda: _low_rank(8), start_by_svd, svd_init),
        ],
        ids=["somp", "svd"],
    )
    def test_starts_as_from_the_network(self, exported, build, start, start_from):
        folder, wide = exported
        found, expected = build(), build()
        expected.set_weights(found.get_weights())
        tasks = _tasks()
        tasks["attributes"].thresholds.assign([0.25] * TASKS)
        start(found, folder, tasks, configured("keras_models.ThinVGG16", width=8, num_tasks=TASKS))
        start_from(expected, wide)
        for ours, theirs in zip(found.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert (tasks["attributes"].thresholds.numpy() == 0.25).all()

    def test_the_model_of_another_network(self, exported):
        folder, _ = exported
        wider = configured("keras_models.ThinVGG16", width=9, num_tasks=TASKS)
        with pytest.raises(ValueError, match="another architecture"):
            start_by_somp(ThinVGG16(SIZE, 4, TASKS), folder, {}, wider)

"""Graph correlation: Eq. 2 node by node, its direction, and numbers worked out by hand."""

import numpy as np
import pytest
from layer_checks import check_layer

from keras_models import GraphCorrelation


def _layer(features, alpha=0.5, transfer=None, edge=None):
    layer = GraphCorrelation(alpha)
    layer.build(features.shape)
    if transfer is not None:
        layer.set_weights([np.asarray(transfer, np.float32), np.asarray(edge, np.float32)])
    return layer


def test_worked_by_hand():
    # Two groups of one channel, W_g = 2 and 3: with a single neighbour the affinity is 1 whatever the edge says.
    features = np.array([[[1.0], [4.0]]], np.float32)
    refined, affinities = _layer(features, 0.25, [[[2.0]], [[3.0]]], [[5.0], [-7.0]])(features)
    assert affinities.numpy().tolist() == [[[0, 1], [1, 0]]]
    # 0.75·1 + 0.25·2·4 and 0.75·4 + 0.25·3·1
    np.testing.assert_allclose(refined, [[[2.75], [3.75]]], rtol=1e-6)


def test_affinities_worked_by_hand():
    # Group 0 has the message f_j and the edge weight 1: e' is 1 for group 1 and ln 3 + 1 for group 2.
    features = np.array([[[-9.0], [1.0], [np.log(3) + 1]]], np.float32)
    _, affinities = _layer(features, 0.5, np.ones((3, 1, 1)), np.ones((3, 1)))(features)
    np.testing.assert_allclose(affinities[0, 0], [0, 0.25, 0.75], rtol=1e-5)
    # A negative message is cut by the ReLU: group 1 hears 0 from group 0 and ln 3 + 1 from group 2.
    np.testing.assert_allclose(affinities[0, 1, 0], 1 / (1 + 3 * np.e), rtol=1e-5)


def test_equation_2_node_by_node():
    random = np.random.default_rng(0)
    features = random.normal(size=(2, 4, 3)).astype(np.float32)
    transfer, edge = random.normal(size=(4, 3, 3)), random.normal(size=(4, 3))
    refined, affinities = _layer(features, 0.3, transfer, edge)(features)
    for image, f in enumerate(features):
        for i in range(4):
            others = [j for j in range(4) if j != i]
            # The layer's W_g multiplies from the right: f_j W.
            messages = {j: f[j] @ transfer[i] for j in others}
            scores = np.array([np.maximum(messages[j], 0) @ edge[i] for j in others])
            shares = np.exp(scores) / np.exp(scores).sum()
            np.testing.assert_allclose(affinities[image, i].numpy()[others], shares, rtol=1e-4)
            heard = sum(share * messages[j] for share, j in zip(shares, others, strict=True))
            np.testing.assert_allclose(refined[image, i], np.maximum(0.7 * f[i] + 0.3 * heard, 0), atol=1e-5)
    np.testing.assert_allclose(affinities.numpy().sum(axis=-1), 1, rtol=1e-6)
    assert not np.allclose(affinities, np.swapaxes(affinities, 1, 2)), "the graph is directed"


def test_without_alpha_a_group_keeps_its_own_feature():
    features = np.random.default_rng(0).normal(size=(1, 3, 5)).astype(np.float32)
    np.testing.assert_allclose(_layer(features, alpha=0)(features)[0], np.maximum(features, 0))


@pytest.mark.parametrize(("channels", "parameters"), [(128, 131_072 + 1_024), (256, 524_288 + 2_048)])
def test_parameters_of_eight_groups(channels, parameters):
    assert _layer(np.zeros((1, 8, channels))).count_params() == parameters


def test_initial_messages_keep_the_size_of_the_features():
    features = np.random.default_rng(0).normal(size=(64, 8, 128)).astype(np.float32)
    messages = features[:, 1] @ _layer(features).transfer.numpy()[0]
    assert np.std(messages) == pytest.approx(1, rel=0.1)


def test_errors_quote_what_was_received():
    with pytest.raises(ValueError, match=r"1\.5"):
        GraphCorrelation(alpha=1.5)
    with pytest.raises(ValueError, match="at least two groups, received 1"):
        GraphCorrelation().build((None, 1, 8))


def test_conformance():
    features = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    check_layer(GraphCorrelation(alpha=0.2, name="block3_graph"), features, half_precision=["bfloat16", "float32"])

"""The functions of an export around a model whose logits are known."""

import types

import numpy as np
import pytest
import tensorflow as tf

from export.score_weights import score_weights
from export.signatures import ServedModel
from input_pipeline.spec import read_spec


class _Known:
    """click's logit is the first user edge, buy's the second."""

    feature_names = ("user_id", "user_1hop", "item_macro")
    variables = ()
    compute_dtype = "float32"
    explains = False
    embeddings = types.SimpleNamespace(variables=())

    def precompute(self):
        return ()

    def embed(self, features, *, lookup):
        return features

    def bags(self, features, lookup, owners):
        return {}

    def sums(self, bags, served):
        return {}

    def network_inputs(self, features, sums):
        return features

    def network(self, features, training):
        assert not training
        return {"click": features["user_1hop"][:, 0], "buy": features["user_1hop"][:, 1]}


def _served(run, model=None, **options):
    spec = read_spec(run.data_dir)
    lookup = types.SimpleNamespace(variables=(), tables={})
    return ServedModel(model=model or _Known(), lookup=lookup, spec=spec, **options)


def _rows(edges, item_macro=(0, 0)):
    return {
        "user_id": tf.constant([b"a", b"b"]),
        "user_1hop": tf.constant(edges, tf.float32),
        "item_macro": tf.constant(item_macro, tf.int64),
    }


LN3 = float(np.log(3.0))


def test_probabilities_and_their_weighted_geometric_mean(run):
    outputs = _served(run, weights=(1.0, 3.0)).predict(_rows([[0.0, LN3, 0, 0], [LN3, 0.0, 0, 0]]))
    # sigmoid(0) = 1/2, sigmoid(ln 3) = 3/4
    np.testing.assert_allclose(outputs["click"], [0.5, 0.75], rtol=1e-6)
    np.testing.assert_allclose(outputs["buy"], [0.75, 0.5], rtol=1e-6)
    # (1/2 * (3/4)^3)^(1/4) = 0.677702; (3/4 * (1/2)^3)^(1/4) = 0.553341
    np.testing.assert_allclose(outputs["score"], [0.677702, 0.553341], atol=1e-6)


def test_equal_weights_are_the_default(run):
    outputs = _served(run).predict(_rows([[0.0, LN3, 0, 0], [0.0, 0.0, 0, 0]]))
    # sqrt(1/2 * 3/4) = 0.612372
    np.testing.assert_allclose(outputs["score"], [0.612372, 0.5], atol=1e-6)


def test_a_score_of_tiny_probabilities_does_not_vanish(run):
    class Negative(_Known):
        def network(self, features, training):
            return {"click": tf.constant([-80.0, -80.0]), "buy": tf.constant([-80.0, -80.0])}

    served = _served(run, model=Negative())
    # the product of the two, e^-160, is no float32; its root e^-80 is
    np.testing.assert_allclose(
        served.predict(_rows(np.zeros((2, 4))))["score"], np.exp(-80.0), 1e-5
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1e-6])
def test_an_edge_that_is_no_weight_makes_its_row_nan(run, bad):
    outputs = _served(run).predict(_rows([[0.0, 0.0, 0.0, bad], [0.0, LN3, 0.0, 0.0]]))
    for name, expected in (("click", 0.5), ("buy", 0.75), ("score", 0.612372)):
        assert np.isnan(outputs[name][0])
        np.testing.assert_allclose(outputs[name][1], expected, atol=1e-6)


class _Listed(_Known):
    """click's logit is the first user edge plus the item's macro node."""

    feature_names = ("user_id", "user_1hop", "item_id", "item_macro")

    def network(self, features, training):
        edges = tf.gather(features["user_1hop"], features["user_row"])
        click = edges[:, 0] + tf.cast(features["item_macro"], tf.float32)
        return {"click": click, "buy": tf.zeros_like(click)}


def _rank(run, edges, item_macro, item_id=((1, 2, 3), (4, 5, 6)), **options):
    served = _served(run, model=_Listed(), **options)
    features = _rows(edges) | {
        "item_macro": tf.constant(item_macro, tf.int64),
        "item_id": tf.constant(item_id, tf.int64),
    }
    return served.rank(features)


def test_rank_scores_every_candidate_of_its_own_user(run):
    outputs = _rank(run, [[0.0, 0, 0, 0], [LN3, 0, 0, 0]], [[0, 1, -1], [0, 2, 0]])
    expected = tf.sigmoid([[0.0, 1.0, -1.0], [LN3, LN3 + 2.0, LN3]])
    np.testing.assert_allclose(outputs["click"], expected, rtol=1e-6)
    np.testing.assert_allclose(outputs["buy"], np.full((2, 3), 0.5), rtol=1e-6)
    np.testing.assert_allclose(outputs["score"], np.sqrt(expected * 0.5), rtol=1e-6)


def test_a_bad_candidate_is_nan_alone_and_a_bad_user_in_all_of_its_row(run):
    outputs = _rank(run, [[0.0, 0, 0, 0], [0.0, 0, 0, np.nan]], [[0, 9, 0], [0, 0, 0]])
    assert np.isnan(outputs["score"]).tolist() == [[False, True, False], [True] * 3]
    with pytest.raises(tf.errors.InvalidArgumentError, match="user_1hop must be finite"):
        _rank(run, [[0.0, 0, 0, 0], [0.0, 0, 0, np.nan]], [[0] * 3] * 2, check_finite="batch")


@pytest.mark.parametrize(
    ("macro", "item_id"),
    [([[0, 0], [0, 0]], [[1, 2, 3], [4, 5, 6]]), ([[0] * 2] * 3, [[1] * 3] * 2), ([[0]], [[1]])],
)
def test_candidates_of_unequal_numbers_are_refused(run, macro, item_id):
    with pytest.raises(tf.errors.InvalidArgumentError, match="users must be"):
        _rank(run, np.zeros((2, 4)), macro, item_id)


def test_no_candidates_are_answered_with_none(run):
    empty = np.zeros((2, 0), np.int64)
    assert _rank(run, np.zeros((2, 4)), empty, empty)["score"].shape == (2, 0)


@pytest.mark.parametrize(("macro", "nan"), [(-1, False), (3, False), (4, True), (-2, True)])
def test_a_macro_node_that_there_is_not_makes_its_row_nan(run, macro, nan):
    outputs = _served(run).predict(_rows(np.zeros((2, 4)), item_macro=(macro, 0)))
    assert np.isnan(outputs["score"][0]) == nan
    assert not np.isnan(outputs["score"][1])


def test_batch_refuses_the_whole_request(run):
    served = _served(run, check_finite="batch")
    assert np.isfinite(served.predict(_rows(np.zeros((2, 4))))["score"]).all()
    with pytest.raises(tf.errors.InvalidArgumentError, match="user_1hop must be finite"):
        served.predict(_rows(np.full((2, 4), np.nan)))


def test_weights_are_checked():
    assert score_weights(None, 4) == (0.25,) * 4
    assert score_weights((1, 0, 3), 3) == (0.25, 0.0, 0.75)
    for weights in ((1.0,), (0.0, 0.0), (1.0, float("nan")), (1.0, float("inf")), (2.0, -1.0)):
        with pytest.raises(ValueError, match="--score_weights: must be 2 numbers"):
            score_weights(weights, 2)

import numpy as np
import tensorflow as tf

from mgoe_tf.layers.macro_match import MacroMatch
from mgoe_tf.layers.neighbor_sets import NODES
from tests import reference
from tests.mgoe_tf.policies import policy


def edges_of(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = {"user": 3, "item": 5}
    return {s: rng.poisson(1.0, (rows, sizes[n])).astype(np.float32) for s, n in NODES.items()}


def test_hand_worked():
    edges = {
        "user_1hop": tf.constant([[1.0, 0.0]]),  # alpha (2, 1) / 3
        "item_2hop": tf.constant([[3.0, 0.0]]),  # (4, 1) / 5: 2 (8 + 1) / 15 = 6 / 5
        "user_2hop": tf.constant([[0.0, 8.0, 0.0]]),
        "item_1hop": tf.constant([[0.0, 0.0, 0.0]]),  # uniform: 3 * 1 / 3 = 1
    }
    expected = [np.log(1.2), 0.0, 0.0, np.log(2.0) / 5, 1.0, 0.0]
    np.testing.assert_allclose(MacroMatch()(edges), [expected], atol=1e-6)


def test_equals_reference():
    edges = edges_of(40)
    found = MacroMatch(temperature=0.7)({s: tf.constant(w) for s, w in edges.items()})
    expected = [
        reference.macro_match({s: w[row] for s, w in edges.items()}, 0.7) for row in range(40)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found.shape[-1] == MacroMatch.width


def test_rows_that_share_users():
    edges = {s: tf.constant(w) for s, w in edges_of(4).items()}
    users = tf.constant([0, 0, 1, 1])
    shared = {s: w[:2] if s.startswith("user") else w for s, w in edges.items()}
    repeated = {s: tf.gather(w, users) if s.startswith("user") else w for s, w in edges.items()}
    np.testing.assert_array_equal(MacroMatch()(shared, users), MacroMatch()(repeated))


def test_sums_past_float16_keep_their_value_under_mixed_precision():
    edges = {s: tf.fill([1, 2], 1e6) for s in NODES}
    with policy("mixed_float16"):
        found = MacroMatch()(edges)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found[0, 3], np.log1p(2e6) / 5, rtol=1e-6)

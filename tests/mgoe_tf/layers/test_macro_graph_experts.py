import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.macro_graph_experts import MacroGraphExperts, weighted_softmax
from mgoe_tf.layers.neighbor_sets import NODES, QUERIES
from tests import reference
from tests.encoded_rows import randomize

T, B, D, H = 2, 6, 3, 4
QUERY_DIMS = {"user": 3, "item": 5}
K = {"user": 4, "item": 5}
USED = [(0, 1, 2), (0, 1, 3)]  # two shared experts, one of each task


def make(**changes) -> MacroGraphExperts:
    arguments = {"num_tasks": T, "num_shared": 2, "num_task_experts": 1, "units": H, **changes}
    experts = MacroGraphExperts(**arguments)
    experts.build_for(QUERY_DIMS, D)
    randomize(experts)
    return experts


def kernels_of(experts: MacroGraphExperts, index: int) -> dict[str, tuple[np.ndarray, ...]]:
    """One expert's W_Q, W_K and W_V by neighbour set."""
    return {
        name: tuple(
            experts.kernels[name][role][index].numpy() for role in ("query", "key", "value")
        )
        for name in NODES
    }


def random_inputs(seed: int = 0):
    """Queries, alphas, tables and gates."""
    rng = np.random.default_rng(seed)
    tables = {k: rng.normal(size=(T, n, D)).astype(np.float32) for k, n in K.items()}
    queries = {k: rng.normal(size=(B, n)).astype(np.float32) for k, n in QUERY_DIMS.items()}
    alphas = {s: rng.dirichlet(np.ones(K[n]), B).astype(np.float32) for s, n in NODES.items()}
    gates = rng.dirichlet(np.ones(3), (T, B)).astype(np.float32)
    return queries, alphas, tables, gates


def test_hand_worked():
    experts = MacroGraphExperts(num_tasks=1, num_shared=1, num_task_experts=0, units=1)
    experts.build_for({"user": 1, "item": 1}, 1)
    for role, value in (("query", 2.0), ("key", 1.0), ("value", 5.0)):
        for name in NODES:
            experts.kernels[name][role].assign([[[value]]])
    # Two user nodes z = (0, 1), two item nodes z = (0, -1); x_u = log 2, x_i = log 3.
    tables = {"user": tf.constant([[[0.0], [1.0]]]), "item": tf.constant([[[0.0], [-1.0]]])}
    queries = {"user": tf.math.log([[2.0]]), "item": tf.math.log([[3.0]])}
    alphas = {
        "user_1hop": tf.constant([[0.5, 0.5]]),
        "user_2hop": tf.constant([[0.25, 0.75]]),
        "item_1hop": tf.constant([[1.0, 0.0]]),
        "item_2hop": tf.constant([[0.0, 1.0]]),
    }
    outputs = experts(queries, alphas, experts.project(tables), tf.ones([1, 1, 1]))
    # Scores are 2 q z, h = 1. Item nodes (query x_i): r = softmax(0, -2 log 3) = (9, 1) / 10.
    # User nodes (query x_u): r = softmax(0, 2 log 2) = (1, 4) / 5. Only z_2 is not 0, K = 2:
    # u1: 2 * 0.5 * 0.1 * -1 * 5 = -0.5    u2: 2 * 0.75 * 0.8 * 1 * 5 = 6
    # i1: 2 * 0 * 0.8 * 5 = 0              i2: 2 * 1 * 0.1 * -1 * 5 = -1
    np.testing.assert_allclose(outputs[0, 0], [-0.5, 6.0, 0.0, -1.0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("attention_query", list(QUERIES))
def test_equals_reference(attention_query):
    experts = make(attention_query=attention_query)
    queries, alphas, tables, gates = random_inputs()
    query_of = {"target": reference.NODES, "owner": reference.OWNER}[attention_query]
    expected = [
        [
            reference.mixture(
                gates[task, row],
                [
                    reference.macro_graph_expert(
                        {k: q[row] for k, q in queries.items()},
                        {s: a[row] for s, a in alphas.items()},
                        {k: z[task] for k, z in tables.items()},
                        kernels_of(experts, expert),
                        query_of,
                    )
                    for expert in USED[task]
                ],
            )
            for row in range(B)
        ]
        for task in range(T)
    ]
    outputs = experts(queries, alphas, experts.project(tables), gates)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


def test_permuting_the_macro_nodes_changes_nothing():
    experts = make()
    queries, alphas, tables, gates = random_inputs()
    order = {k: np.random.default_rng(1).permutation(n) for k, n in K.items()}
    moved_tables = {k: z[:, order[k]] for k, z in tables.items()}
    moved_alphas = {s: alphas[s][:, order[nodes]] for s, nodes in NODES.items()}
    np.testing.assert_allclose(
        experts(queries, alphas, experts.project(tables), gates),
        experts(queries, moved_alphas, experts.project(moved_tables), gates),
        rtol=1e-4,
        atol=1e-5,
    )


def test_uniform_weights_and_attention_give_the_mean_of_the_values():
    # The factor K undoes that two distributions over K nodes are multiplied: K * (1/K)(1/K) = 1/K.
    experts = make()
    queries, _, tables, _ = random_inputs()
    zero_queries = {k: tf.zeros_like(q) for k, q in queries.items()}
    uniform = {s: tf.fill([B, K[nodes]], 1.0 / K[nodes]) for s, nodes in NODES.items()}
    first = tf.one_hot(tf.zeros([T, B], tf.int32), 3)
    outputs = experts(zero_queries, uniform, experts.project(tables), first)
    w_v = experts.kernels["user_1hop"]["value"][0]
    expected = np.mean(tables["item"][1] @ w_v, axis=0)
    np.testing.assert_allclose(outputs[1, 0, :H], expected, rtol=1e-4, atol=1e-5)


def test_attention_is_a_distribution_over_macro_nodes_and_not_constant():
    experts = make()
    queries, _, tables, _ = random_inputs()
    r = experts.attention("user_1hop", queries, experts.project(tables)["user_1hop"].scores)
    assert r.shape == (T, 3, B, K["item"])
    np.testing.assert_allclose(tf.reduce_sum(r, axis=-1), np.ones((T, 3, B)), rtol=1e-5)
    assert np.std(r, axis=-1).min() > 1e-3


def test_gradients_of_the_weighted_softmax():
    random = np.random.default_rng(0)
    logits, upstream = (tf.constant(random.normal(size=(2, 3, 4, 5)), tf.float32) for _ in "lu")
    weights = tf.constant(random.uniform(size=(4, 5)), tf.float32)

    def plain(logits, weights):
        return tf.nn.softmax(logits) * weights

    found = []
    for function in (weighted_softmax, plain):
        with tf.GradientTape() as tape:
            tape.watch([logits, weights])
            outputs = function(logits, weights)
        found.append([outputs, *tape.gradient(outputs, [logits, weights], upstream)])
    for ours, expected in zip(*found, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_refusals():
    with pytest.raises(ValueError, match="units: must be at least 1, got 0"):
        make(units=0)
    with pytest.raises(ValueError, match=r"attention_query: must be one of .*, got 'both'"):
        make(attention_query="both")

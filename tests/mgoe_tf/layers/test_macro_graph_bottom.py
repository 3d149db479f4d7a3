import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.macro_graph_bottom import MacroGraphBottom
from mgoe_tf.layers.neighbor_sets import NODES
from tests import reference
from tests.encoded_rows import randomize
from tests.mgoe_tf.layers.test_macro_graph_experts import QUERY_DIMS, USED, D, K, T, kernels_of

B = 6


def make(**changes) -> MacroGraphBottom:
    arguments = {
        "num_tasks": T,
        "num_macro_nodes": K,
        "dim": D,
        "units": 4,
        "num_shared": 2,
        "num_task_experts": 1,
        "temperature": 0.6,
        **changes,
    }
    return MacroGraphBottom(**arguments)


def random_inputs(seed: int = 0):
    rng = np.random.default_rng(seed)
    targets = {k: rng.normal(size=(B, n)).astype(np.float32) for k, n in QUERY_DIMS.items()}
    edges = {s: rng.poisson(2.0, (B, K[n])).astype(np.float32) for s, n in NODES.items()}
    return targets, edges


def test_hand_worked():
    bottom = make(
        num_tasks=1, num_macro_nodes={"user": 1, "item": 1}, dim=1, units=1, num_task_experts=0
    )
    targets = {"user": tf.constant([[1.0]]), "item": tf.constant([[2.0]])}
    edges = {name: tf.constant([[3.0]]) for name in NODES}
    bottom(targets, edges)
    bottom.macro_embeddings.tables["user"].assign([[[10.0]]])
    bottom.macro_embeddings.tables["item"].assign([[[20.0]]])
    # One macro node: alpha = r = K = 1, so each head is z W_V. Expert 0 has W_V = 1 in all sets,
    # expert 1 has W_V = 2: MGE_0 = (20, 10, 10, 20), MGE_1 = (40, 20, 20, 40).
    for kernels in bottom.experts.kernels.values():
        kernels["value"].assign([[[1.0]], [[2.0]]])
    # c = (x_u, x_i, z_I, z_U, z_U, z_I) = (1, 2, 20, 10, 10, 20); its gate logits are
    # (log 3) * (1 + 2 - 20 / 10) = log 3 for expert 0 and 0 for expert 1: g = (0.75, 0.25).
    kernel = np.log(3.0) * np.array([1.0, 1.0, -0.1, 0.0, 0.0, 0.0])
    bottom.gates.kernel.assign(np.stack([kernel, np.zeros(6)], axis=1)[np.newaxis])
    # 0.75 * 20 + 0.25 * 40 = 25; 0.75 * 10 + 0.25 * 20 = 12.5
    np.testing.assert_allclose(bottom(targets, edges)[0, 0], [25, 12.5, 12.5, 25], rtol=1e-5)


@pytest.mark.parametrize("attention_query", ["target", "owner"])
def test_equals_reference(attention_query):
    bottom = make(attention_query=attention_query)
    targets, edges = random_inputs()
    bottom(targets, edges)
    randomize(bottom)
    expected = [
        [
            reference.bottom(
                {k: x[row] for k, x in targets.items()},
                {s: w[row] for s, w in edges.items()},
                {k: z[task].numpy() for k, z in bottom.macro_embeddings.tables.items()},
                [kernels_of(bottom.experts, expert) for expert in USED[task]],
                bottom.gates.kernel[task].numpy(),
                0.6,
                {"target": reference.NODES, "owner": reference.OWNER}[attention_query],
            )
            for row in range(B)
        ]
        for task in range(T)
    ]
    np.testing.assert_allclose(bottom(targets, edges), expected, rtol=1e-4, atol=1e-4)


def test_permuting_shared_experts_with_their_gate_columns_changes_nothing():
    bottom = make()
    targets, edges = random_inputs()
    before = bottom(targets, edges)
    order = [1, 0, 2, 3]
    for kernels in bottom.experts.kernels.values():
        for kernel in kernels.values():
            kernel.assign(tf.gather(kernel, order))
    moved = bottom(targets, edges)
    assert not np.allclose(before, moved, atol=1e-5)
    bottom.gates.kernel.assign(tf.gather(bottom.gates.kernel, [1, 0, 2], axis=2))
    np.testing.assert_allclose(bottom(targets, edges), before, rtol=1e-4, atol=1e-6)


def test_explains_what_it_computes():
    bottom = make()
    targets, edges = random_inputs()
    bottom(targets, edges)
    randomize(bottom)
    explained = bottom.explain(targets, edges)
    assert explained["gates"].shape == (T, B, 3)
    for name, nodes in NODES.items():
        alpha = reference.macro_weights(edges[name][1], 0.6)
        np.testing.assert_allclose(explained["alpha"][name][1], alpha, rtol=1e-5)
        # Row 1 of task 0: the mean of the experts' r, weighted by the gates.
        query = targets[reference.NODES[name]][1]
        table = bottom.macro_embeddings.tables[nodes][0].numpy()
        heads = [kernels_of(bottom.experts, expert)[name] for expert in USED[0]]
        r = [reference.attention(query, table, w_q, w_k) for w_q, w_k, _ in heads]
        expected = reference.mixture(explained["gates"][0, 1].numpy(), r)
        np.testing.assert_allclose(explained["attention"][name][0, 1], expected, rtol=1e-4)

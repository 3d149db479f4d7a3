import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.macro_micro_fusion import MacroMicroFusion
from tests import reference
from tests.encoded_rows import randomize
from tests.mgoe_tf.layers.test_mlp_experts import layers_of

T, B = 2, 5


def inputs_of(seed: int = 0):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    targets = {"user": draw(B, 2), "item": draw(B, 3)}
    return targets, draw(T, B, 4), {"user": draw(T, B, 2), "item": draw(T, B, 2)}


def test_hand_worked():
    fusion = MacroMicroFusion(
        num_tasks=1, num_shared=2, num_task_experts=0, units=[1], interactions=False
    )
    one = tf.constant([[1.0]])
    inputs = (
        {"user": one, "item": 2 * one},
        tf.constant([[[3.0]]]),
        {"user": tf.constant([[[4.0]]]), "item": tf.constant([[[5.0]]])},
    )
    fusion(*inputs)
    # f = (1, 2, 3, 4, 5). Expert 0 reads it as digits; expert 1 is its bias, 100.
    fusion.experts.kernels[0].assign([[[10000.0], [1000.0], [100.0], [10.0], [1.0]], [[0.0]] * 5])
    fusion.experts.biases[0].assign([[[0.0]], [[100.0]]])
    fusion.gates.kernel.assign(tf.zeros([1, 5, 2]))
    # Gates of 1/2 each: (12345 + 100) / 2
    np.testing.assert_allclose(fusion(*inputs), [[[6222.5]]], rtol=1e-6)


def test_hand_worked_interactions():
    fusion = MacroMicroFusion(num_tasks=1, num_shared=1, num_task_experts=0, units=[1])
    user, item = tf.constant([[1.0]]), tf.constant([[2.0, 3.0]])
    near_user, near_item = tf.constant([[[5.0, 7.0]]]), tf.constant([[[11.0]]])
    f = fusion.inputs(
        {"user": user, "item": item},
        tf.constant([[[13.0]]]),
        {"user": near_user, "item": near_item},
    )
    # x_u, x_i, x_u x_i = 1 * 2, h, n_u, n_i, x_i n_u = (2 * 5, 3 * 7), x_u n_i = 1 * 11
    np.testing.assert_array_equal(f, [[[1, 2, 3, 2, 13, 5, 7, 11, 10, 21, 11]]])


@pytest.mark.parametrize(
    ("interactions", "num_shared", "used"),
    [
        (False, 1, [(0, 1, 2), (0, 3, 4)]),
        (True, 1, [(0, 1, 2), (0, 3, 4)]),
        # one expert a task: nothing to mix
        (True, 0, [(0,), (1,)]),
        (True, 1, [(0,), (0,)]),
    ],
)
def test_equals_reference(interactions, num_shared, used):
    fusion = MacroMicroFusion(
        num_tasks=T,
        num_shared=num_shared,
        num_task_experts=len(used[0]) - num_shared,
        units=[6, 5],
        interactions=interactions,
    )
    targets, bottom, neighbors = inputs_of()
    fusion(targets, bottom, neighbors)
    randomize(fusion)
    expected = np.zeros((T, B, 5))
    for task in range(T):
        for row in range(B):
            expected[task, row] = reference.fusion(
                reference.fusion_input(
                    {node: x[row] for node, x in targets.items()},
                    bottom[task, row],
                    {node: n[task, row] for node, n in neighbors.items()},
                    interactions,
                ),
                [layers_of(fusion.experts, expert) for expert in used[task]],
                np.asarray(fusion.gates.kernel[task]),
            )
    np.testing.assert_allclose(fusion(targets, bottom, neighbors), expected, rtol=1e-4, atol=1e-4)

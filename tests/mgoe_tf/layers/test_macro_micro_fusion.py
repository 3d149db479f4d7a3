import numpy as np
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
    fusion = MacroMicroFusion(num_tasks=1, num_shared=2, num_task_experts=0, units=[1])
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


def test_equals_reference():
    fusion = MacroMicroFusion(num_tasks=T, num_shared=1, num_task_experts=2, units=[6, 5])
    targets, bottom, neighbors = inputs_of()
    fusion(targets, bottom, neighbors)
    randomize(fusion)
    used = [(0, 1, 2), (0, 3, 4)]
    expected = np.zeros((T, B, 5))
    for task in range(T):
        for row in range(B):
            parts = [targets["user"][row], targets["item"][row], bottom[task, row]]
            parts += [neighbors["user"][task, row], neighbors["item"][task, row]]
            expected[task, row] = reference.fusion(
                np.concatenate(parts),
                [layers_of(fusion.experts, expert) for expert in used[task]],
                fusion.gates.kernel[task].numpy(),
            )
    np.testing.assert_allclose(fusion(targets, bottom, neighbors), expected, rtol=1e-4, atol=1e-4)

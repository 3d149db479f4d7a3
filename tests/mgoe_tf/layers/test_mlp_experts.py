import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.mlp_experts import MlpExperts
from tests import reference
from tests.encoded_rows import randomize


def layers_of(experts: MlpExperts, index: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """One expert's layers for the reference."""
    return [
        (kernel[index].numpy(), bias[index, 0].numpy())
        for kernel, bias in zip(experts.kernels, experts.biases, strict=True)
    ]


def test_hand_worked():
    experts = MlpExperts(num_tasks=1, num_shared=2, num_task_experts=0, units=[1])
    experts.build([1, None, 2])
    experts.kernels[0].assign([[[1.0], [2.0]], [[-1.0], [0.0]]])
    experts.biases[0].assign([[[0.5]], [[0.0]]])
    # 1 * 3 + 2 * 4 + 0.5 = 11.5; relu(-3) = 0
    outputs = experts(tf.constant([[[3.0, 4.0]]]))
    np.testing.assert_allclose(outputs[0, :, 0, 0], [11.5, 0.0])


def test_equals_reference():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    experts = MlpExperts(num_tasks=2, num_shared=1, num_task_experts=1, units=[5, 6])
    experts.build(x.shape)
    randomize(experts)
    # Experts: 0 shared, 1 of task 0, 2 of task 1.
    expected = [
        [[reference.mlp(row, layers_of(experts, expert)) for row in x[task]] for expert in used]
        for task, used in enumerate([(0, 1), (0, 2)])
    ]
    np.testing.assert_allclose(experts(x), expected, rtol=1e-4, atol=1e-5)


def test_one_input_for_all_tasks_is_the_same_for_each():
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 3, 4)), tf.float32)
    experts = MlpExperts(num_tasks=3, num_shared=1, num_task_experts=2, units=[5, 6])
    experts.build(x.shape)
    randomize(experts)
    alone, repeated = experts(x), experts(tf.tile(x, [3, 1, 1]))
    assert alone.shape == (3, 3, 3, 6)
    np.testing.assert_allclose(alone, repeated, rtol=1e-5, atol=1e-6)


def test_dropout_in_training_only():
    experts = MlpExperts(num_tasks=1, num_shared=1, num_task_experts=0, units=[100], dropout=0.5)
    x = tf.ones([1, 1, 10])
    experts(x)
    experts.biases[0].assign(tf.ones_like(experts.biases[0]) * 9.0)
    assert np.count_nonzero(experts(x, training=False)) == 100
    assert 25 < np.count_nonzero(experts(x, training=True)) < 75


def test_refusals():
    with pytest.raises(ValueError, match=r"units: must be one or more widths .*, got \[\]"):
        MlpExperts(num_tasks=1, num_shared=1, num_task_experts=0, units=[])
    with pytest.raises(ValueError, match=r"dropout: must be in \[0, 1\), got 1\.0"):
        MlpExperts(num_tasks=1, num_shared=1, num_task_experts=0, units=[1], dropout=1.0)

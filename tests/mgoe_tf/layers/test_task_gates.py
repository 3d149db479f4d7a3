import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.split_rows import SplitRows
from mgoe_tf.layers.task_gates import TaskGates, mix
from tests import reference
from tests.encoded_rows import randomize


def test_hand_worked():
    gates = TaskGates(num_tasks=1, num_experts=2)
    gates.build([None, 1])
    # logits: x * (log 3, 0); x = 2: softmax(log 9, 0) = (0.9, 0.1)
    gates.kernel.assign([[[np.log(3.0), 0.0]]])
    np.testing.assert_allclose(gates(tf.constant([[2.0]])), [[[0.9, 0.1]]], rtol=1e-6)
    # 0.9 * 10 + 0.1 * 20 = 11
    outputs = tf.constant([[[[10.0]], [[20.0]]]])
    np.testing.assert_allclose(mix(outputs, gates(tf.constant([[2.0]]))), [[[11.0]]], rtol=1e-6)


@pytest.mark.parametrize("shared_input", [True, False])
def test_equals_reference(shared_input):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 4) if shared_input else (3, 5, 4)).astype(np.float32)
    gates = TaskGates(num_tasks=3, num_experts=2)
    gates.build(x.shape)
    randomize(gates)
    by_task = [x] * 3 if shared_input else x
    expected = [
        [reference.gate(row, kernel) for row in rows]
        for rows, kernel in zip(by_task, gates.kernel.numpy(), strict=True)
    ]
    np.testing.assert_allclose(gates(x), expected, rtol=1e-5)
    np.testing.assert_allclose(tf.reduce_sum(gates(x), axis=-1), np.ones((3, 5)), rtol=1e-6)


def test_bias_is_an_option():
    assert len(TaskGates(num_tasks=1, num_experts=2)(tf.ones([3, 4])).shape) == 3
    gates = TaskGates(num_tasks=1, num_experts=2, use_bias=True)
    gates.build([None, 1])
    gates.bias.assign([[[np.log(4.0), 0.0]]])
    # The input is 0, so that only the bias speaks: (4, 1) / 5.
    np.testing.assert_allclose(gates(tf.zeros([1, 1])), [[[0.8, 0.2]]], rtol=1e-6)


def test_experts_of_one_bank_mixed_by_several_tasks():
    outputs = tf.constant([[[[1.0]], [[3.0]]]])
    gates = tf.constant([[[1.0, 0.0]], [[0.5, 0.5]]])
    np.testing.assert_allclose(mix(outputs, gates), [[[1.0]], [[2.0]]])


@pytest.mark.parametrize("shape", [(5, 4), (3, 5, 4)])
def test_a_single_expert_weighs_one_and_nothing_is_learnt(shape):
    gates = TaskGates(num_tasks=3, num_experts=1, use_bias=True, units=(6,))
    np.testing.assert_array_equal(gates(tf.fill(shape, 7.0)), np.ones((3, 5, 1)))
    np.testing.assert_array_equal(gates.logits(tf.fill(shape, 7.0)), np.zeros((3, 5, 1)))
    assert gates.weights == []
    rows = SplitRows(tf.ones([2, 1]), tf.ones([2, 4, 3]))
    np.testing.assert_array_equal(gates(rows), np.ones((3, 8, 1)))


def test_refuses_no_experts():
    with pytest.raises(ValueError, match="num_experts: must be at least 1, got 0"):
        TaskGates(num_tasks=1, num_experts=0)


def test_temperature_hand_worked():
    x = tf.constant([[2.0]])
    for temperature, expected in ((1.0, 0.9), (2.0, 0.75), (0.5, 81 / 82)):
        gates = TaskGates(num_tasks=1, num_experts=2, temperature=temperature)
        gates.build([None, 1])
        # logits: x * (log 3, 0), so 2 log 3 / tau against 0: 9, 3 or 81 to 1
        gates.kernel.assign([[[np.log(3.0), 0.0]]])
        np.testing.assert_allclose(gates(x), [[[expected, 1 - expected]]], rtol=1e-5)


@pytest.mark.parametrize("shared_input", [True, False])
def test_hidden_layers_are_of_each_task(shared_input):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 4) if shared_input else (3, 5, 4)).astype(np.float32)
    gates = TaskGates(num_tasks=3, num_experts=2, units=(6, 5))
    gates.build(x.shape)
    randomize(gates)
    by_task = [x] * 3 if shared_input else x
    expected = []
    for task, rows in enumerate(by_task):
        layers = [(kernel.numpy()[task], bias.numpy()[task, 0]) for kernel, bias in gates.hidden]
        hidden = [reference.mlp(row, layers) for row in rows]
        expected.append([reference.gate(row, gates.kernel.numpy()[task]) for row in hidden])
    np.testing.assert_allclose(gates(x), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature: must be above 0, got 0.0"),
        ({"units": (4, 0)}, r"units: must be widths of at least 1, got \[4, 0\]"),
    ],
)
def test_refuses_what_is_no_gate(arguments, message):
    with pytest.raises(ValueError, match=message):
        TaskGates(num_tasks=1, num_experts=2, **arguments)

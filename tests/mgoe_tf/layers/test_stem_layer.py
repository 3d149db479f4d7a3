import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.stem_layer import StemLayer
from tests import reference
from tests.encoded_rows import randomize
from tests.mgoe_tf.layers.test_mlp_experts import layers_of


def gate_of(gates, index: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """One gate's layers."""
    hidden = [(kernel[index].numpy(), bias[index, 0].numpy()) for kernel, bias in gates.hidden]
    return [*hidden, (gates.kernel[index].numpy(), gates.bias[index, 0].numpy())]


def gate(x, layers) -> np.ndarray:
    """softmax of an MLP whose last layer has no activation."""
    kernel, bias = layers[-1]
    return reference.softmax(reference.mlp(x, layers[:-1]) @ kernel + bias)


def stem(streams, layer, stream: bool) -> list[np.ndarray]:
    """m_1 .. m_T, and m_s, of one row: streams are x_1 .. x_T and x_s."""
    *of_tasks, shared = streams
    outputs = [
        reference.mlp(x, layers_of(layer.own_experts, layer.num_task_experts * task + number))
        for task, x in enumerate(of_tasks)
        for number in range(layer.num_task_experts)
    ]
    outputs += [
        reference.mlp(shared, layers_of(layer.shared_experts, number))
        for number in range(layer.num_shared)
    ]
    seen = [x + shared for x in of_tasks] + [shared] * stream
    return [
        reference.mixture(gate(x, gate_of(layer.gates, number)), outputs)
        for number, x in enumerate(seen)
    ]


@pytest.mark.parametrize("shared_stream", [False, True])
def test_equals_reference(shared_stream):
    x = np.random.default_rng(0).normal(size=(4, 6, 5)).astype(np.float32)
    layer = StemLayer(
        num_tasks=3, num_shared=1, num_task_experts=2, units=[4, 3], gate_units=[2],
        shared_stream=shared_stream,
    )  # fmt: skip
    layer(x)
    randomize(layer)
    expected = np.stack([stem(x[:, row], layer, shared_stream) for row in range(6)], axis=1)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_a_task_moves_its_own_experts_and_shared_ones_and_no_others():
    layer = StemLayer(num_tasks=3, num_shared=1, num_task_experts=2, units=[4], gate_units=[])
    x = tf.random.stateless_normal([4, 6, 5], [0, 1])
    layer(x)
    randomize(layer)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x)[1] ** 2)
    of_x, own, shared = tape.gradient(
        loss, [x, layer.own_experts.kernels[0], layer.shared_experts.kernels[0]]
    )
    moved = np.abs(of_x).sum(axis=(1, 2)) > 0
    assert moved.tolist() == [False, True, False, True]
    # Two experts a task.
    assert (np.abs(own).sum(axis=(1, 2)) > 0).tolist() == [False] * 2 + [True] * 2 + [False] * 2
    assert np.abs(shared).sum() > 0


def test_the_shared_stream_moves_all_experts():
    layer = StemLayer(
        num_tasks=2, num_shared=1, num_task_experts=1, units=[4], gate_units=[], shared_stream=True
    )
    x = tf.random.stateless_normal([3, 6, 5], [0, 1])
    layer(x)
    randomize(layer)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x)[2] ** 2)
    gradient = tape.gradient(loss, layer.own_experts.kernels[0])
    assert (np.abs(gradient).sum(axis=(1, 2)) > 0).all()


def test_values_do_not_depend_on_what_is_stopped(monkeypatch):
    layer = StemLayer(num_tasks=3, num_shared=1, num_task_experts=2, units=[4], gate_units=[])
    x = tf.random.stateless_normal([4, 6, 5], [0, 1])
    before = layer(x)
    monkeypatch.setattr(tf, "stop_gradient", tf.identity)
    np.testing.assert_array_equal(layer(x), before)


def test_without_shared_experts_or_without_own():
    x = tf.random.stateless_normal([3, 6, 5], [0, 1])
    for sizes in ({"num_shared": 0, "num_task_experts": 1}, {"num_shared": 2,
                                                             "num_task_experts": 0}):  # fmt: skip
        layer = StemLayer(num_tasks=2, units=[4], gate_units=[], **sizes)
        assert layer(x).shape == [2, 6, 4]
        assert layer.gate_weights(x).shape == [2, 6, 2]


def test_refuses_no_experts():
    with pytest.raises(ValueError, match="together at least 1, got 0 and 0"):
        StemLayer(num_tasks=2, num_shared=0, num_task_experts=0, units=[4], gate_units=[])

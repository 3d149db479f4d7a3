import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.progressive_extraction import ProgressiveExtraction
from tests import reference
from tests.encoded_rows import randomize
from tests.mgoe_tf.layers.test_mlp_experts import layers_of


def expected_of(extraction: ProgressiveExtraction, x: np.ndarray) -> list[np.ndarray]:
    """a_t^L of one row, an expert and a gate at a time."""
    tasks, shared = [x] * extraction.num_tasks, x
    for level in range(extraction.num_levels):
        of_all = [
            reference.mlp(shared, layers_of(extraction.shared_experts[level], expert))
            for expert in range(extraction.num_shared)
        ]
        own = [
            [
                reference.mlp(
                    stream,
                    layers_of(
                        extraction.task_experts[level], task * extraction.num_task_experts + expert
                    ),
                )
                for expert in range(extraction.num_task_experts)
            ]
            for task, stream in enumerate(tasks)
        ]
        mixed = [
            reference.mixture(
                reference.gate(stream, extraction.task_gates[level].kernel[task].numpy()),
                [*of_all, *own[task]],
            )
            for task, stream in enumerate(tasks)
        ]
        if level + 1 < extraction.num_levels and extraction.num_shared:
            gate = reference.gate(shared, extraction.shared_gates[level].kernel[0].numpy())
            shared = reference.mixture(gate, [*of_all, *(e for experts in own for e in experts)])
        tasks = mixed
    return tasks


@pytest.mark.parametrize("num_levels", [1, 2, 3])
@pytest.mark.parametrize(("num_shared", "num_task_experts"), [(2, 1), (1, 2), (0, 2), (2, 0)])
def test_equals_reference(num_levels, num_shared, num_task_experts):
    extraction = ProgressiveExtraction(
        num_tasks=3,
        num_levels=num_levels,
        num_shared=num_shared,
        num_task_experts=num_task_experts,
        units=[5, 4],
    )
    x = np.random.default_rng(0).normal(size=(6, 7)).astype(np.float32)
    extraction(x)
    randomize(extraction)
    expected = np.stack([expected_of(extraction, row) for row in x], axis=1)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(extraction(x), expected, rtol=1e-4, atol=1e-5)


def test_hand_worked():
    # x = 2; every expert is one unit, without bias; one task; its gates are even throughout
    extraction = ProgressiveExtraction(
        num_tasks=1, num_levels=2, num_shared=1, num_task_experts=1, units=[1]
    )
    extraction(tf.zeros([1, 1]))
    for gates in (*extraction.task_gates, *extraction.shared_gates):
        gates.kernel.assign(tf.zeros_like(gates.kernel))
    # level 1: S = 2 * 1 = 2, P = 2 * 3 = 6; a = (2 + 6) / 2 = 4
    extraction.shared_experts[0].kernels[0].assign([[[1.0]]])
    extraction.task_experts[0].kernels[0].assign([[[3.0]]])
    # the shared gate's logits are (log 3, 0) at s = 2: 3/4 * 2 + 1/4 * 6 = 3
    extraction.shared_gates[0].kernel.assign([[[np.log(3.0) / 2.0, 0.0]]])
    # level 2: S = 3 * 10 = 30, P = 4 * 5 = 20; a = 25
    extraction.shared_experts[1].kernels[0].assign([[[10.0]]])
    extraction.task_experts[1].kernels[0].assign([[[5.0]]])
    first, last = extraction.levels(tf.constant([[2.0]]))
    np.testing.assert_allclose(first.tasks, [[[4.0]]], rtol=1e-6)
    np.testing.assert_allclose(first.shared, [[[3.0]]], rtol=1e-6)
    np.testing.assert_allclose(first.shared_gates, [[[0.75, 0.25]]], rtol=1e-6)
    np.testing.assert_allclose(last.tasks, [[[25.0]]], rtol=1e-6)
    assert last.shared is None
    assert last.shared_gates is None


@pytest.mark.parametrize("num_levels", [1, 2, 3])
def test_there_is_a_shared_gate_between_levels_alone(num_levels):
    extraction = ProgressiveExtraction(
        num_tasks=2, num_levels=num_levels, num_shared=1, num_task_experts=2, units=[3]
    )
    extraction(tf.zeros([1, 4]))
    # it sees all experts: 1 + 2 * 2
    shapes = [gates.kernel.shape for gates in extraction.shared_gates]
    assert shapes == [[1, 4, 5], [1, 3, 5], [1, 3, 5]][: num_levels - 1]
    # a level has kernel and bias of both banks and the gates of the tasks
    assert len(extraction.weights) == 5 * num_levels + num_levels - 1


def test_without_shared_experts_tasks_are_independent():
    extraction = ProgressiveExtraction(
        num_tasks=2, num_levels=2, num_shared=0, num_task_experts=2, units=[3]
    )
    x = tf.constant(np.random.default_rng(0).normal(size=(20, 4)), tf.float32)
    extraction(x)
    randomize(extraction)
    assert extraction.shared_gates == []
    with tf.GradientTape() as tape:
        of_first = tf.reduce_sum(extraction(x)[0])
    kernels = [bank.kernels[0] for bank in extraction.task_experts]
    for gradient in tape.gradient(of_first, kernels):
        # experts of the first task, then those of the second
        assert (np.abs(gradient[:2]).sum(axis=(1, 2)) > 0).all()
        np.testing.assert_array_equal(gradient[2:], np.zeros_like(gradient[2:]))


def test_shared_experts_of_a_level_learn_from_all_tasks():
    extraction = ProgressiveExtraction(
        num_tasks=2, num_levels=2, num_shared=1, num_task_experts=1, units=[3]
    )
    x = tf.constant(np.random.default_rng(0).normal(size=(20, 4)), tf.float32)
    extraction(x)
    randomize(extraction)
    for task in range(2):
        with tf.GradientTape() as tape:
            of_task = tf.reduce_sum(extraction(x)[task])
        # through the shared gate the other task's first experts do too
        kernels = [extraction.shared_experts[1].kernels[0], extraction.task_experts[0].kernels[0]]
        for gradient in tape.gradient(of_task, kernels):
            assert (np.abs(gradient).sum(axis=(1, 2)) > 0).all()


def test_refusals():
    sizes = {"num_tasks": 1, "num_levels": 1, "num_shared": 1, "num_task_experts": 1, "units": [1]}
    with pytest.raises(ValueError, match="num_levels: must be at least 1, got 0"):
        ProgressiveExtraction(**sizes | {"num_levels": 0})
    with pytest.raises(ValueError, match=r"num_shared and num_task_experts: .*, got 0 and 0"):
        ProgressiveExtraction(**sizes | {"num_shared": 0, "num_task_experts": 0})
    with pytest.raises(ValueError, match=r"num_shared and num_task_experts: .*, got -1 and 2"):
        ProgressiveExtraction(**sizes | {"num_shared": -1, "num_task_experts": 2})

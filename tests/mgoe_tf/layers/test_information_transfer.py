import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.information_transfer import InformationTransfer
from tests import reference
from tests.encoded_rows import randomize
from tests.mgoe_tf.layers.test_task_bottoms import randomize_all


def handed_over(layer: InformationTransfer, number: int, z) -> np.ndarray:
    """p of one row."""
    outputs = z @ layer.transfer_kernel[number].numpy()
    if layer.batch_norm:
        norm = layer.norms[number]
        outputs = (outputs - norm.moving_mean.numpy()[0]) / np.sqrt(
            norm.moving_variance.numpy()[0] + 1e-5
        )
        outputs = outputs * norm.gamma.numpy()[0] + norm.beta.numpy()[0]
    else:
        outputs = outputs + layer.transfer_bias[number].numpy()
    return np.maximum(outputs, 0.0)


def transfer(layer: InformationTransfer, bottoms) -> tuple[list[np.ndarray], list[float]]:
    """z_t of one row, whose q_t are given, and w_p of each transition."""
    query, key, value = (w.numpy() for w in (layer.query, layer.key, layer.value))
    found, shares = [bottoms[0]], []
    for number, own in enumerate(bottoms[1:]):
        pair = [own, handed_over(layer, number, found[-1])]
        scores = np.array([(u @ query) @ (u @ key) / np.sqrt(len(u)) for u in pair])
        weights = reference.softmax(scores)
        found.append(reference.mixture(weights, [u @ value for u in pair]))
        shares.append(weights[1])
    return found, shares


@pytest.mark.parametrize("batch_norm", [True, False])
def test_equals_reference(batch_norm):
    q = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
    layer = InformationTransfer(num_tasks=4, batch_norm=batch_norm)
    layer(q)
    randomize_all(layer)
    rows = [transfer(layer, q[:, row]) for row in range(6)]
    found, weights = layer.transfer(q)
    np.testing.assert_allclose(found, np.stack([z for z, _ in rows], axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        tf.stack(weights), np.stack([w for _, w in rows], axis=1), rtol=1e-4, atol=1e-5
    )


def test_of_two_equal_candidates_each_weighs_a_half():
    layer = InformationTransfer(num_tasks=2, batch_norm=True)
    q = tf.random.stateless_normal([5, 3], [0, 1])
    layer(tf.stack([q, q]))
    randomize(layer)
    mixed, weight = layer.attend(q, q)
    np.testing.assert_allclose(weight, np.full(5, 0.5), rtol=1e-6)
    np.testing.assert_allclose(mixed, q @ layer.value, rtol=1e-5)


def test_what_follows_hears_of_all_before_and_the_first_of_none():
    layer = InformationTransfer(num_tasks=3, batch_norm=False)
    q = tf.random.stateless_normal([3, 5, 4], [0, 1])
    layer(q)
    randomize(layer)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(q)
        parts = [tf.reduce_sum(z) for z in tf.unstack(layer(q))]
    reached = [(np.abs(tape.gradient(p, q)).sum(axis=(1, 2)) > 0).tolist() for p in parts]
    assert reached == [[True, False, False], [True, True, False], [True, True, True]]


def test_one_task_keeps_its_own():
    layer = InformationTransfer(num_tasks=1, batch_norm=True)
    q = tf.random.stateless_normal([1, 5, 4], [0, 1])
    np.testing.assert_array_equal(layer(q), q)
    assert layer.weights == []

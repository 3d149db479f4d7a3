import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.personalized_towers import PersonalizedTowers
from mgoe_tf.layers.prediction_towers import PredictionTowers
from tests import reference
from tests.encoded_rows import randomize
from tests.mgoe_tf.layers.test_gate_units import gate_of
from tests.mgoe_tf.layers.test_prediction_towers import layers_of


def tower(towers: PersonalizedTowers, task: int, x: np.ndarray, prior: np.ndarray) -> float:
    """One tower of one row."""
    *layers, (kernel, bias) = layers_of(towers, task)
    hidden = x
    for gates, layer in zip(towers.gates, layers, strict=True):
        scale = gate_of(gates, task, np.concatenate([prior, x]))
        hidden = scale * reference.mlp(hidden, [layer])
    return (hidden @ kernel + bias).item()


def made(units=(4, 3), **arguments) -> tuple[PersonalizedTowers, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x, prior = (rng.normal(size=(6, width)).astype(np.float32) for width in (5, 2))
    towers = PersonalizedTowers(num_tasks=3, units=units, **arguments)
    towers(x, prior)
    randomize(towers)
    return towers, x, prior


@pytest.mark.parametrize("gate_units", [0, 7])
def test_equals_reference(gate_units):
    towers, x, prior = made(gate_units=gate_units)
    assert [gates.units for gates in towers.gates] == [gate_units or width for width in (4, 3)]
    expected = [
        [tower(towers, task, *row) for row in zip(x, prior, strict=True)] for task in range(3)
    ]
    np.testing.assert_allclose(towers(x, prior), expected, rtol=1e-4, atol=1e-5)


def test_gates_of_1_are_plain_towers():
    towers, x, prior = made()
    for gates in towers.gates:
        gates.kernels[1].assign(tf.zeros_like(gates.kernels[1]))
        gates.biases[1].assign(tf.zeros_like(gates.biases[1]))
    plain = PredictionTowers(num_tasks=3, units=(4, 3))
    plain(x)
    for name in ("kernels", "biases"):
        for one, other in zip(getattr(plain, name), getattr(towers, name), strict=True):
            one.assign(other)
    np.testing.assert_allclose(towers(x, prior), plain(x), rtol=1e-5)


def test_gates_read_the_inputs_and_do_not_change_them():
    towers, x, prior = made()
    inputs = tf.Variable(x)
    scales = [scale.numpy() for scale in towers.scales(x, prior)]
    assert not np.allclose(towers.scales(x[::-1], prior)[0], scales[0])
    with tf.GradientTape() as tape:
        total = tf.add_n([tf.reduce_sum(scale) for scale in towers.scales(inputs, prior)])
    assert tape.gradient(total, inputs) is None
    # what is scaled passes its gradient on: that of towers whose scales are constant
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(towers(inputs, prior))
    found = tape.gradient(total, inputs)
    with tf.GradientTape() as tape:
        hidden = scales[0] * tf.nn.relu(towers.first_layer(inputs))
        for (kernel, bias), scale in zip(towers.later_layers(), (scales[1], None), strict=True):
            hidden = hidden @ kernel + bias
            hidden = hidden if scale is None else scale * tf.nn.relu(hidden)
        total = tf.reduce_sum(hidden)
    np.testing.assert_allclose(found, tape.gradient(total, inputs), rtol=1e-4, atol=1e-5)


def test_the_prior_learns_from_the_gates():
    towers, x, prior = made()
    inputs = tf.Variable(prior)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(towers(x, inputs))
    assert (np.abs(tape.gradient(total, inputs)).sum(axis=1) > 0).all()


def test_dropout_in_training_only():
    towers, x, prior = made(units=(200,), dropout=0.5)
    np.testing.assert_array_equal(towers(x, prior), towers(x, prior, training=False))
    assert not np.allclose(towers(x, prior, training=True), towers(x, prior))


def test_refusals():
    with pytest.raises(ValueError, match=r"units: must be one or more widths, got \[\]"):
        PersonalizedTowers(num_tasks=1, units=[])
    with pytest.raises(ValueError, match="gate_units: must be at least 0, got -1"):
        PersonalizedTowers(num_tasks=1, units=[1], gate_units=-1)
    with pytest.raises(ValueError, match="gamma: must be above 0, got -1"):
        PersonalizedTowers(num_tasks=1, units=[1], gamma=-1.0)

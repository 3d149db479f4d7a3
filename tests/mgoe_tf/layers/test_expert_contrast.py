import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.expert_contrast import ExpertContrast


def random_outputs() -> np.ndarray:
    """[X, B, H], as experts give: none below 0."""
    outputs = np.random.default_rng(0).normal(0.3, 1.0, [4, 7, 5])
    return np.maximum(outputs, 0.0).astype(np.float32)


def test_hand_worked():
    # row 0: (3, 4) and (6, 8), the same direction: C = 1 everywhere, 0.3 - 1 + 1 = 0.3 twice
    # row 1: (1, 0) and (0, 2): C_ef = 0, 0.3 - 1 + 0 < 0
    # row 2: (1, 0) and (1, 1): C_ef = 0.70711, 0.3 - 1 + 0.70711 = 0.00711 twice
    outputs = [[[3.0, 4.0], [1.0, 0.0], [1.0, 0.0]], [[6.0, 8.0], [0.0, 2.0], [1.0, 1.0]]]
    found = ExpertContrast(margin=0.3)(tf.constant(outputs))
    np.testing.assert_allclose(found, (0.3 + 0.0 + np.sqrt(0.5) - 0.7) / 3, rtol=1e-5)


def test_equals_its_definition():
    outputs = random_outputs()
    expected = []
    for row in range(7):
        vectors = [v / np.linalg.norm(v) for v in outputs[:, row].astype(np.float64)]
        expected += [
            max(0.0, 0.9 - 1.0 + vectors[e] @ vectors[f])
            for e in range(4)
            for f in range(4)
            if e != f
        ]
    found = ExpertContrast(margin=0.9)(tf.constant(outputs))
    assert min(expected) == 0 < max(expected)
    np.testing.assert_allclose(found, np.mean(expected), rtol=1e-5)


def test_orthonormal_experts_cost_nothing():
    outputs = np.stack([np.linalg.qr(np.random.default_rng(seed).normal(size=(4, 4)))[0]
                        for seed in range(5)], axis=1)  # fmt: skip
    assert float(ExpertContrast(margin=0.3)(tf.constant(outputs, tf.float32))) == 0
    assert float(ExpertContrast(margin=1.3)(tf.constant(outputs, tf.float32))) > 0.2


def test_one_expert_costs_nothing():
    assert float(ExpertContrast(margin=0.3)(tf.ones([1, 5, 3]))) == 0


def test_outputs_of_zero_have_a_finite_gradient():
    outputs = tf.Variable(tf.concat([tf.zeros([1, 2, 3]), tf.ones([2, 2, 3])], axis=0))
    with tf.GradientTape() as tape:
        found = ExpertContrast(margin=1.5)(outputs)
    # the two that are 1: 1.5 - 1 + 1 twice; 0 with either: 1.5 - 0 + 0 from 0, 1.5 - 1 + 0 to it
    np.testing.assert_allclose(found, (2 * 1.5 + 2 * 1.5 + 2 * 0.5) / 6, rtol=1e-6)
    assert np.isfinite(tape.gradient(found, outputs)).all()


def test_copies_differ_in_training_only():
    tf.keras.utils.set_random_seed(1)
    outputs = tf.constant(random_outputs())
    layer = ExpertContrast(margin=0.3, rate=0.4)
    first, second = (float(layer(outputs, training=True)) for _ in range(2))
    assert first != second
    assert float(layer(outputs)) == float(ExpertContrast(margin=0.3)(outputs))
    # E[C_ee] = 1 and E[C_ef] is as without dropout: where all pairs count, so is the mean loss
    wide, plain = ExpertContrast(margin=30.0, rate=0.4), ExpertContrast(margin=30.0)
    many = np.mean([float(wide(outputs, training=True)) for _ in range(300)])
    np.testing.assert_allclose(many, float(plain(outputs)), atol=0.02)


def test_its_random_numbers_are_in_checkpoints(tmp_path):
    outputs = tf.constant(random_outputs())
    layer = ExpertContrast(margin=0.3, rate=0.4)
    layer(outputs, training=True)
    path = tf.train.Checkpoint(layer=layer).save(str(tmp_path / "checkpoint"))
    expected = float(layer(outputs, training=True))
    other = ExpertContrast(margin=0.3, rate=0.4)
    other(outputs)
    tf.train.Checkpoint(layer=other).restore(path).assert_existing_objects_matched()
    assert float(other(outputs, training=True)) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": -0.3}, r"margin: must be at least 0, got -0\.3"),
        ({"margin": 0.3, "rate": 1.0}, r"rate: must be in \[0, 1\), got 1\.0"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        ExpertContrast(**arguments)

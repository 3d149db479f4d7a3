import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.task_bottoms import TaskBottoms
from tests import reference
from tests.encoded_rows import randomize


def folded_layers(bottoms: TaskBottoms, task: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """A task's Dense layers as they act with moving statistics."""
    found = []
    for layer, kernel in enumerate(bottoms.kernels):
        if not bottoms.batch_norm:
            found.append((kernel[task].numpy(), bottoms.biases[layer][task, 0].numpy()))
            continue
        norm = bottoms.norms[layer]
        mean, variance = norm.moving_mean[task, 0].numpy(), norm.moving_variance[task, 0].numpy()
        scale = norm.gamma[task, 0].numpy() / np.sqrt(variance + 1e-5)
        found.append((kernel[task].numpy() * scale, norm.beta[task, 0].numpy() - mean * scale))
    return found


def randomize_all(layer: tf.Module, seed: int = 0) -> None:
    """Moving statistics too, variances above 0."""
    randomize(layer, seed)
    rng = np.random.default_rng(seed)
    for module in (layer, *layer.submodules):
        if hasattr(module, "moving_mean"):
            module.moving_mean.assign(rng.normal(size=module.moving_mean.shape))
            module.moving_variance.assign(rng.uniform(0.5, 2.0, module.moving_mean.shape))


@pytest.mark.parametrize("batch_norm", [True, False])
def test_equals_reference(batch_norm):
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    bottoms = TaskBottoms(num_tasks=3, units=[5, 2], batch_norm=batch_norm)
    bottoms(x)
    randomize_all(bottoms)
    expected = [
        [reference.mlp(row, folded_layers(bottoms, task)) for row in x] for task in range(3)
    ]
    np.testing.assert_allclose(bottoms(x), expected, rtol=1e-4, atol=1e-5)


def test_normalises_in_training_and_drops():
    bottoms = TaskBottoms(num_tasks=2, units=[50], batch_norm=True, dropout=0.5)
    x = tf.random.stateless_normal([40, 4], [0, 1], mean=3.0)
    outputs = bottoms(x, training=True).numpy()
    # Half of normal values are below 0, and half of the others are dropped.
    assert (outputs > 0).mean() == pytest.approx(0.25, abs=0.03)
    # E max(n, 0) of normal n is 0.4; what is kept is doubled.
    assert outputs.mean() == pytest.approx(0.4, abs=0.04)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_tasks": 0, "units": [1]}, "num_tasks: must be at least 1, got 0"),
        ({"num_tasks": 1, "units": []}, r"units: must be one or more widths .*, got \[\]"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        TaskBottoms(batch_norm=True, **arguments)

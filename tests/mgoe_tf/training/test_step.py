"""What a model has minimised beside the losses of the tasks."""

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.models.baselines.mmoe import MMoE
from mgoe_tf.models.registry import MODELS, build_model
from mgoe_tf.training.loop import timed_step
from mgoe_tf.training.optimizers import LazyAdam
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.step import TrainingStep
from mgoe_tf.training.trainer import make_step, make_strategy
from mgoe_tf.training.weighting import WEIGHTINGS, make_weighting
from tests.encoded_rows import as_tensors, make_spec, random_features, random_labels
from tests.model_options import OPTIONS

SPEC = make_spec()
COEFFICIENT = 0.3


class Penalised(MMoE):
    """MMoE, and 0.3 times the mean of the squared logits of the first task."""

    penalty_names = ("size",)

    def network_and_penalties(self, inputs, training=False):
        logits = super().network(inputs, training=training)
        return logits, {"size": COEFFICIENT * tf.reduce_mean(tf.square(logits["click"]))}


def batch(size: int):
    features, labels = random_features(SPEC, size), random_labels(SPEC, size)
    return as_tensors(features), as_tensors(labels)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(MODELS, "penalised", Penalised)


def make(name: str):
    tf.keras.utils.set_random_seed(0)
    return build_model(name, SPEC, OPTIONS["mmoe"])


def gradients_of(name: str, weighting: str, monkeypatch):
    """By name of the weight, the gradients of the first step, and what the step returns."""
    model = make(name)
    step = TrainingStep(
        model,
        LazyAdam(0.01),
        weighting=make_weighting(
            weighting,
            num_tasks=len(SPEC.task_names),
            tables=model.embeddings.variables,
            shared_weights=model.last_shared_weights,
        ),
    )
    found = {}

    def record(pairs):
        for gradient, weight in pairs:
            found[weight.name.split("/", 1)[-1]] = tf.convert_to_tensor(gradient).numpy()

    monkeypatch.setattr(step.optimizer, "apply_gradients", record)
    return found, step(batch(30))


@pytest.mark.parametrize("weighting", sorted(WEIGHTINGS))
def test_its_gradient_comes_on_top_of_that_of_the_tasks(weighting, monkeypatch):
    plain, _ = gradients_of("mmoe", weighting, monkeypatch)
    penalised, results = gradients_of("penalised", weighting, monkeypatch)
    model = make("penalised")
    features, _ = batch(30)
    with tf.GradientTape() as tape:
        penalty = COEFFICIENT * tf.reduce_mean(tf.square(model(features, training=True)["click"]))
    weights = model.trainable_variables
    for weight, gradient in zip(weights, tape.gradient(penalty, weights), strict=True):
        name = weight.name.split("/", 1)[-1]
        expected = 0.0 if gradient is None else tf.convert_to_tensor(gradient)
        np.testing.assert_allclose(
            penalised[name] - plain[name], expected, atol=2e-6, err_msg=weight.name
        )
    assert float(results["penalty_size"]) == pytest.approx(float(penalty), rel=1e-5)
    assert "penalty_size" in results


def test_it_is_no_part_of_the_losses_and_of_no_evaluation():
    step = TrainingStep(make("penalised"), LazyAdam(0.0))
    plain = TrainingStep(make("mmoe"), LazyAdam(0.0))
    expected, found = plain(batch(30)), step(batch(30))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6)
    step.task.forget()
    assert float(step.evaluate(batch(30))["penalty_size"]) == 0.0


def test_two_replicas_of_unequal_parts_minimise_the_mean_over_all_rows():
    def weights_of(distribution):
        options = TrainOptions(distribution=distribution, learning_rate=0.01)
        strategy = make_strategy(options)
        with strategy.scope():
            step = make_step(make("penalised"), options, num_steps=1)
        # 21 rows are 11 on one replica and 10 on the other.
        dataset = tf.data.Dataset.from_tensor_slices(batch(21)).batch(21)
        take = timed_step(step, strategy)
        take(iter(strategy.experimental_distribute_dataset(dataset)))
        return step.model.get_weights()

    for one, other in zip(weights_of("mirrored"), weights_of("one_device"), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-4)

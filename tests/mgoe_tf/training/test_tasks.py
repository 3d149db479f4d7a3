import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.tasks import MultiTask
from mgoe_tf.training.trainer import make_strategy
from tests import reference

NAMES = ("click", "buy")


def test_hand_worked():
    labels = {"click": tf.constant([1.0, 0.0, -1.0]), "buy": tf.constant([-1.0, -1.0, 0.0])}
    logits = {"click": tf.zeros([3]), "buy": tf.math.log(tf.constant([9.0, 9.0, 3.0]))}
    task = MultiTask(task_names=NAMES, task_weights=[1.0, 0.5])
    # click: mean of log 2, log 2; buy: the third row alone, -log(1 - 3/4) = log 4.
    # log 2 + 0.5 * log 4 = 2 log 2
    assert float(task(labels, logits)) == pytest.approx(2 * np.log(2), rel=1e-6)
    results = {name: float(value) for name, value in task.results().items()}
    assert results == pytest.approx(
        {"loss": 2 * np.log(2), "loss_click": np.log(2), "loss_buy": np.log(4)}, rel=1e-6
    )


def test_equals_reference_and_stays_finite():
    rng = np.random.default_rng(0)
    labels = {t: rng.choice([0.0, 1.0, -1.0], 20).astype(np.float32) for t in NAMES}
    logits = {t: rng.normal(0, 5, 20).astype(np.float32) for t in NAMES}
    task = MultiTask(task_names=NAMES, task_weights=[2.0, 3.0])
    expected = reference.loss(labels, logits, {"click": 2.0, "buy": 3.0})
    assert float(task(labels, logits)) == pytest.approx(expected, rel=1e-5)
    # log(1 + e^500) = 500, where sigmoid(500) in float32 is 1 and its logarithm infinite
    far = task({t: tf.zeros([1]) for t in NAMES}, {t: tf.constant([500.0]) for t in NAMES})
    assert float(far) == pytest.approx(2500.0)


def test_means_so_far_are_over_labelled_rows():
    task = MultiTask(task_names=("click",))
    task({"click": tf.constant([1.0])}, {"click": tf.constant([0.0])})
    task({"click": tf.constant([0.0, 0.0, -1.0])}, {"click": tf.math.log([3.0, 3.0, 99.0])})
    # (log 2 + 2 * log 4) / 3 = 5/3 log 2
    assert float(task.results()["loss_click"]) == pytest.approx(5 / 3 * np.log(2), rel=1e-6)


def test_a_task_without_labels_adds_nothing():
    labels = {"click": tf.constant([1.0]), "buy": tf.constant([-1.0])}
    logits = {t: tf.zeros([1]) for t in NAMES}
    assert float(MultiTask(task_names=NAMES)(labels, logits)) == pytest.approx(np.log(2))


def test_shares_of_replicas_sum_to_the_loss_of_the_whole_batch():
    rng = np.random.default_rng(0)
    labels = rng.choice([0.0, 1.0, -1.0], 10).astype(np.float32)
    logits = rng.normal(size=10).astype(np.float32)
    strategy = make_strategy(TrainOptions(distribution="mirrored"))
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        task = MultiTask(task_names=("click",))
    # Seven rows on one replica and three on the other: means of means would be wrong.
    parts = [slice(0, 7), slice(7, 10)]

    def values(array):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(array[parts[context.replica_id_in_sync_group]])
        )

    shares = strategy.run(
        lambda y, p: task({"click": y}, {"click": p}), args=(values(labels), values(logits))
    )
    total = float(strategy.reduce("sum", shares, axis=None))
    expected = reference.loss({"click": labels}, {"click": logits}, {"click": 1.0})
    assert total == pytest.approx(expected, rel=1e-5)
    assert float(task.results()["loss"]) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_by_task_by_hand():
    task = MultiTask(task_names=NAMES, label_smoothing=(0.2, 0.0))
    labels = {"click": tf.constant([1.0, -1.0]), "buy": tf.constant([1.0, 0.0])}
    logits = {name: tf.math.log(tf.constant([3.0, 3.0])) for name in NAMES}
    sums = task.sums_by_task(labels, logits)
    # click: y = 0.9, p = 3/4: -0.9 log(3/4) - 0.1 log(1/4); buy: -log(3/4) - log(1/4)
    expected = [-0.9 * np.log(0.75) - 0.1 * np.log(0.25), -np.log(0.75) - np.log(0.25)]
    np.testing.assert_allclose(sums, expected, rtol=1e-6)
    losses = task.losses(sums, task.count_labels(labels))
    np.testing.assert_allclose(losses, [expected[0], expected[1] / 2], rtol=1e-6)


def test_forgetting_begins_the_means_anew():
    task = MultiTask(task_names=("click",))
    task({"click": tf.constant([1.0])}, {"click": tf.constant([0.0])})
    task.forget()
    task({"click": tf.constant([0.0])}, {"click": tf.math.log([3.0])})
    assert float(task.results()["loss_click"]) == pytest.approx(np.log(4), rel=1e-6)


def test_refusals():
    with pytest.raises(ValueError, match=r"label_smoothing: must be one per task \(click, buy\)"):
        MultiTask(task_names=NAMES, label_smoothing=[0.1])
    with pytest.raises(ValueError, match=r"label_smoothing: must be in \[0, 1\), got \[0, 1\.5\]"):
        MultiTask(task_names=NAMES, label_smoothing=[0, 1.5])
    with pytest.raises(ValueError, match=r"task_weights: must be one per task \(click, buy\)"):
        MultiTask(task_names=NAMES, task_weights=[1.0])
    with pytest.raises(ValueError, match=r"must have \['buy'\], got \['click'\]"):
        MultiTask(task_names=NAMES)({"click": tf.zeros([1])}, {"click": tf.zeros([1])})

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.spec import Task
from mgoe_tf.models.baselines.esmm import ESMM, ESMMOptions, parents_of
from mgoe_tf.models.registry import build_model
from mgoe_tf.training.step import TrainingStep
from tests import reference
from tests.encoded_rows import as_tensors, make_spec, node_vectors, random_features, randomize
from tests.formula_weights import fill, values
from tests.mgoe_tf.layers.test_prediction_towers import layers_of as tower_of
from tests.mgoe_tf.layers.test_task_hierarchy import sigmoid
from tests.model_options import OPTIONS


def stacked(model, features) -> np.ndarray:
    logits = model(as_tensors(features))
    return np.stack([logits[task] for task in model.spec.task_names], axis=1)


def with_parents(*task_parents: str) -> ESMMOptions:
    return dataclasses.replace(OPTIONS["esmm"], task_parents=task_parents)


@pytest.mark.parametrize(
    ("task_parents", "ancestors"),
    [
        (("first",), [[], [0], [0]]),
        (("chain",), [[], [0], [0, 1]]),
        (("click:buy", "buy:like"), [[2, 1], [], [1]]),
        ((), [[], [], []]),
    ],
)
def test_equals_reference(task_parents, ancestors):
    model = build_model("esmm", make_spec(), with_parents(*task_parents))
    randomize(model, scale=0.4)
    features = random_features(model.spec, 7)
    tables = {name: table.numpy() for name, table in model.embeddings.tables.items()}
    expected = np.zeros((7, 3))
    for row in range(7):
        x = np.concatenate(list(node_vectors(model.spec, tables, features, row).values()))
        own = [sigmoid(reference.tower(x, tower_of(model.towers, task))) for task in range(3)]
        for task, above in enumerate(ancestors):
            expected[row, task] = np.prod([own[other] for other in (task, *above)])
    np.testing.assert_allclose(sigmoid(stacked(model, features)), expected, rtol=1e-3, atol=1e-6)


def levels(*numbers: int):
    names = [f"task_{n}" for n in range(len(numbers))]
    spec = make_spec(tuple(names))
    tasks = tuple(Task(name, level) for name, level in zip(names, numbers, strict=True))
    return dataclasses.replace(spec, tasks=tasks)


@pytest.mark.parametrize(
    ("rule", "numbers", "parents"),
    [
        ("first", (1, 2, 3, 4), (None, 0, 0, 0)),
        ("first", (1, 1, 2), (None, None, 0)),
        ("first", (1,), (None,)),
        ("chain", (1, 2, 3, 4), (None, 0, 1, 2)),
        # the last of the tasks of the level below
        ("chain", (1, 2, 2, 4), (None, 0, 0, 2)),
        ("chain", (5, 5), (None, None)),
    ],
)
def test_parents_by_rule(rule, numbers, parents):
    assert parents_of(levels(*numbers), (rule,)) == parents


def test_parents_by_name():
    assert parents_of(make_spec(), ("buy:click",)) == (None, None, 0)
    message = "--task_parents: must name tasks of click, like, buy, got clik, sale"
    with pytest.raises(ValueError, match=message):
        parents_of(make_spec(), ("buy:clik", "sale:click"))
    message = "--task_parents: must not go round in a circle, got buy:click,click:buy"
    with pytest.raises(ValueError, match=message):
        build_model("esmm", make_spec(), with_parents("buy:click", "click:buy"))


def test_a_child_without_its_parent_may_be_taught_as_not_done():
    # click -> like -> buy: what the click's label makes of the others goes on to the next
    rows = {"click": [0, 1, 0, -1, 1], "like": [1, 1, 0, 1, 0], "buy": [1, 1, -1, 1, 1]}
    labels = as_tensors({task: np.array(row, np.float32) for task, row in rows.items()})
    plain = build_model("esmm", make_spec(), with_parents("chain")).training_labels(labels)
    assert {task: label.numpy().tolist() for task, label in plain.items()} == rows
    options = dataclasses.replace(with_parents("chain"), enforce_parent_label=True)
    model = build_model("esmm", make_spec(), options)
    found = {task: label.numpy().tolist() for task, label in model.training_labels(labels).items()}
    assert found == {**rows, "like": [0, 1, 0, 1, 0], "buy": [0, 1, -1, 1, 0]}

    # The loss of training is by these, that of evaluation by the data's.
    features = as_tensors(random_features(model.spec, 5))
    training, evaluation = (
        TrainingStep(model).losses((features, labels), training=training)[0].numpy()
        for training in (True, False)
    )
    logits = {task: logit.numpy() for task, logit in model(features).items()}
    for losses, by in ((training, found), (evaluation, rows)):
        for number, task in enumerate(model.spec.task_names):
            label = np.array(by[task])
            each = np.log1p(np.exp(-np.where(label > 0, 1, -1) * logits[task]))
            assert losses[number] == pytest.approx(each[label >= 0].mean(), rel=1e-4)


def test_no_child_is_likelier_than_its_parent():
    model = build_model("esmm", make_spec(), with_parents("chain"))
    randomize(model)
    click, like, buy = stacked(model, random_features(model.spec, 300)).T
    assert (like <= click).all()
    assert (buy <= like).all()


def test_the_tower_of_the_parent_learns_from_the_label_of_the_child():
    model = build_model("esmm", make_spec(), OPTIONS["esmm"])
    features = as_tensors(random_features(model.spec, 50))
    with tf.GradientTape() as tape:
        logits = model(features, training=True)["buy"]
        loss = tf.nn.sigmoid_cross_entropy_with_logits(tf.ones_like(logits), logits)
    click, like, buy = tape.gradient(loss, model.towers.kernels[0]).numpy()
    assert np.abs(click).sum() > 0
    assert np.abs(buy).sum() > 0
    assert np.abs(like).sum() == 0


def test_parity_with_public_code():
    # By ESMM of torch-rechub 0.9.0 (torch 2.13.0) in float64, in evaluation mode, with its batch
    # normalisations at the identity (running variance 1 - eps): logits of its click, its click and
    # conversion, and its conversion given a click.
    model = ESMM(spec=make_spec(("click", "buy")), options=ESMMOptions(tower_units=(6, 3)))
    inputs = {"user": tf.constant(values(0, 4, 4)[:, :2]), "item": values(0, 4, 4)[:, 2:]}
    model.network(inputs)
    fill([*model.towers.kernels, *model.towers.biases])
    logits = model.network(inputs)
    click = [-0.912094, -0.637, -0.123334, -0.97153]
    both = [-1.27835, -0.800077, -0.93726, -1.314659]
    given_click = [1.153383, 2.155418, 0.40485, 1.214183]
    np.testing.assert_allclose([logits["click"], logits["buy"]], [click, both], atol=1e-5)
    explained = model.explain(inputs)["conditional_buy"]
    np.testing.assert_allclose(explained, sigmoid(np.array(given_click)), atol=1e-6)


def test_tells_conditional_probabilities():
    model = build_model("esmm", make_spec(), OPTIONS["esmm"])
    randomize(model, scale=0.4)
    features = as_tensors(random_features(model.spec, 5))
    probabilities = {task: tf.sigmoid(logit) for task, logit in model(features).items()}
    explained = model.explain(model.embed(features))
    assert set(explained) == {"conditional_click", "conditional_like", "conditional_buy"}
    np.testing.assert_allclose(
        explained["conditional_buy"] * probabilities["click"], probabilities["buy"], rtol=1e-4
    )
    found = model.diagnostics(features)
    np.testing.assert_allclose(
        found["conditional/buy"], np.mean(explained["conditional_buy"]), rtol=1e-6
    )


def test_shared_weights_are_those_of_a_single_root():
    model = build_model("esmm", make_spec(), OPTIONS["esmm"])
    assert model.last_shared_weights[0] is model.towers.kernels[-1]
    assert build_model("esmm", make_spec(), with_parents()).last_shared_weights == ()

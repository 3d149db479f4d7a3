import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.models.baselines.stem import STEM, STEMOptions
from mgoe_tf.models.registry import build_model
from tests import reference
from tests.encoded_rows import as_tensors, make_spec, node_vectors, random_features, randomize
from tests.formula_weights import assign_waves, wave
from tests.mgoe_tf.layers.test_mlp_experts import layers_of
from tests.mgoe_tf.layers.test_prediction_towers import layers_of as tower_of
from tests.mgoe_tf.layers.test_stem_layer import stem
from tests.model_options import OPTIONS


def make(spec=None, **changes) -> STEM:
    tf.keras.utils.set_random_seed(0)
    options = dataclasses.replace(OPTIONS["stem"], **changes)
    return build_model("stem", spec or make_spec(), options)


def stacked(model, features) -> np.ndarray:
    logits = model(as_tensors(features))
    return np.stack([logits[task] for task in model.spec.task_names], axis=1)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_equals_reference(num_layers):
    model = make(num_layers=num_layers)
    randomize(model, scale=0.5)
    features = random_features(model.spec, 7)
    # The columns of each stream, d = 3 of 4 * 3 of every table.
    tables = [
        {n: table.numpy()[:, 3 * k : 3 * k + 3] for n, table in model.embeddings.tables.items()}
        for k in range(4)
    ]
    expected = np.zeros((7, 3))
    for row in range(7):
        streams = [
            np.concatenate(list(node_vectors(model.spec, table, features, row).values()))
            for table in tables
        ]
        for layer in model.stem_layers:
            streams = stem(streams, layer, layer.shared_stream)
        expected[row] = [
            reference.tower(streams[task], tower_of(model.towers, task)) for task in range(3)
        ]
    np.testing.assert_allclose(stacked(model, features), expected, rtol=1e-3, atol=1e-4)


def table_gradient(model, task: str) -> np.ndarray:
    """By stream, the sizes of the gradient of a task's logits in the table of users: [T + 1]."""
    features = as_tensors(random_features(model.spec, 50))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(features, training=True)[task] ** 2)
    values = tape.gradient(total, model.embeddings.tables["user_id"]).values.numpy()
    return np.abs(values.reshape(len(values), 4, 3)).sum(axis=(0, 2))


def test_a_loss_is_exactly_absent_from_the_tables_of_other_tasks():
    model = make(num_layers=1)
    randomize(model, scale=0.5)
    for number, task in enumerate(model.spec.task_names):
        expected = [stream in (number, 3) for stream in range(4)]
        assert (table_gradient(model, task) != 0).tolist() == expected


def test_with_two_layers_the_shared_stream_carries_it_there():
    model = make(num_layers=2)
    randomize(model, scale=0.5)
    assert (table_gradient(model, "like") != 0).all()


def test_one_task_without_shared_experts_is_a_plain_mlp():
    model = make(make_spec(("click",)), num_layers=1, num_shared_experts=0)
    randomize(model, scale=0.5)
    features = random_features(model.spec, 5)
    tables = {name: table.numpy()[:, :3] for name, table in model.embeddings.tables.items()}
    layers = layers_of(model.stem_layers[0].own_experts, 0) + tower_of(model.towers, 0)
    expected = [
        reference.tower(
            np.concatenate(list(node_vectors(model.spec, tables, features, row).values())), layers
        )
        for row in range(5)
    ]
    np.testing.assert_allclose(stacked(model, features)[:, 0], expected, rtol=1e-3, atol=1e-4)


def test_tables_are_as_wide_as_all_their_streams():
    assert {t.dim for t in make().tables.values()} == {4 * 3}


def test_experts_differ_at_initialisation():
    layer = make().stem_layers[0]
    kernels = [*layer.own_experts.kernels[0].numpy(), *layer.shared_experts.kernels[0].numpy()]
    assert len({kernel.tobytes() for kernel in kernels}) == 5


def test_diagnostics_are_the_gates_of_each_layer():
    model = make(num_layers=2)
    found = model.diagnostics(as_tensors(random_features(model.spec, 5)))
    names = model.spec.task_names
    stages = ("layer_0_gates", "gates")
    weights = {f"{stage}/{task}" for stage in stages for task in names}
    assert set(found) == weights | {f"{s}_entropy/{task}" for s in stages for task in names}
    assert model.expert_names == ("own_click_0", "own_like_0", "own_buy_0", "shared_0", "shared_1")
    explained = model.explain(model.embed(as_tensors(random_features(model.spec, 5))))
    for task in names:
        mean = tf.reduce_mean(explained[f"gates_{task}"], axis=0)
        np.testing.assert_allclose(mean, found[f"gates/{task}"], rtol=1e-5)
    for name in weights:
        assert found[name].shape == [5]
        np.testing.assert_allclose(tf.reduce_sum(found[name]), 1.0, rtol=1e-5)


# By number of layers: logits of both tasks, and those after one step of gradient descent on the
# sum of the tasks' mean losses, at rate 0.1, of all weights and inputs. Made once by the public
# code of the authors (github.com/LiangcaiSu/STEM, models/STEM.py at 769e2af, PyTorch 2.13,
# float64), whose weights had the values of `wave` by the numbers that `weights_of` gives them.
PUBLISHED = {
    1: (
        [[-0.2934483, -0.2187467, 0.1196015, 1.2220051, -0.4810478],
         [2.3295323, 2.5868363, 0.2275228, -1.161755, -0.3509197]],
        [[-0.4790047, -0.169032, 0.0112272, 1.4841256, -0.5841201],
         [2.5321278, 0.3764843, 2.0948158, -1.4884893, -0.1230481]],
    ),
    2: (
        [[0.3971026, -0.0370046, 0.2821238, 1.0031867, 0.6138098],
         [0.7329882, 0.668349, 0.1986023, 0.8490197, 0.3610373]],
        [[-0.0992983, -0.100484, 0.1562682, 0.8512067, 0.4025356],
         [0.670177, 0.5666806, 0.1598716, 0.62002, 0.3283719]],
    ),
}  # fmt: skip


def weights_of(model: STEM) -> list[tf.Variable]:
    found = []
    for layer in model.stem_layers:
        for experts in (layer.own_experts, layer.shared_experts):
            found += [*experts.kernels, *experts.biases]
        kernels, biases = zip(*layer.gates.hidden, strict=True)
        found += [*kernels, layer.gates.kernel, *biases, layer.gates.bias]
    return [*found, *model.towers.kernels, *model.towers.biases]


@pytest.mark.parametrize("num_layers", [1, 2])
def test_equals_the_public_code(num_layers):
    options = STEMOptions(
        num_layers=num_layers, num_shared_experts=2, num_task_experts=1, expert_units=(4, 3),
        gate_units=(3,), tower_units=(3,),
    )  # fmt: skip
    model = STEM(spec=make_spec(("click", "buy")), options=options)
    x = tf.Variable(wave([3, 5, 6], 0.0, 2.0), dtype=tf.float32)
    model.network({"user": x})
    weights = weights_of(model)
    assert len({id(weight) for weight in weights}) == len(model.trainable_variables)
    assign_waves(weights)
    expected, expected_after = PUBLISHED[num_layers]
    labels = tf.constant([[(row + task) % 2 for row in range(5)] for task in range(2)], tf.float32)

    def logits():
        return tf.stack([*model.network({"user": tf.convert_to_tensor(x)}).values()])

    with tf.GradientTape() as tape:
        found = logits()
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, found)
        loss = tf.reduce_sum(tf.reduce_mean(losses, axis=1))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for weight, gradient in zip([*weights, x], tape.gradient(loss, [*weights, x]), strict=True):
        weight.assign_sub(0.1 * gradient)
    np.testing.assert_allclose(logits(), expected_after, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 0}, "--num_layers: must be at least 1, got 0"),
        ({"num_shared_experts": 0, "num_task_experts": 0}, "must be at least 1, got 0"),
        ({"gate_units": (0,)}, r"--gate_units: must be at least 1, got \[0\]"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        STEMOptions(**changes)

"""Networks that go on from states of nodes answer as the network that was trained."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.prediction_towers import PredictionTowers
from mgoe_tf.models.baselines.mmoe import MMoE
from mgoe_tf.models.mgoe import MGOE
from mgoe_tf.models.registry import MODELS, build_model
from tests.encoded_rows import as_tensors, make_spec, random_features, randomize
from tests.mgoe_tf.models.test_conformance import SPEC, assets_of
from tests.model_options import OPTIONS

USERS, CANDIDATES = 3, 4
SPLIT = {"aitm", "esmm", "mgoe", "mmoceg", "mmoe", "ple"}


def _of_nodes(model, owner, count, seed):
    """Encoded features of nodes, and what the model sums up of them."""
    features = as_tensors(random_features(model.spec, count, seed))
    return features, model.sums(model.bags(features, owners=(owner,)))


def _assert_equal(model) -> None:
    """Of rows without a graph too, which `random_features` begins with."""
    randomize(model, scale=0.3)
    users, user_sums = _of_nodes(model, "user", USERS, 0)
    items, item_sums = _of_nodes(model, "item", USERS * CANDIDATES, 1)
    owner_of = {name: model.spec.feature(name.split("/")[0]).owner for name in users}
    user_row = tf.repeat(tf.range(USERS), CANDIDATES)
    context, context_sums = _of_nodes(model, "context", USERS, 2)
    by_row = {name: tf.gather(value, user_row) for name, value in context.items()}
    features = {
        name: {"user": users, "item": items, "context": by_row}[owner][name]
        for name, owner in owner_of.items()
    }
    expected = model({**features, "user_row": user_row})
    network = model.node_network()
    user = {
        name: tf.transpose(value, [1, 0, 2]) if name in network.by_task else value
        for name, value in network.state("user", users, user_sums).items()
    }
    states = {}
    for name, value in network.state("item", items, item_sums).items():
        states[name] = tf.reshape(value, [USERS, CANDIDATES, *value.shape[1:]])
        if name in network.by_task:
            states[name] = tf.transpose(states[name], [2, 0, 1, 3])
    x_c = model.node_inputs("context", context, context_sums)
    # As it is served: sizes are not known when it is traced.
    call = tf.function(
        network.logits,
        input_signature=[_open(network, user, 1), _open(network, states, 2), _of(x_c)],
    )
    logits = call(user, states, x_c)
    assert logits.shape == [len(expected), USERS, CANDIDATES]
    for found, of_task in zip(logits, expected.values(), strict=True):
        np.testing.assert_allclose(tf.reshape(found, [-1]), of_task, rtol=1e-5, atol=1e-5)
    assert np.std(logits) > 0.01


def _open(network, states, open_axes):
    specs = {}
    for name, value in states.items():
        first = int(name in network.by_task)
        size = value.shape.as_list()
        size[first : first + open_axes] = [None] * open_axes
        specs[name] = tf.TensorSpec(size, value.dtype)
    return specs


def _of(x_c):
    return None if x_c is None else tf.TensorSpec([None, x_c.shape[1]])


@pytest.mark.parametrize("name", sorted(SPLIT))
def test_answers_are_those_of_the_network(name):
    model = build_model(name, SPEC, OPTIONS[name], assets_of(name, SPEC))
    model(model.zero_features())
    _assert_equal(model)


@pytest.mark.parametrize(
    "changes",
    [
        {"attention_query": "owner", "macro_match": False},
        {"macro_graph": False},
        {"micro_neighbors": False, "tower_units": ()},
        {"interactions": False, "cascade": False, "gate_temperature": 0.6},
        {"adjustment": False, "fusion_units": (7,), "num_shared_experts": 0},
        {"neighbor_features": False, "tower_units": (4, 3), "num_shared_experts": 1},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_answers_of_ablations_of_mgoe(changes):
    model = build_model("mgoe", SPEC, dataclasses.replace(OPTIONS["mgoe"], **changes), {})
    model(model.zero_features())
    _assert_equal(model)


def test_one_task_of_several_users():
    """Products of [users, 1, ...] and one matrix are wrong, or end the process, in oneDNN."""
    model = build_model("mgoe", make_spec(("click",)), OPTIONS["mgoe"], {})
    model(model.zero_features())
    _assert_equal(model)


@pytest.mark.parametrize("name", sorted(set(MODELS) - SPLIT))
def test_others_have_none(name):
    assert build_model(name, SPEC, OPTIONS[name], assets_of(name, SPEC)).node_network() is None


def test_what_was_changed_is_not_split_by_the_rules_of_what_it_was():
    class WithBias(MMoE):
        def network_inputs(self, features, sums):
            return {**super().network_inputs(features, sums)}

    assert WithBias(spec=SPEC, options=OPTIONS["mmoe"]).node_network() is None

    class Own(PredictionTowers):
        pass

    injected = Own(num_tasks=len(SPEC.tasks), units=[2])
    model = MGOE(spec=SPEC, options=OPTIONS["mgoe"], towers=injected)
    assert model.node_network() is None

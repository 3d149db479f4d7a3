import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.prediction_towers import PredictionTowers
from mgoe_tf.models.mgoe import MGOE
from mgoe_tf.models.registry import build_model
from mgoe_tf.training.optimizers import LazyAdam
from mgoe_tf.training.step import TrainingStep
from tests import reference
from tests.encoded_rows import (
    as_tensors,
    make_spec,
    node_vectors,
    random_features,
    randomize,
)
from tests.mgoe_tf.layers.test_macro_graph_experts import kernels_of
from tests.mgoe_tf.layers.test_mlp_experts import layers_of
from tests.mgoe_tf.layers.test_prediction_towers import layers_of as tower_of
from tests.model_options import OPTIONS

USED = [(0, 1, 2), (0, 1, 3), (0, 1, 4)]  # two shared experts, one of each of three tasks


# The tables that neighbours are looked up in, and how their encoded features end.
NEIGHBOR_COLUMNS = {
    "user": (("item_id", ""), ("category_id", "/category_id"), ("brand", "/brand")),
    "item": (("user_id", ""), ("gender", "/gender")),
}


def expected_logits(model: MGOE, features: dict[str, np.ndarray], row: int) -> np.ndarray:
    """Section 2 of the model from a row's features, by the reference."""
    options, tasks = model.options, model.spec.task_names
    tables = {name: table.numpy() for name, table in model.embeddings.tables.items()}
    targets = node_vectors(model.spec, tables, features, row)
    edges = {name: features[name][row] for name in reference.SETS}
    query_of = {"target": reference.NODES, "owner": reference.OWNER}[options.attention_query]
    outputs = []
    for index, task in enumerate(tasks):
        bottom = np.zeros(0)
        if options.macro_graph:
            bottom = reference.bottom(
                targets,
                edges,
                {k: z[index].numpy() for k, z in model.bottom.macro_embeddings.tables.items()},
                [kernels_of(model.bottom.experts, expert) for expert in USED[index]],
                model.bottom.gates.kernel[index].numpy(),
                options.temperature,
                query_of,
            )
        neighbors = {
            owner: np.concatenate(
                [
                    reference.neighbor_sum(
                        features[f"{owner}_neighbors_{task}{suffix}"][row],
                        features[f"{owner}_neighbor_weights_{task}"][row],
                        tables[table],
                        options.neighbor_weights,
                    )
                    for table, suffix in columns[: None if options.neighbor_features else 1]
                ]
            )
            for owner, columns in NEIGHBOR_COLUMNS.items()
        }
        if not options.micro_neighbors:  # of no width, nor have their products any
            neighbors = dict.fromkeys(NEIGHBOR_COLUMNS, np.zeros(0))
        outputs.append(
            reference.fusion(
                reference.fusion_input(
                    targets,
                    bottom,
                    neighbors,
                    options.interactions,
                    reference.macro_match(edges, options.temperature)
                    if options.interactions and options.macro_match and options.macro_graph
                    else (),
                ),
                [layers_of(model.fusion.experts, expert) for expert in USED[index]],
                model.fusion.gates.kernel[index].numpy(),
            )
        )
    towers = [tower_of(model.towers, index) for index in range(len(tasks))]
    if options.cascade:
        for index in range(1, len(tasks)):
            kernel, bias = towers[index][0]
            row_of_logit = model.towers.cascade_kernel[index - 1].numpy()
            towers[index][0] = (np.vstack([kernel, row_of_logit]), bias)
        logits = reference.cascade(outputs, towers, model.towers.theta.numpy())
    else:
        logits = np.array([reference.tower(o, t) for o, t in zip(outputs, towers, strict=True)])
    if options.adjustment and options.macro_graph:
        counts = features["task_table"][row].reshape(len(tasks), -1)
        advantage = reference.advantage(counts, features["item_macro"][row])
        logits = logits + model.adjustment.kappa.numpy() * advantage
    return logits


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cascade": False},
        {"adjustment": False},
        {"attention_query": "owner", "neighbor_weights": "one"},
        {"neighbor_features": False, "interactions": False},
        {"neighbor_features": False},
        {"macro_match": False},
        {"temperature": 0.5},
        {"micro_neighbors": False},
        {"macro_graph": False},
        {"micro_neighbors": False, "macro_graph": False, "interactions": False},
    ],
    ids=str,
)
def test_equals_reference(changes):
    model = build_model("mgoe", make_spec(), dataclasses.replace(OPTIONS["mgoe"], **changes))
    randomize(model)
    features = random_features(model.spec, 8)
    logits = model(as_tensors(features))
    found = np.stack([logits[task] for task in model.spec.task_names], axis=1)
    expected = np.stack([expected_logits(model, features, row) for row in range(8)])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_ablated_inputs_are_not_read():
    def read_without(**changes):
        options = dataclasses.replace(OPTIONS["mgoe"], **changes)
        model = build_model("mgoe", make_spec(("click", "buy")), options)
        names = set(model.feature_names)
        return model, {
            "neighbors": any("neighbor" in name for name in names),
            "edges": any("hop" in name for name in names),
            "lookup table": "task_table" in names or "item_macro" in names,
        }

    assert read_without()[1] == {"neighbors": True, "edges": True, "lookup table": True}
    model, read = read_without(micro_neighbors=False)
    assert read == {"neighbors": False, "edges": True, "lookup table": True}
    assert not any(lookup.by_task for lookup in model.lookups)
    model, read = read_without(macro_graph=False)
    assert read == {"neighbors": True, "edges": False, "lookup table": False}
    assert (model.bottom, model.macro_match, model.adjustment) == (None, None, None)
    assert not model.macro_embeddings()
    assert not model.explains
    with pytest.raises(NotImplementedError, match="MGOE explains nothing"):
        model.explain({})


def test_diagnostics_without_the_macro_graph():
    spec = make_spec(("click", "buy"))
    options = dataclasses.replace(OPTIONS["mgoe"], macro_graph=False)
    model = build_model("mgoe", spec, options)
    found = model.diagnostics(as_tensors(random_features(spec, 6)))
    assert set(found) == {
        *(
            f"{name}/{task}"
            for name in ("fusion_gates", "fusion_gates_entropy")
            for task in spec.task_names
        ),
        "theta/buy",
    }


def test_features_that_it_reads():
    names = build_model("mgoe", make_spec(("click", "buy")), OPTIONS["mgoe"]).feature_names
    assert names == (
        *("user_id", "interests", "user_age", "user_activity", "gender"),
        *("item_id", "tags", "price", "quality", "category_id", "brand"),
        *("shown_brands", "device", "hour", "position"),
        *("user_1hop", "user_2hop", "item_1hop", "item_2hop"),
        *("task_table", "item_macro"),
        *("user_neighbors_click", "user_neighbors_buy"),
        *("user_neighbor_weights_click", "user_neighbor_weights_buy"),
        *("item_neighbors_click", "item_neighbors_buy"),
        *("item_neighbor_weights_click", "item_neighbor_weights_buy"),
    )
    options = dataclasses.replace(OPTIONS["mgoe"], adjustment=False)
    assert not {"task_table", "item_macro"} & set(
        MGOE(spec=make_spec(), options=options).feature_names
    )


def test_stages_are_injected():
    spec = make_spec()
    towers = PredictionTowers(num_tasks=3, units=[7])
    model = MGOE(spec=spec, options=OPTIONS["mgoe"], towers=towers)
    assert model.towers is towers
    model(model.zero_features())
    assert towers.kernels[0].shape == (3, 5, 7)


def test_only_warm_rows_are_adjusted():
    model = build_model("mgoe", make_spec(), OPTIONS["mgoe"])
    features = random_features(model.spec, 6)
    cold = {**features, "item_macro": np.full(6, -1)}
    model.adjustment.kappa.assign([5.0, 5.0, 5.0])
    warm_logits, cold_logits = model(as_tensors(features)), model(as_tensors(cold))
    for task in model.spec.task_names:
        moved = np.abs(warm_logits[task] - cold_logits[task]) > 1e-6
        np.testing.assert_array_equal(moved & (features["item_macro"] < 0), False)
        assert moved.any()


def test_padding_of_neighbour_lists_changes_nothing():
    model = build_model("mgoe", make_spec(), OPTIONS["mgoe"])
    features = random_features(model.spec, 6)
    padded = {
        name: np.concatenate([array, np.zeros_like(array[:, :2])], axis=1)
        if "neighbor" in name
        else array
        for name, array in features.items()
    }
    logits, padded_logits = model(as_tensors(features)), model(as_tensors(padded))
    for task in model.spec.task_names:
        np.testing.assert_allclose(padded_logits[task], logits[task], rtol=1e-6)


def test_diagnostics():
    spec = make_spec(("click", "buy"))
    model = build_model("mgoe", spec, OPTIONS["mgoe"])
    found = model.diagnostics(as_tensors(random_features(spec, 6)))
    sets = ("user_1hop", "user_2hop", "item_1hop", "item_2hop")
    assert set(found) == {
        *(f"alpha/{name}" for name in sets),
        *(f"attention/{task}/{name}" for task in spec.task_names for name in sets),
        *(
            f"{kind}/{task}"
            for kind in (
                *("gates", "fusion_gates", "gates_entropy", "fusion_gates_entropy"),
                "kappa",
            )
            for task in spec.task_names
        ),
        "theta/buy",
    }
    for name, value in found.items():
        if name.split("/")[0] in ("alpha", "attention", "gates", "fusion_gates"):
            assert float(tf.reduce_sum(value)) == pytest.approx(1.0, rel=1e-5), name
    for name in ("gates_entropy/click", "fusion_gates_entropy/buy"):
        assert 0.0 < float(found[name]) <= 1.0
    assert float(found["theta/buy"]) == 1.0
    assert float(found["kappa/click"]) == pytest.approx(0.1)


def test_macro_attention_survives_the_l2_penalty():
    model = build_model("mgoe", make_spec(), OPTIONS["mgoe"])
    # A penalty far above the gradients of the data moves every other weight towards 0.
    step = TrainingStep(model, LazyAdam(0.05, l2=10.0))
    features = as_tensors(random_features(model.spec, 16))
    labels = {task: tf.ones([16]) for task in model.spec.task_names}
    for _ in range(60):
        step((features, labels))
    assert float(tf.reduce_max(tf.abs(model.fusion.experts.kernels[0]))) < 0.1
    for kernel in model.bottom.experts.score_kernels:
        assert float(tf.reduce_max(tf.abs(kernel))) > 0.3

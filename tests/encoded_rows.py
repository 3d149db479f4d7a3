"""A small data set spec, and encoded features and labels as `IdLookup` gives them."""

import numpy as np
import tensorflow as tf

from input_pipeline.feature import Feature, Transform, Vocabulary
from input_pipeline.features.provider import LogFacts
from input_pipeline.features.registry import describe_features
from input_pipeline.spec import DatasetSpec, Task
from mgoe_tf.layers.id_lookup import neighbor_side_features, side_feature_of
from tests import reference


def neighbor_lists(owner: str, dtype: str) -> tuple[Feature, Feature]:
    """At most three neighbours by task `click` with their weights."""
    return (
        Feature(
            f"{owner}_neighbors_click", owner, "neighbors", dtype, 3, ragged=True,
            vocabulary="item_id" if owner == "user" else "user_id", task="click",
        ),
        Feature(
            f"{owner}_neighbor_weights_click", owner, "neighbor_weights", "float", 3, ragged=True,
            task="click", aligned_with=f"{owner}_neighbors_click", bounds=(0.0, None),
        ),
    )  # fmt: skip


def _more_features(num_tasks: int) -> tuple[Feature, ...]:
    """Of each owner lists of ids and numbers, of the context single ids too."""
    unknown = -(2**63)
    size = num_tasks + 2
    activity = Transform("standard", tuple(range(size)), tuple(range(1, size + 1)))
    return (
        Feature("interests", "user", "side", "int64", 3, ragged=True,
                vocabulary="interests", missing=unknown),
        Feature("tags", "item", "side", "bytes", 4, ragged=True, vocabulary="tags", missing=""),
        Feature("user_age", "user", "numeric", "float",
                transform=Transform("standard", (2.0,), (4.0,)), missing="nan", optional=True),
        Feature("user_activity", "user", "numeric", "float", size,
                transform=activity, missing=-1.0),
        Feature("price", "item", "numeric", "float", missing="nan", optional=True,
                transform=Transform("log", (1.5,), (0.5,), True)),
        Feature("quality", "item", "numeric", "float",
                transform=Transform("none"), missing="nan", optional=True),
        Feature("shown_brands", "context", "side", "bytes", 2, ragged=True,
                vocabulary="brand", missing=""),
        Feature("device", "context", "side", "bytes", vocabulary="device", missing=""),
        Feature("hour", "context", "side", "int64", vocabulary="hour", missing=unknown),
        Feature("position", "context", "numeric", "float", missing="nan", optional=True,
                transform=Transform("standard", (3.0,), (2.0,), True)),
    )  # fmt: skip


def make_spec(tasks: tuple[str, ...] = ("click", "like", "buy")) -> DatasetSpec:
    """Unequal sizes everywhere, features of all kinds and owners, ids of both types."""

    def column(name: str, dtype: str, owner: str, size: int) -> Vocabulary:
        return Vocabulary(name, dtype, owner, size, (size, size, size), size, checksum="")

    vocabularies = (
        column("user_id", "int64", "user", 9),
        column("item_id", "bytes", "item", 11),
        column("gender", "int64", "user", 2),
        column("category_id", "int64", "item", 3),
        column("brand", "bytes", "item", 4),
    )
    more = (
        column("interests", "int64", "user", 6),
        column("tags", "bytes", "item", 5),
        column("device", "bytes", "context", 3),
        column("hour", "int64", "context", 7),
    )
    facts = LogFacts(
        tasks=tasks,
        vocabularies={vocabulary.name: vocabulary for vocabulary in vocabularies},
        num_macro_nodes={"user": 4, "item": 5},
        max_neighbors=3,
        has_clock=True,
    )
    features = describe_features(facts)
    return DatasetSpec(
        source="csv",
        rows="pairs",
        split="time",
        timestamp_unit="s",
        tasks=tuple(Task(name, level) for level, name in enumerate(tasks, start=1)),
        vocabularies=(*vocabularies, *more),
        # Lists come before single ids here, which they do not in x.
        features=(*features[:2], *_more_features(len(tasks)), *features[2:]),
        num_user_macro_nodes=4,
        num_item_macro_nodes=5,
        max_neighbors=3,
        cuts=(0.5, 0.8, 0.9),
        cut_times=(5.0, 8.0, 9.0),
        counts={},
        source_files=(),
        flags={"min_count": 1, "beta": 1.0},
    )


def random_features(spec: DatasetSpec, batch_size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Encoded input features: row 0 is unknown, cold and without history."""
    rng = np.random.default_rng(seed)
    sizes = {v.name: v.embedded + 1 for v in spec.vocabularies}
    features = {}
    for feature in spec.input_features:
        shape = (batch_size, *feature.shape)
        if feature.role == "macro_id":
            nodes = {"user": spec.num_user_macro_nodes, "item": spec.num_item_macro_nodes}
            values = rng.integers(-1, nodes[feature.owner], shape)
        elif feature.role == "graph_cut":
            values = rng.integers(0, len(spec.cuts) + 2, shape)
        elif feature.role == "graph_node":
            # without rare ids, the row of an id is its node's number
            values = features[f"{feature.owner}_id"].astype(np.int64)
        elif feature.role == "numeric":
            values = rng.normal(2.0, 3.0, shape).astype(np.float32)
            values[rng.random(shape) < (0.2 if feature.optional else 0.0)] = np.nan
        elif feature.dtype == "float":
            values = rng.poisson(1.0, shape).astype(np.float32)
            if feature.ragged:
                # Neighbours come first, then padding.
                values = -np.sort(-values, axis=1)
        else:
            values = rng.integers(0, sizes[feature.vocabulary], shape).astype(np.int32)
            if feature.role == "side" and feature.ragged:
                lengths = rng.integers(0, feature.length + 1, (batch_size, 1))
                values[np.arange(feature.length) >= lengths] = -1
        if batch_size > 1:
            none = {"macro_id": -1, "numeric": feature.filler, "side": feature.encoded_filler}
            values[0] = none.get(feature.role, 0)
        features[feature.name] = values
        for side in neighbor_side_features(spec, feature):
            rows = rng.integers(0, sizes[side], shape).astype(np.int32)
            features[side_feature_of(feature.name, side)] = rows
    return features


# What x is made of: tables with a row, tables with a list of rows, numbers.
INPUTS = {
    "user": (("user_id", "gender"), ("interests",), ("user_age", "user_activity")),
    "item": (("item_id", "category_id", "brand"), ("tags",), ("price", "quality")),
    "context": (("device", "hour"), ("shown_brands",), ("position",)),
}


def node_vectors(
    spec: DatasetSpec, tables: dict[str, np.ndarray], features: dict[str, np.ndarray], row: int
) -> dict[str, np.ndarray]:
    """x_u, x_i and x_c of a row, by the reference."""
    shared = {"shown_brands": "brand"}
    vectors = {}
    for owner, (ids, lists, numbers) in INPUTS.items():
        transforms = [spec.feature(name).transform for name in numbers]
        vectors[owner] = np.concatenate(
            [
                *(tables[name][features[name][row]] for name in ids),
                *(
                    reference.mean_embedding(features[name][row], tables[shared.get(name, name)])
                    for name in lists
                ),
                *(
                    reference.numbers(
                        features[name][row], t.kind, t.mean, t.deviation, t.has_missing
                    )
                    for name, t in zip(numbers, transforms, strict=True)
                ),
            ]
        )
    return vectors


def random_labels(spec: DatasetSpec, batch_size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Labels 0, 1 and, for some rows, none."""
    rng = np.random.default_rng(seed + 1000)
    return {
        task: rng.choice([0.0, 1.0, -1.0], batch_size, p=[0.6, 0.3, 0.1]).astype(np.float32)
        for task in spec.task_names
    }


def as_tensors(arrays: dict[str, np.ndarray]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array) for name, array in arrays.items()}


def randomize(layer: tf.Module, seed: int = 0, scale: float = 0.7) -> None:
    """Gives every weight, biases and scalars included, a random value."""
    rng = np.random.default_rng(seed)
    for weight in layer.trainable_variables:
        weight.assign(rng.normal(0.0, scale, weight.shape))

"""A small data set spec, and encoded features and labels as `IdLookup` gives them."""

import numpy as np
import tensorflow as tf

from input_pipeline.feature import Feature, Vocabulary
from input_pipeline.features.provider import LogFacts
from input_pipeline.features.registry import describe_features
from input_pipeline.spec import DatasetSpec, Task
from mgoe_tf.config import ModelOptions
from mgoe_tf.layers.id_lookup import neighbor_side_features, side_feature_of

OPTIONS = ModelOptions(
    embedding_dim=3,
    num_shared_experts=2,
    num_task_experts=1,
    head_units=4,
    fusion_units=(6, 5),
    tower_units=(4,),
    mmoe_experts=3,
    mmoe_expert_units=(6, 5),
    temperature=0.7,
)


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


def make_spec(tasks: tuple[str, ...] = ("click", "like", "buy")) -> DatasetSpec:
    """Unequal sizes everywhere, one side feature of each owner, ids of both types."""

    def column(name: str, dtype: str, owner: str, size: int) -> Vocabulary:
        return Vocabulary(name, dtype, owner, size, (size, size, size), size, checksum="")

    vocabularies = (
        column("user_id", "int64", "user", 9),
        column("item_id", "bytes", "item", 11),
        column("gender", "int64", "user", 2),
        column("category_id", "int64", "item", 3),
        column("brand", "bytes", "item", 4),
    )
    facts = LogFacts(
        tasks=tasks,
        vocabularies={vocabulary.name: vocabulary for vocabulary in vocabularies},
        num_macro_nodes={"user": 4, "item": 5},
        max_neighbors=3,
        has_clock=True,
    )
    return DatasetSpec(
        source="csv",
        rows="pairs",
        split="time",
        timestamp_unit="s",
        tasks=tuple(Task(name, level) for level, name in enumerate(tasks, start=1)),
        vocabularies=vocabularies,
        features=describe_features(facts),
        num_user_macro_nodes=4,
        num_item_macro_nodes=5,
        max_neighbors=3,
        cuts=(0.5, 0.8, 0.9),
        cut_times=(5.0, 8.0, 9.0),
        counts={},
        source_files=(),
        flags={},
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
        elif feature.dtype == "float":
            values = rng.poisson(1.0, shape).astype(np.float32)
            if feature.ragged:
                # Neighbours come first, then padding.
                values = -np.sort(-values, axis=1)
        else:
            values = rng.integers(0, sizes[feature.vocabulary], shape).astype(np.int32)
        if batch_size > 1:
            values[0] = -1 if feature.role == "macro_id" else 0
        features[feature.name] = values
        for side in neighbor_side_features(spec, feature):
            rows = rng.integers(0, sizes[side], shape).astype(np.int32)
            features[side_feature_of(feature.name, side)] = rows
    return features


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

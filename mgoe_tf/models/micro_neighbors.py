"""The features that hold micro neighbours."""

from __future__ import annotations

from input_pipeline.feature import Feature
from input_pipeline.spec import DatasetSpec


def neighbor_lists(spec: DatasetSpec, owner: str) -> tuple[Feature, ...]:
    """The lists of neighbours of a `user` or an `item`, in task order."""
    by_task = {feature.task: feature for feature in spec.select(owner, "neighbors")}
    return tuple(by_task[task] for task in spec.task_names)


def neighbor_weights(spec: DatasetSpec, owner: str) -> tuple[Feature, ...]:
    """The weights of each of `neighbor_lists`."""
    weights = {f.aligned_with: f for f in spec.select(owner, "neighbor_weights")}
    return tuple(weights[feature.name] for feature in neighbor_lists(spec, owner))

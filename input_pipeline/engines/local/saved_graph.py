"""What a data set directory keeps of its latest graph, for graphs that go on from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from input_pipeline.feature import NODES
from input_pipeline.features.registry import empty_tables
from input_pipeline.files import filesystem
from input_pipeline.files.json_file import read_json
from input_pipeline.graph.macro_nodes import Grouping
from input_pipeline.graph.node_table import DenseColumn, ListColumn, NodeTable, load
from input_pipeline.graph.projection import Placement, Projection, RowPlacement
from input_pipeline.spec import DatasetSpec


def load_tables(folder: str, spec: DatasetSpec) -> dict[str, NodeTable]:
    """By owner, the tables of all nodes in a graph's folder."""
    tables: dict[str, NodeTable] = {}
    for owner, template in empty_tables(spec.features).items():
        tables[owner] = {}
        for name, column in template.items():
            missing: Any = column.missing if isinstance(column, DenseColumn) else 0
            tables[owner][name] = load(
                folder, name, is_list=isinstance(column, ListColumn), missing=missing
            )
    return tables


def load_groupings(data_dir: str, tables: Mapping[str, NodeTable]) -> dict[str, Grouping]:
    """By owner, the grouping of a data set, with the members that macro nodes have in `tables`."""
    path = filesystem.join(data_dir, "graph", "latest", "graph.json")
    told = read_json(path, "Without it no day can be added: prepare the data set again")
    groupings = {}
    for owner in NODES:
        macro = tables[owner][f"{owner}_macro"]
        assert isinstance(macro, DenseColumn)
        of_owner = told[owner]
        groupings[owner] = Grouping(
            macro=macro.values,
            centroids=filesystem.load_array(
                filesystem.join(data_dir, "graph", f"{owner}_centroids.npy")
            ),
            inertia=of_owner["weighted_inertia"],
            baseline=of_owner["baseline"],
            theta_high=of_owner["theta_high"],
            theta_low=of_owner["theta_low"],
        )
    return groupings


def load_placements(
    data_dir: str, spec: DatasetSpec, groupings: Mapping[str, Grouping]
) -> dict[str, Placement]:
    """By owner, where later nodes are placed."""
    if spec.flags["grouping"] == "spectral":
        arrays = filesystem.load_arrays(filesystem.join(data_dir, "graph", "projection.npz"))
        projection = Projection.of_arrays(arrays, spec.flags["grouping_power"])
        return {owner: projection.placement(owner) for owner in NODES}
    return {o: RowPlacement.of_width(groupings[o].centroids.shape[1]) for o in NODES}

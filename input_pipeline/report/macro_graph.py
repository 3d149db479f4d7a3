"""The macro graph of all events, as reports show it."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from input_pipeline.feature import Feature
from input_pipeline.files import filesystem
from input_pipeline.spec import DatasetSpec


@dataclasses.dataclass(frozen=True)
class MacroGraph:
    """Groups and edges of the graph at the end of the log.

    Attributes:
      macro: by owner, the macro node of each node, -1 for cold ones.
      edges: of users to the macro nodes of items, [U, K_I].
      num_macro_nodes: K_U and K_I, by owner.
    """

    macro: dict[str, NDArray[Any]]
    edges: NDArray[Any]
    num_macro_nodes: dict[str, int]

    @classmethod
    def read(cls, spec: DatasetSpec, data_dir: str) -> MacroGraph:
        """Reads `graph/latest` of a data set directory."""
        folder = filesystem.join(data_dir, "graph", "latest")

        def column(feature: Feature) -> NDArray[Any]:
            return filesystem.load_array(filesystem.join(folder, f"{feature.column}.npy"))

        (edges,) = (f for f in spec.select("user", "macro_edges") if f.macro_nodes == "item")
        return cls(
            {feature.owner: column(feature) for feature in spec.select(role="macro_id")},
            column(edges),
            {"user": spec.num_user_macro_nodes, "item": spec.num_item_macro_nodes},
        )

    @functools.cached_property
    def lift(self) -> NDArray[Any]:
        """log2 of tie strength over expected tie strength, [K_U, K_I]; NaN where there is none."""
        macro = self.macro["user"]
        ties = np.zeros((self.num_macro_nodes["user"], self.num_macro_nodes["item"]))
        np.add.at(ties, macro[macro >= 0], self.edges[macro >= 0])
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = ties.sum(1, keepdims=True) * ties.sum(0, keepdims=True) / ties.sum()
            return np.where(ties > 0, np.log2(ties / expected), np.nan)


def read_degrees(data_dir: str) -> dict[str, NDArray[Any]]:
    """By owner, how many nodes of the other side each node is tied to at the end of the log."""
    path = filesystem.join(data_dir, "graph", "latest", "merging_matrix.npz")
    with filesystem.open_binary(path) as file:
        matrix = sparse.load_npz(file)
    return {
        "user": np.diff(matrix.indptr),
        "item": np.bincount(matrix.indices, minlength=matrix.shape[1]),
    }

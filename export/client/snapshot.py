"""Raw ids to features: the join that a caller of `serving_default` makes, with NumPy alone.

Axes: N nodes, K macro nodes, T tasks, L neighbours.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.client.node_values import NodeLists
from input_pipeline.feature import Feature
from input_pipeline.files import filesystem, stored
from input_pipeline.log import vocabulary
from input_pipeline.log.raw_ids import IdIndex, RawIds, as_array
from input_pipeline.spec import read_spec


class GraphSnapshot:
    """The features of users and items in one graph of a data set directory.

    A node that the graph does not know is cold: zero edges, macro node -1, no neighbours, unknown
      side features.

    Args:
      data_dir: a prepared data set, local or remote.
      snapshot: a folder of its `graph/`: `latest`, or the number of a cut.
    """

    def __init__(self, data_dir: str, snapshot: str = "latest") -> None:
        self.data_dir = data_dir
        self._folder = filesystem.join(data_dir, "graph", snapshot)
        self.spec = read_spec(data_dir)
        if not filesystem.exists(filesystem.join(self._folder, "graph.json")):
            raise ValueError(f"snapshot: {data_dir!r} has no graph {snapshot!r}")
        self._column = functools.cache(self._read_column)
        self._ids = functools.cache(self._read_ids)
        self._index = functools.cache(self._make_index)
        self._lists = functools.cache(self._read_lists)

    def _read_column(self, name: str) -> NDArray[Any]:
        return stored.load_array(filesystem.join(self._folder, f"{name}.npy"))

    def _macro(self, owner: str) -> NDArray[Any]:
        return self._column(self.spec.select(owner, "macro_id")[0].column)

    def _read_ids(self, name: str) -> RawIds:
        return vocabulary.read_ids(self.data_dir, self.spec, name)

    def _make_index(self, name: str) -> IdIndex:
        return IdIndex(self._ids(name))

    def rows(self, owner: str, ids: NDArray[Any]) -> NDArray[Any]:
        """The rows [N] in the graph of raw ids [N], -1 where it does not know them."""
        rows = self._index(f"{owner}_id").rows(ids)
        return np.where(rows < len(self._macro(owner)), rows, -1)

    def known_ids(self, owner: str) -> RawIds:
        """The raw ids that the graph knows, in order of first appearance."""
        return self._ids(f"{owner}_id")[: len(self._macro(owner))]

    def all_ids(self, owner: str) -> RawIds:
        """The raw ids of the vocabulary, those included that came after the graph's cut."""
        return self._ids(f"{owner}_id")

    def popular_items(self, count: int) -> NDArray[Any]:
        """The `count` raw ids of largest total score in the graph, ties to the earlier item."""
        edges = self.spec.select("item", "macro_edges")[0]
        total = self._column(edges.column).sum(axis=1, dtype=np.float64)
        return as_array(self._ids("item_id")[np.argsort(-total, kind="stable")[:count]])

    def features(
        self, owner: str, ids: NDArray[Any], names: Sequence[str]
    ) -> dict[str, NDArray[Any]]:
        """The features of `owner` (user or item) among `names`, first axis N, for raw ids [N]."""
        rows = self.rows(owner, ids)
        return {
            feature.name: ids if feature.role == "id" else self._values(rows, feature)
            for feature in self.spec.select(owner)
            if feature.name in names
        }

    def stored(self, feature: Feature, start: int, stop: int) -> NDArray[Any] | NodeLists:
        """A feature of the nodes that the graph knows, of rows from `start` to `stop`."""
        if not feature.ragged:
            return self._values(np.arange(start, stop), feature)
        lists = self._lists(feature.column)
        bounds = lists["indptr"][start : stop + 1]
        part = slice(bounds[0], bounds[-1])
        if feature.vocabulary is None:
            entries: NDArray[Any] = lists["weights"][part].astype(np.float32, copy=False)
        else:
            entries = as_array(self._ids(feature.vocabulary)[lists["rows"][part]])
        return NodeLists(np.diff(bounds), entries)

    def missing(self, owner: str, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """The features of `owner` among `names`, [1, ...], as they read where there are none."""
        nobody = np.full(1, -1)
        return {
            feature.name: self._values(nobody, feature)
            for feature in self.spec.select(owner)
            if feature.name in names
        }

    def _values(self, rows: NDArray[Any], feature: Feature) -> NDArray[Any]:
        """Raw values [N, ...] of nodes, of row -1 what the feature says of missing ones."""
        kind: Any = {"float": np.float32, "int64": np.int64, "bytes": np.object_}[feature.dtype]
        if (rows < 0).all():
            return np.full((len(rows), *feature.shape), feature.filler, kind)
        ids = None if feature.vocabulary is None else self._ids(feature.vocabulary)
        if not feature.ragged:
            column = self._column(feature.column)
            known = column[rows[rows >= 0]]
            found = np.full((len(rows), *feature.shape), feature.filler, kind)
            if ids is not None:
                place, known = known, np.full(len(known), feature.filler, kind)
                known[place >= 0] = as_array(ids[place[place >= 0]])
            found[rows >= 0] = known.reshape(len(known), *feature.shape)
            return found
        lists = self._lists(feature.column)
        start, end = (np.where(rows >= 0, lists["indptr"][rows + n], 0) for n in (0, 1))
        # [N, L]
        position = start[:, None] + np.arange(*feature.shape)
        held = position < end[:, None]
        found = np.full(held.shape, feature.filler, kind)
        entries = lists["weights" if ids is None else "rows"][position[held]]
        found[held] = entries if ids is None else as_array(ids[entries])
        return found

    def _read_lists(self, name: str) -> dict[str, NDArray[Any]]:
        return stored.load_arrays(filesystem.join(self._folder, f"{name}.npz"))

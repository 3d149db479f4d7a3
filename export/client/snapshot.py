"""Raw ids to features: the join that a caller of `serving_default` makes, with NumPy alone.

Axes: N nodes, K macro nodes, T tasks, L neighbours.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.files import filesystem
from input_pipeline.log import vocabulary
from input_pipeline.spec import SPEC_FILE, DatasetSpec, Feature

_UNKNOWN_INT64 = np.iinfo(
    np.int64
).min  # what a cold node's side feature is, of which nothing is known


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
        path = filesystem.join(data_dir, SPEC_FILE)
        if not filesystem.exists(path):
            raise ValueError(
                f"data_dir: {data_dir!r} is not a data set directory, it has no {SPEC_FILE}"
            )
        self.spec = DatasetSpec.from_json(filesystem.read_text(path), path)
        if not filesystem.exists(filesystem.join(self._folder, "graph.json")):
            raise ValueError(f"snapshot: {data_dir!r} has no graph {snapshot!r}")
        self._array = functools.cache(self._read_array)
        self._ids = functools.cache(self._read_ids)
        self._sorted_ids = functools.cache(self._sort_ids)
        self._neighbor_lists = functools.cache(self._read_neighbor_lists)

    def _read_array(self, name: str) -> NDArray[Any]:
        return filesystem.load_array(filesystem.join(self._folder, f"{name}.npy"))

    def _read_ids(self, name: str) -> NDArray[Any]:
        return vocabulary.read_ids(self.data_dir, self.spec, name)

    def _sort_ids(self, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        ids = self._ids(name)
        order = np.argsort(ids, kind="stable")
        return order, ids[order]

    def parse_ids(self, owner: str, texts: Sequence[str]) -> NDArray[Any]:
        """Ids as text to an array of the column's type, [N]: int64, or object of bytes."""
        if self.spec.vocabulary(f"{owner}_id").dtype == "bytes":
            return np.array([text.encode() for text in texts], dtype=object)
        try:
            return np.array([int(text) for text in texts], dtype=np.int64)
        except (ValueError, OverflowError):
            raise ValueError(
                f"{owner}_id: must be integers within int64, as in the data set, got {list(texts)}"
            ) from None

    def rows(self, owner: str, ids: NDArray[Any]) -> NDArray[np.int64]:
        """The rows [N] in the graph of raw ids [N], -1 where it does not know them."""
        order, ascending = self._sorted_ids(f"{owner}_id")
        place = np.minimum(np.searchsorted(ascending, ids), len(order) - 1)
        rows: NDArray[np.int64] = np.where(ascending[place] == ids, order[place], -1)
        rows[rows >= len(self._array(f"{owner}_macro"))] = -1  # it comes after the graph's cut
        return rows

    def known_ids(self, owner: str) -> NDArray[Any]:
        """The raw ids that the graph knows, in order of first appearance."""
        return self._ids(f"{owner}_id")[: len(self._array(f"{owner}_macro"))]

    def all_ids(self, owner: str) -> NDArray[Any]:
        """The raw ids of the vocabulary, those included that came after the graph's cut."""
        return self._ids(f"{owner}_id")

    def popular_items(self, count: int) -> NDArray[Any]:
        """The `count` raw ids of largest total score in the graph, ties to the earlier item."""
        total = self._array("item_1hop").sum(axis=1, dtype=np.float64)
        order: NDArray[np.int64] = np.argsort(-total, kind="stable")
        ids: NDArray[Any] = self._ids("item_id")[order[:count]]
        return ids

    def features(
        self, owner: str, ids: NDArray[Any], names: Sequence[str]
    ) -> dict[str, NDArray[Any]]:
        """The features of `owner` (user or item) among `names`, first axis N, for raw ids [N]."""
        rows = self.rows(owner, ids)
        return {
            feature.name: ids
            if feature.name == f"{owner}_id"
            else self._feature(owner, rows, feature)
            for feature in self.spec.node_features(owner)
            if feature.name in names
        }

    def _feature(self, owner: str, rows: NDArray[Any], feature: Feature) -> NDArray[Any]:
        name = feature.name
        if feature.ragged:
            return self._neighbors(owner, rows, feature)
        if name in self.spec.side_features(owner):
            unknown = _UNKNOWN_INT64 if feature.dtype == "int64" else b""
            values = np.append(self._ids(name), unknown)  # row -1 is the unknown one
            found: NDArray[Any] = values[_take(self._array(name), rows, -1)]
            return found
        if name == f"{owner}_macro":
            return _take(self._array(name), rows, -1).astype(np.int64)
        # [N, K], or [N, T, K] -> [N, T * K]
        return _take(self._array(name), rows, 0).reshape(len(rows), -1)

    def _neighbors(self, owner: str, rows: NDArray[Any], feature: Feature) -> NDArray[Any]:
        """One of the lists of neighbours or of weights, [N, L], padded with the empty id or 0."""
        lists = self._neighbor_lists(feature.name.replace("_neighbor_weights_", "_neighbors_"))
        indptr = lists["indptr"]
        start, end = _take(indptr[:-1], rows, 0), _take(indptr[1:], rows, 0)
        # [N, L]
        position = start[:, None] + np.arange(self.spec.max_neighbors)
        held = position < end[:, None]
        if feature.dtype == "float":
            padded = np.zeros(held.shape, np.float32)
            padded[held] = lists["weights"][position[held]]
            return padded
        ids = self._ids({"user": "item_id", "item": "user_id"}[owner])
        padded = np.full(held.shape, 0 if feature.dtype == "int64" else b"", ids.dtype)
        padded[held] = ids[lists["rows"][position[held]]]
        return padded

    def _read_neighbor_lists(self, name: str) -> dict[str, NDArray[Any]]:
        return dict(filesystem.load_arrays(filesystem.join(self._folder, f"{name}.npz")))


def _take(array: NDArray[Any], rows: NDArray[Any], cold: int) -> NDArray[Any]:
    """array[rows], and `cold` where the row is -1."""
    taken = np.full((len(rows), *array.shape[1:]), cold, array.dtype)
    taken[rows >= 0] = array[rows[rows >= 0]]
    return taken

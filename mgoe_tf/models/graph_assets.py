"""The graphs of a data set as files that a model takes: who did what on what, cut by cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from input_pipeline.feature import NODES
from input_pipeline.files import filesystem
from input_pipeline.graph.merging_matrix import ranks_of_scores
from input_pipeline.log.raw_ids import from_lines
from input_pipeline.log.vocabulary import rows_of_counts
from input_pipeline.spec import DatasetSpec
from mgoe_tf.layers.hashed_rows import codes_of_ids, halves_of


@dataclasses.dataclass(frozen=True)
class CutGraph:
    """What is known at one cut. U and I users and items have appeared.

    Attributes:
      ranks: float64 CSR [U, I], rho(C_ui); no entry where u did nothing on i.
      rows: by owner, int32 [U] and [I], the embedding row of each node; 0, which they share, of
        nodes without one of their own. Of hashed tables the codes, int64.
    """

    ranks: sparse.csr_matrix
    rows: Mapping[str, NDArray[Any]]

    def table_rows(self, owner: str, chosen: NDArray[np.bool_]) -> NDArray[Any]:
        """The rows of the table that embed some of an owner's nodes, one or two of each."""
        rows = self.rows[owner][chosen]
        return np.concatenate(halves_of(rows)) if rows.dtype == np.int64 else rows

    @property
    def sizes(self) -> dict[str, int]:
        """U and I, by owner."""
        return dict(zip(NODES, self.ranks.shape, strict=True))


def graph_assets(spec: DatasetSpec) -> tuple[str, ...]:
    """The files of the graphs of all cuts, the latest last, and what embedding rows follow from.

    Of hashed ids `spec` tells that they are.
    """
    cuts = (*map(str, range(1, len(spec.cuts) + 1)), "latest")
    return (*map(_matrix, cuts), *(_of_rows(spec, owner) for owner in NODES))


def _matrix(cut: str) -> str:
    return f"graph/{cut}/merging_matrix.npz"


def _of_rows(spec: DatasetSpec, owner: str) -> str:
    """What the embedding rows of an owner's nodes follow from: counts, or ids that are hashed."""
    suffix = ".txt" if spec.hash_rows else "_counts.npy"
    return f"vocabulary/{spec.select(owner, 'id')[0].vocabulary}{suffix}"


def read_graphs(spec: DatasetSpec, paths: Mapping[str, str]) -> tuple[CutGraph, ...]:
    """The graphs of the cuts 1 .. n and the latest one.

    Args:
      spec: of the data set.
      paths: local ones of `graph_assets(spec)`, by their names.

    Raises:
      ValueError: the counts are of other ids than the spec's.
    """
    rows = {}
    for owner in NODES:
        path = paths[_of_rows(spec, owner)]
        if spec.hash_rows:
            dtype = spec.vocabulary(spec.select(owner, "id")[0].name).dtype
            ids = from_lines(filesystem.read_bytes(path), dtype, path)
            rows[owner] = codes_of_ids(ids, spec.hash_rows)
            continue
        rows[owner] = rows_of_counts(filesystem.load_array(path), spec.flags["min_count"])
        expected = spec.vocabulary(spec.select(owner, "id")[0].name).embedded
        found = int(rows[owner].max(initial=0))
        if found != expected:
            raise ValueError(f"{path}: must be of {expected} embedded ids, got {found}")
    graphs = []
    for name in graph_assets(spec)[: -len(NODES)]:
        matrix = sparse.load_npz(paths[name]).tocsr()
        matrix.data = ranks_of_scores(matrix.data, spec.flags["beta"]).astype(float)
        graphs.append(CutGraph(matrix, _rows_of_nodes(rows, matrix)))
    return tuple(graphs)


def _rows_of_nodes(
    rows: Mapping[str, NDArray[Any]], matrix: sparse.csr_matrix
) -> dict[str, NDArray[Any]]:
    """Of the nodes of a matrix, of which there may be fewer or more than rows are known of."""
    found = {}
    for owner, size in zip(NODES, matrix.shape, strict=True):
        known = rows[owner][:size]
        found[owner] = np.zeros(size, known.dtype)
        found[owner][: len(known)] = known
    return found

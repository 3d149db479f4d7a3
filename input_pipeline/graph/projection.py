"""Where nodes lie for the grouping: unit rows of the truncated SVD of S, or of S itself (1.2).

Axes: U users, I items, V nodes of one side, W nodes of the other, r kept dimensions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from input_pipeline.graph.svd import truncated_svd
from input_pipeline.graph.unit_rows import NodeArray, squared_lengths, unit

SCALES = ("none", "degree", "regularized")

# A row of which the kept dimensions hold a smaller share than this lies in none of them.
NO_SHARE = 1e-6


@dataclasses.dataclass(frozen=True)
class SpectralOptions:
    """See the flags `grouping_<name>`."""

    dim: int = 16
    scale: str = "none"
    power: int = 2
    seed: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ValueError(f"--grouping_dim: must be at least 1, got {self.dim}")
        if self.scale not in SCALES:
            raise ValueError(f"--grouping_scale: must be one of {SCALES}, got {self.scale!r}")
        if self.power not in (1, 2):
            raise ValueError(f"--grouping_power: must be 1 or 2, got {self.power}")


class Placement(Protocol):
    """Where the nodes of one side lie.

    Attributes:
      positions: x of the nodes of history, [V, ...]; of unit length, or zero.
    """

    positions: NodeArray

    def place(self, rows: sparse.csr_matrix) -> NodeArray:
        """x of later nodes by their rows of S; the columns of history come first, others count not.

        Of unit length; zero where the row says nothing of what history knows.
        """


class RowPlacement:
    """x_v = S_v / ||S_v||, CSR [V, W]: two nodes are alike if they share neighbours.

    Args:
      matrix: S of history for users, its transpose for items.
    """

    def __init__(self, matrix: sparse.csr_matrix):
        self.positions: NodeArray = unit(matrix)
        self._width = matrix.shape[1]

    @classmethod
    def of_width(cls, width: int) -> RowPlacement:
        """For later nodes alone, of rows that were so wide."""
        return cls(sparse.csr_matrix((0, width)))

    def place(self, rows: sparse.csr_matrix) -> NodeArray:
        return unit(rows[:, : self._width])


class SpectralPlacement:
    """x_v = unit(A Sigma^p)_v; later nodes unit(s_v D^-1/2 B Sigma^(p-1)); float64 [V, r].

    Args:
      own: A, [V, r].
      other: B, [W, r].
      other_weights: D^-1/2 of the other side, [W].
      singular_values: [r], of which only the ratios matter.
      power: p.
    """

    def __init__(
        self,
        own: NDArray[Any],
        other: NDArray[Any],
        other_weights: NDArray[Any],
        singular_values: NDArray[Any],
        power: int,
    ):
        ratios = singular_values / singular_values[0]
        self.positions: NodeArray = unit(own * ratios**power)
        self._map = other.astype(np.float64)
        self._stretch = ratios ** (power - 1)
        self._weights = sparse.diags_array(other_weights)

    @threadpool_limits.wrap(limits=1, user_api="blas")
    def place(self, rows: sparse.csr_matrix) -> NodeArray:
        known = rows[:, : self._map.shape[0]] @ self._weights
        places = known @ self._map
        places[squared_lengths(places) <= NO_SHARE**2 * squared_lengths(known)] = 0
        return unit(places * self._stretch)


@dataclasses.dataclass(frozen=True)
class Projection:
    """The truncated SVD S' ~ A Sigma B^T at the end of history that places all nodes.

    S' is S (`none`), or D_U^-1/2 S D_I^-1/2 with D the sums of its rows and columns (`degree`). In
    that every small component of the graph has a singular value of 1, the largest there is, and a
    sparse log has hundreds of them. `regularized`, which is not in the paper, adds the mean of a
    side's sums to each (Qin and Rohe, 2013): what islands have falls, what many share stays.

    Attributes:
      user, item: A float32 [U, r] and B [I, r]. A node without an interaction, or without a share
        in the kept dimensions, has a zero row.
      singular_values: float64 [r], descending; 0 where S' has fewer dimensions.
      user_degree, item_degree: float64 [U] and [I], D with what is added; None without scaling.
      power: p.
    """

    user: NDArray[Any]
    item: NDArray[Any]
    singular_values: NDArray[Any]
    user_degree: NDArray[Any] | None
    item_degree: NDArray[Any] | None
    power: int

    @classmethod
    def of(cls, matrix: sparse.csr_matrix, options: SpectralOptions) -> Projection:
        """Decomposes S, CSR [U, I]; of dimensions there are at most min(U, I) - 1, and one."""
        user_degree = item_degree = None
        scaled = matrix
        if options.scale != "none":
            user_degree, item_degree = _sums(matrix, axis=1), _sums(matrix, axis=0)
            if options.scale == "regularized":
                user_degree += user_degree.mean()
                item_degree += item_degree.mean()
            shares = np.repeat(_inverse_root(user_degree), np.diff(matrix.indptr))
            data = matrix.data * shares * _inverse_root(item_degree)[matrix.indices]
            scaled = sparse.csr_matrix((data, matrix.indices, matrix.indptr), matrix.shape)
        dim = min(options.dim, max(1, min(matrix.shape) - 1))
        svd = truncated_svd(scaled, dim, random=np.random.default_rng(list(options.seed)))
        squares = scaled.multiply(scaled)
        return cls(
            user=_without_noise(svd.left, svd.singular_values, _sums(squares, axis=1)),
            item=_without_noise(svd.right, svd.singular_values, _sums(squares, axis=0)),
            singular_values=svd.singular_values,
            user_degree=user_degree,
            item_degree=item_degree,
            power=options.power,
        )

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], power: int) -> Projection:
        """What `arrays` gave."""
        return cls(
            user=arrays["user"],
            item=arrays["item"],
            singular_values=arrays["singular_values"],
            user_degree=arrays.get("user_degree"),
            item_degree=arrays.get("item_degree"),
            power=power,
        )

    def placement(self, owner: str) -> SpectralPlacement:
        """Where the nodes of this side lie."""
        own, other, degree = (
            (self.user, self.item, self.item_degree)
            if owner == "user"
            else (self.item, self.user, self.user_degree)
        )
        weights = np.ones(len(other)) if degree is None else _inverse_root(degree)
        return SpectralPlacement(own, other, weights, self.singular_values, self.power)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `projection.npz` holds; the degrees only where later nodes need them."""
        names = ("user", "singular_values", "item", "user_degree", "item_degree")
        arrays = {name: getattr(self, name) for name in names}
        return {name: array for name, array in arrays.items() if array is not None}


def _sums(matrix: sparse.csr_matrix, axis: int) -> NDArray[Any]:
    return np.asarray(matrix.sum(axis=axis)).ravel()


def _inverse_root(degree: NDArray[Any]) -> NDArray[Any]:
    """D^-1/2; 0 for a node without an interaction."""
    return np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1)), 0)


def _without_noise(
    vectors: NDArray[Any], singular_values: NDArray[Any], squares: NDArray[Any]
) -> NDArray[Any]:
    """Singular vectors, float32 [V, r], zero for the nodes that lie in none of the dimensions.

    Args:
      vectors: float64 [V, r].
      singular_values: [r].
      squares: squared length of each node's row of S', [V].
    """
    kept = squared_lengths(vectors * singular_values) > NO_SHARE**2 * squares
    return (vectors * kept[:, np.newaxis]).astype(np.float32)

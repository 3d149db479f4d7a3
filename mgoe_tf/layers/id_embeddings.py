"""Embeddings of user, item and side-feature ids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from mgoe_tf.layers import row_order
from mgoe_tf.layers.hashed_rows import rows_of_codes


class Bags(NamedTuple):
    """Weighted lists of ids, empty lists included; padding does not appear.

    Attributes:
      ids: int32 [N], embedding rows of every list, one list after the other; of a hashed table
        codes, int64.
      weights: float32 [N].
      bag_of: int32 [N], non-decreasing, which list an entry belongs to.
      size: scalar, how many lists there are.
    """

    ids: tf.Tensor
    weights: tf.Tensor
    bag_of: tf.Tensor
    size: tf.Tensor

    @classmethod
    def of_single_ids(cls, ids: tf.Tensor) -> Bags:
        """One list per id, holding that id with weight 1."""
        size = tf.size(ids)
        return cls(ids, tf.ones([size]), tf.range(size), size)

    @classmethod
    def of_means(cls, ids: tf.Tensor, present: tf.Tensor) -> Bags:
        """A list a row, whose sum is the mean of the embeddings of what is present.

        Args:
          ids: [B, L], embedding rows, or what becomes rows later.
          present: bool [B, L], what is no filling; a row may have nothing.
        """
        places = tf.cast(tf.where(present), tf.int32)
        counts = tf.reduce_sum(tf.cast(present, tf.float32), axis=1)
        weights = 1.0 / tf.gather(counts, places[:, 0])
        return cls(tf.gather_nd(ids, places), weights, places[:, 0], tf.shape(ids)[0])

    def of_both_rows(self) -> Bags:
        """The same lists, with both rows of each code that stands in them."""
        rows = tf.reshape(rows_of_codes(self.ids), [-1])
        return Bags(rows, tf.repeat(self.weights, 2), tf.repeat(self.bag_of, 2), self.size)


class _GlorotUniform(tf.keras.initializers.GlorotUniform):
    """Of a table in shards too, with the scale of the whole."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        values = super().__call__(shape, dtype, **kwargs)
        part = kwargs.get("partition_shape")
        return values if part is None else values * math.sqrt(sum(part) / sum(shape))


class IdEmbeddings(tf.keras.layers.Layer):
    """Learned embeddings of ids; row 0 of each table is shared by all ids not seen in training.

    Every lookup is a weighted sum of rows: a target id is a list of one. In training all lists that
    read a table are looked up together: their distinct rows are gathered once, so that the gradient
    of a table is one `tf.IndexedSlices` of distinct rows and its cost follows the batch and never
    the table.

    Everything is float32 under any policy: the rows are what the optimizer scatters into. Rows are
    read by `tf.nn.embedding_lookup`, as `tf.gather` gives wrong ones of a table in shards.

    Args:
      sizes: ids with a row of their own, by table; a table has one row more.
      dim: d, width of every embedding, or of those of each table by its name.
      hashed: the tables whose ids are codes (`hashed_rows.py`): an id's embedding is the sum of two
        rows, e = E[h_1] + E[h_2].

    Call arguments:
      bags: for each table that is read, a sequence of `Bags`.
      training: whether there will be gradients.
      served: whether no step was ever taken on the tables where this will run, as in a server: a
        sum is then one pass over its rows. After a step TensorFlow would copy the whole table.

    Returns:
      For each table, one float32 [size, D] per `Bags`: the weighted sums of their rows.

    Example:

    >>> embeddings = IdEmbeddings(sizes={"user_id": 100}, dim=10)
    >>> embeddings({"user_id": [Bags.of_single_ids(tf.constant([7, 0]))]})["user_id"][0].shape
    TensorShape([2, 10])
    """

    def __init__(
        self,
        *,
        sizes: Mapping[str, int],
        dim: int | Mapping[str, int],
        hashed: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        negative = {name: size for name, size in sizes.items() if size < 0}
        if negative:
            raise ValueError(f"sizes: must be at least 0, got {negative}")
        dims = dict(dim) if isinstance(dim, Mapping) else dict.fromkeys(sizes, dim)
        if dims.keys() != sizes.keys():
            raise ValueError(f"dim: must be of the tables {sorted(sizes)}, got {sorted(dims)}")
        if any(width < 1 for width in dims.values()):
            raise ValueError(f"dim: must be at least 1, got {dim}")
        if unknown := sorted(set(hashed) - dims.keys()):
            raise ValueError(f"hashed: must be of the tables {sorted(sizes)}, got {unknown}")
        self.hashed = tuple(hashed)
        self.sizes = dict(sizes)
        self.dim = dims if isinstance(dim, Mapping) else dim
        self._dims = dims
        # a by table, where the tables lie in the order of `row_order.py`
        self.row_orders: dict[str, int] = {}
        self._halves = _Halves()

    def build(self, input_shape: Any) -> None:
        self.tables = {
            name: self.add_weight(
                name=name,
                shape=[size + 1, self._dims[name]],
                initializer=_GlorotUniform(),
            )
            for name, size in self.sizes.items()
        }
        super().build(input_shape)

    def call(
        self, bags: Mapping[str, Sequence[Bags]], training: bool = False, served: bool = False
    ) -> dict[str, list[tf.Tensor]]:
        if training:
            sums = self._sums_of_distinct_rows
        else:
            sums = self._sums_of_fixed_rows if served else self._sums
        rows = {name: self._of_rows(name, lists) for name, lists in bags.items()}
        if served and self._halves.tables:
            halves = self._halves.tables
            return {name: _sums_of_halves(halves[name], lists) for name, lists in rows.items()}
        return {name: sums(name, lists) for name, lists in rows.items()}

    def serve_as_float16(self) -> tuple[tf.Variable, ...]:
        """Lets what is served read copies of the tables in float16, which it returns.

        Their numbers become float32 again row by row, before anything is summed.

        Raises:
          ValueError: a table has numbers beyond the range of float16.
        """
        for name, table in self.tables.items():
            largest = float(tf.reduce_max(tf.abs(table)))
            if not largest <= tf.float16.max:
                raise ValueError(
                    f"{name}: numbers of a table in float16 must be at most {tf.float16.max}, got "
                    f"{largest:g}"
                )
        self._halves.tables = {
            name: tf.Variable(tf.cast(table, tf.float16), trainable=False, name=f"{name}_half")
            for name, table in self.tables.items()
        }
        return tuple(self._halves.tables.values())

    def _of_rows(self, name: str, lists: Sequence[Bags]) -> Sequence[Bags]:
        return [bags.of_both_rows() for bags in lists] if name in self.hashed else lists

    def summed_rows(self, name: str, ids: tf.Tensor) -> tf.Tensor:
        """The rows of a table that belong to ids [...]: int32 [..., 1], or 2 of a hashed table."""
        return rows_of_codes(ids) if name in self.hashed else ids[..., tf.newaxis]

    def rows(self, name: str, ids: tf.Tensor) -> tf.Tensor:
        """The embeddings of some ids, [.., D], of a table that may lie in shards."""
        if name in self.row_orders:
            ids = row_order.place(ids, self.row_orders[name], self.sizes[name] + 1)
        return tf.nn.embedding_lookup(self.tables[name], ids)

    def _sums(self, name: str, lists: Sequence[Bags]) -> list[tf.Tensor]:
        return [
            tf.math.unsorted_segment_sum(
                self.rows(name, bags.ids) * bags.weights[:, tf.newaxis],
                bags.bag_of,
                bags.size,
            )
            for bags in lists
        ]

    def _sums_of_fixed_rows(self, name: str, lists: Sequence[Bags]) -> list[tf.Tensor]:
        rows = tf.convert_to_tensor(self.tables[name])
        return [_weighted_sums(rows, b.ids, b.weights, b.bag_of, b.size) for b in lists]

    def _sums_of_distinct_rows(self, name: str, lists: Sequence[Bags]) -> list[tf.Tensor]:
        # rows: [R, D], the distinct rows; positions: [N] in rows
        distinct, positions = tf.unique(tf.concat([bags.ids for bags in lists], axis=0))
        return _sums_of_lists(self.rows(name, distinct), positions, lists)

    def among_rows(
        self, name: str, lists: Sequence[Bags], wanted: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
        """The sums of lists in training, and the embeddings of more rows of their table.

        All are gathered at once, as the gradient of a table has to be one of distinct rows.

        Args:
          name: of the table.
          lists: whose sums.
          wanted: bool [rows of the table], which others there have to be.

        Returns:
          A sum a list, as of `call`; the embeddings, float32 [R, D]; and where those of each row
          of the table are among them, int32 [rows]; of a row that is not there, some place.
        """
        lists = self._of_rows(name, lists)
        ids = tf.concat([tf.zeros([0], tf.int32), *(bags.ids for bags in lists)], axis=0)
        read = tf.math.unsorted_segment_sum(tf.ones_like(ids), ids, tf.size(wanted)) > 0
        there = read | wanted
        rows = tf.cast(tf.squeeze(tf.where(there), axis=1), tf.int32)
        places = tf.maximum(tf.cumsum(tf.cast(there, tf.int32)) - 1, 0)
        embeddings = self.rows(name, rows)
        sums = _sums_of_lists(embeddings, tf.gather(places, ids), lists) if lists else []
        return sums, embeddings, places

    def get_config(self) -> dict[str, Any]:
        config = {"sizes": self.sizes, "dim": self.dim, "hashed": self.hashed}
        return {**super().get_config(), **config}


class _Halves:
    """Apart from the layer: copies of its tables, which are no weights, and in no checkpoint."""

    def __init__(self) -> None:
        self.tables: dict[str, tf.Variable] = {}


def _sums_of_halves(table: tf.Variable, lists: Sequence[Bags]) -> list[tf.Tensor]:
    found = []
    for bags in lists:
        rows = tf.cast(tf.nn.embedding_lookup(table, bags.ids), tf.float32)
        # a server's optimizer does not know the shape of what was looked up
        rows = tf.reshape(rows, [-1, table.shape[1]])
        places = tf.range(tf.size(bags.ids))
        found.append(_weighted_sums(rows, places, bags.weights, bags.bag_of, bags.size))
    return found


def _sums_of_lists(rows: tf.Tensor, positions: tf.Tensor, lists: Sequence[Bags]) -> list[tf.Tensor]:
    """A sum a list, [size, D].

    Args:
      rows: [R, D], some embeddings.
      positions: [N], where the embedding of each id is in `rows`, one list's after the other's.
      lists: their weights and bags.
    """
    sizes = [bags.size for bags in lists]
    offsets = [sum(sizes[:index], tf.constant(0)) for index in range(len(lists))]
    bag_of = tf.concat([b.bag_of + offset for b, offset in zip(lists, offsets, strict=True)], 0)
    weights = tf.concat([bags.weights for bags in lists], axis=0)
    # sums: [size of all, D]
    sums = _weighted_sums(rows, positions, weights, bag_of, sum(sizes))
    return tf.split(sums, sizes, num=len(lists)) if len(lists) > 1 else [sums]


def _weighted_sums(
    rows: tf.Tensor, ids: tf.Tensor, weights: tf.Tensor, bag_of: tf.Tensor, size: tf.Tensor
) -> tf.Tensor:
    """Weighted sums of some of `rows` [R, D], by bag: [size, D]; the rest as in `Bags`."""
    # The indices of a `tf.SparseTensor` would be int64, twice as many bytes to be copied.
    return tf.raw_ops.SparseTensorDenseMatMul(
        a_indices=tf.stack([bag_of, ids], axis=1),
        a_values=weights,
        a_shape=tf.cast(tf.stack([size, tf.shape(rows)[0]]), tf.int64),
        b=rows,
    )

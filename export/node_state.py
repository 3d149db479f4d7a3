"""Tables with a row for every node, in which an export keeps what it computed of them.

Axes: V rows, B rows asked for.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

TABLE_DTYPES = ("float32", "float16", "int8")
_INTEGER = "int32"
_STEPS = 255  # between the smallest and the largest number of a column in int8
Shapes = Mapping[str, tuple[Sequence[int], str]]


def bytes_a_row(shapes: Shapes, table_dtype: str, exact: Collection[str] = ()) -> int:
    """How many bytes a row of a `NodeTable` takes.

    Args:
      shapes: of a row by name, and `int32` or the name of another type.
      table_dtype, exact: see `NodeTable`.
    """
    dtypes = {
        name: _kept_as(name, dtype == _INTEGER, table_dtype, exact)
        for name, (_, dtype) in shapes.items()
    }
    return sum(math.prod(shapes[name][0]) * np.dtype(of).itemsize for name, of in dtypes.items())


def _kept_as(name: str, is_integer: bool, table_dtype: str, exact: Collection[str]) -> str:
    if is_integer:
        return _INTEGER
    return "float32" if name in exact else table_dtype


class NodeTable(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Arrays of all nodes, a row each: what a request asks for of a node is one gather.

    Numbers in int8 are steps between the smallest and the largest of their column, of which there
    are 255. Integers are kept as int32, in a table of their own.

    Args:
      chunks: arrays [V, ...] by name, of the first nodes, then the next ones; float32, or int32.
      table_dtype: of TABLE_DTYPES.
      exact: names of arrays that are kept as float32.
      name: of the variables.
    """

    def __init__(
        self,
        *,
        chunks: Sequence[Mapping[str, NDArray[Any]]],
        table_dtype: str = "float32",
        exact: Collection[str] = (),
        name: str,
    ) -> None:
        super().__init__(name=name)
        if table_dtype not in TABLE_DTYPES:
            raise ValueError(f"table_dtype: must be one of {TABLE_DTYPES}, got {table_dtype!r}")
        self._shapes = {key: value.shape[1:] for key, value in chunks[0].items()}
        by_kind: dict[str, list[str]] = {}
        for key, value in chunks[0].items():
            kind = _kept_as(key, np.issubdtype(value.dtype, np.integer), table_dtype, exact)
            by_kind.setdefault(kind, []).append(key)
        tables = {}
        for kind, names in by_kind.items():
            values = np.concatenate(
                [
                    np.concatenate([chunk[key].reshape(len(chunk[key]), -1) for key in names], 1)
                    for chunk in chunks
                ]
            )
            if kind == "int8":
                values = self._in_steps(values, name)
            values = values.astype(kind)
            tables[kind] = tf.Variable(values, trainable=False, name=f"{name}_{kind}")
        self._names, self._tables = by_kind, tables

    def _in_steps(self, values: NDArray[Any], name: str) -> NDArray[Any]:
        low, high = values.min(axis=0), values.max(axis=0)
        step = np.where(high > low, (high - low) / _STEPS, 1.0).astype(np.float32)
        middle = low + 128 * step
        self._step = tf.Variable(step, trainable=False, name=f"{name}_step")
        self._middle = tf.Variable(middle, trainable=False, name=f"{name}_middle")
        return np.clip(np.rint((values - middle) / step), -128, 127)

    @property
    def size_bytes(self) -> int:
        """Of all rows."""
        return sum(
            table.shape.num_elements() * table.dtype.size for table in self._tables.values()
        )

    def __call__(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """The arrays of rows, int64 [B] or [B, N]: [B, ...] or [B, N, ...] by name."""
        found: dict[str, tf.Tensor] = {}
        leading = [-1] if rows.shape.rank == 1 else [-1, tf.shape(rows)[1]]
        for kind, names in self._names.items():
            widths = [math.prod(self._shapes[key]) for key in names]
            values = tf.gather(self._tables[kind], rows)
            if kind == "int8":
                values = tf.cast(values, tf.float32) * self._step + self._middle
            elif kind == "float16":
                values = tf.cast(values, tf.float32)
            # A server's optimizer does not know the shape of a gathered variable.
            values = tf.reshape(values, [*leading, sum(widths)])
            parts = tf.split(values, widths, axis=-1) if len(names) > 1 else [values]
            for key, part in zip(names, parts, strict=True):
                shape = self._shapes[key]
                found[key] = part if len(shape) == 1 else tf.reshape(part, [*leading, *shape])
        return found

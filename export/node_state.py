"""Tables with a row for every node, in which an export keeps what it computed of them.

Axes: V rows, B rows asked for.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

TABLE_DTYPES = ("float32", "float16", "int8")
_EXACT = "float32"
_LARGEST_INTEGER = 1 << 24  # up to which float32 holds all
_STEPS = 255  # between the smallest and the largest number of a column in int8
Shapes = Mapping[str, tuple[Sequence[int], str]]


def bytes_a_row(shapes: Shapes, table_dtype: str, exact: Collection[str] = ()) -> int:
    """How many bytes a row of a `NodeTable` takes.

    Args:
      shapes: of a row by name, and the name of its type.
      table_dtype, exact: see `NodeTable`.
    """
    dtypes = {
        name: _kept_as(name, dtype, table_dtype, exact) for name, (_, dtype) in shapes.items()
    }
    return sum(math.prod(shapes[name][0]) * np.dtype(of).itemsize for name, of in dtypes.items())


def _kept_as(name: str, dtype: Any, table_dtype: str, exact: Collection[str]) -> str:
    is_exact = name in exact or np.issubdtype(np.dtype(dtype), np.integer)
    return _EXACT if is_exact else table_dtype


class NodeTable(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Arrays of all nodes, a row each: what a request wants of a node is one gather.

    A row is read from memory as a whole, which costs half as much as its parts in tables of their
    own. Numbers in int8 are steps between the smallest and the largest of their column, of which
    there are 255; what has to be exact is then in a second table.

    Args:
      chunks: arrays [V, ...] by name, of the first nodes, then the next ones; float32, or int32
        from -2^24 to 2^24.
      table_dtype: of TABLE_DTYPES.
      exact: names of arrays that are kept as float32, as integers are.
      by_task: names of arrays [V, T, D] that are given as [T, B, D] or [T, B, N, D].
      name: of the variables.
    """

    def __init__(
        self,
        *,
        chunks: Sequence[Mapping[str, NDArray[Any]]],
        table_dtype: str = "float32",
        exact: Collection[str] = (),
        by_task: Collection[str] = (),
        name: str,
    ) -> None:
        super().__init__(name=name)
        if table_dtype not in TABLE_DTYPES:
            raise ValueError(f"table_dtype: must be one of {TABLE_DTYPES}, got {table_dtype!r}")
        by_kind: dict[str, list[_Part]] = {}
        for key, value in chunks[0].items():
            is_integer = np.issubdtype(value.dtype, np.integer)
            if is_integer:
                _check_integers(key, [chunk[key] for chunk in chunks])
            part = _Part(key, value.shape[1:], is_integer, key in by_task)
            by_kind.setdefault(_kept_as(key, value.dtype, table_dtype, exact), []).append(part)
        self._tables = []
        for kind, parts in by_kind.items():
            rows = np.concatenate(
                [
                    np.concatenate(
                        [chunk[p.name].reshape(len(chunk[p.name]), -1) for p in parts], 1
                    )
                    for chunk in chunks
                ]
            )
            self._tables.append(_Table(rows, kind, parts, f"{name}_{kind}"))

    @property
    def size_bytes(self) -> int:
        """Of all rows."""
        return sum(table.size_bytes for table in self._tables)

    def __call__(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """The arrays of rows, int64 [B] or [B, N]: [B, ...] or [B, N, ...] by name.

        Those by task are [T, B, D] or [T, B, N, D].
        """
        return {name: value for table in self._tables for name, value in table(rows).items()}


def _check_integers(name: str, values: Sequence[NDArray[Any]]) -> None:
    largest = max(int(np.abs(value).max(initial=0)) for value in values)
    if largest > _LARGEST_INTEGER:
        raise ValueError(
            f"{name}: integers of a table must be at most {_LARGEST_INTEGER}, got {largest}"
        )


@dataclasses.dataclass(frozen=True)
class _Part:
    """An array of a node, among the others of its row.

    Attributes:
      shape: of the array, without V.
    """

    name: str
    shape: tuple[int, ...]
    is_integer: bool
    is_by_task: bool

    @property
    def width(self) -> int:
        return math.prod(self.shape)

    def given(self, values: tf.Tensor, leading: Sequence[Any]) -> tf.Tensor:
        """What callers get of its numbers, [..., width], `leading` their first axes."""
        if len(self.shape) != 1:
            values = tf.reshape(values, [*leading, *self.shape])
        if self.is_by_task:
            axes = range(len(leading))
            values = tf.transpose(values, [len(leading), *axes, len(leading) + 1])
        return tf.cast(values, tf.int32) if self.is_integer else values


class _Table(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """A variable of rows, and the arrays that they are made up of.

    Args:
      rows: [V, W].
      kind: of the numbers that are kept.
      parts: what a row is made up of, in order.
      name: of the variable.
    """

    def __init__(self, rows: NDArray[Any], kind: str, parts: Sequence[_Part], name: str) -> None:
        super().__init__(name=name)
        self._kind, self._parts = kind, tuple(parts)
        if kind == "int8":
            rows = self._in_steps(rows, name)
        self._table = tf.Variable(rows.astype(kind), trainable=False, name=name)

    def _in_steps(self, values: NDArray[Any], name: str) -> NDArray[Any]:
        low, high = values.min(axis=0), values.max(axis=0)
        step = ((high - low) / _STEPS).astype(np.float32)
        middle = low + 128 * step
        self._step = tf.Variable(step, trainable=False, name=f"{name}_step")
        self._middle = tf.Variable(middle, trainable=False, name=f"{name}_middle")
        # a column of one number has no steps
        steps: NDArray[Any] = np.rint((values - middle) / np.where(step > 0, step, 1.0))
        return np.clip(steps, -128, 127).astype(np.int8)

    @property
    def size_bytes(self) -> int:
        """Of all rows."""
        size: int = self._table.shape.num_elements() * self._table.dtype.size
        return size

    def __call__(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        leading: list[Any] = [-1]
        are_candidates = rows.shape.rank == 2
        if are_candidates:
            # B and N by themselves: there may be no rows.
            shape = tf.shape(rows)
            leading = [shape[0], shape[1]]
            # there may be an axis of one too many
            rows = tf.reshape(rows, leading)
        values = tf.gather(self._table, rows)
        if not are_candidates:
            # only now: what has more axes than a gather takes is refused by it
            values = tf.reshape(values, [*leading, self._table.shape[1]])
        if self._kind == "int8":
            values = tf.cast(values, tf.float32) * self._step + self._middle
        elif self._kind == "float16":
            values = tf.cast(values, tf.float32)
        widths = [part.width for part in self._parts]
        split = tf.split(values, widths, axis=-1) if len(widths) > 1 else [values]
        return {
            part.name: part.given(value, leading)
            for part, value in zip(self._parts, split, strict=True)
        }

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
    """Arrays of all nodes, a row each: what a request wants of a node is a gather of each kind.

    Numbers in int8 are steps between the smallest and the largest of their column, of which there
    are 255. Integers are kept as int32, in a table of their own; so are arrays by task.

    Args:
      chunks: arrays [V, ...] by name, of the first nodes, then the next ones; float32, or int32.
      table_dtype: of TABLE_DTYPES.
      exact: names of arrays that are kept as float32.
      by_task: names of arrays [V, T, D] that are asked for as [T, B, D] or [T, B, N, D]: gathered
        in this order they need not be brought into it.
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
        self._tables = []
        by_kind: dict[tuple[str, str], list[str]] = {}
        for key, value in chunks[0].items():
            is_integer = np.issubdtype(value.dtype, np.integer)
            kind = _kept_as(key, is_integer, table_dtype, exact)
            by_kind.setdefault((kind, key if key in by_task else ""), []).append(key)
        for (kind, task_key), keys in by_kind.items():
            shapes = tuple((key, chunks[0][key].shape[1:]) for key in keys)
            rows = np.concatenate(
                [
                    np.concatenate([chunk[key].reshape(len(chunk[key]), -1) for key in keys], 1)
                    for chunk in chunks
                ]
            )
            tasks = chunks[0][task_key].shape[1] if task_key else 0
            self._tables.append(_Table(rows, kind, shapes, tasks, f"{name}_{task_key or kind}"))

    @property
    def size_bytes(self) -> int:
        """Of all rows."""
        return sum(table.size_bytes for table in self._tables)

    def __call__(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """The arrays of rows, int64 [B] or [B, N]: [B, ...] or [B, N, ...] by name.

        Those by task are [T, B, D] or [T, B, N, D].
        """
        return {name: value for table in self._tables for name, value in table(rows).items()}


class _Table(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """A variable of rows, and the arrays that they are made up of.

    Args:
      rows: [V, W].
      kind: of the numbers that are kept.
      shapes: of the arrays of a row, with their names.
      tasks: T of a table by task, of one array [V, T, D]; else 0.
      name: of the variable.
    """

    def __init__(
        self,
        rows: NDArray[Any],
        kind: str,
        shapes: tuple[tuple[str, tuple[int, ...]], ...],
        tasks: int,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self._kind, self._shapes, self._tasks = kind, shapes, tasks
        if tasks:
            rows = rows.reshape(len(rows) * tasks, -1)
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
        if self._tasks:
            # rows: [T, B] or [T, B, N]
            offsets = np.arange(self._tasks).reshape(-1, *[1] * len(leading))
            rows = rows * self._tasks + tf.constant(offsets, rows.dtype)
            leading.insert(0, self._tasks)
        values = tf.gather(self._table, rows)
        if not are_candidates:
            # only now: what has more axes than a gather takes is refused by it
            values = tf.reshape(values, [*leading, self._table.shape[1]])
        if self._kind == "int8":
            values = tf.cast(values, tf.float32) * self._step + self._middle
        elif self._kind == "float16":
            values = tf.cast(values, tf.float32)
        if self._tasks:
            return {self._shapes[0][0]: values}
        widths = [math.prod(shape) for _, shape in self._shapes]
        parts = tf.split(values, widths, axis=-1) if len(widths) > 1 else [values]
        found: dict[str, tf.Tensor] = {}
        for (name, shape), part in zip(self._shapes, parts, strict=True):
            found[name] = part if len(shape) == 1 else tf.reshape(part, [*leading, *shape])
        return found

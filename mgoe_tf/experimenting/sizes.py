"""How large models are: weights, multiplications a row, bytes of an export."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from input_pipeline.files import filesystem
from input_pipeline.spec import read_spec
from mgoe_tf.models.base import RankingModel
from mgoe_tf.training import checkpoints

_FEW, _MANY = 2, 66
# Requests to warm up with, and what else is no part of the model.
_FOR_SERVERS = "assets.extra/"


@dataclasses.dataclass(frozen=True)
class Size:
    """Of a model.

    Attributes:
      dense_weights: numbers that are trained, but for id tables.
      table_weights: those of id tables.
      row_multiplications: of the matrix products for one more row; None where shapes do not tell.
      fixed_multiplications: of those that do not depend on the rows; an export computes once what
        depends on the weights alone.
      export_bytes: of the SavedModel with the graph inside; None without one.
    """

    dense_weights: int
    table_weights: int
    row_multiplications: int | None
    fixed_multiplications: int | None
    export_bytes: int | None


def size_of(model_dir: str, export_dir: str) -> Size:
    """Looks at a trained model and its export.

    Args:
      model_dir: of the model; its data set has to be there.
      export_dir: of its SavedModel; need not exist.
    """
    model = checkpoints.new_model(read_spec(model_dir), *checkpoints.read_options(model_dir))
    tables = _count(model.embeddings.trainable_variables)
    found = [_multiplications(model, rows) for rows in (_FEW, _MANY)]
    row = fixed = None
    if None not in found:
        row = (found[1] - found[0]) // (_MANY - _FEW)  # type: ignore[operator]
        fixed = found[0] - row * _FEW  # type: ignore[operator]
    exported = filesystem.exists(export_dir)
    return Size(
        dense_weights=_count(model.trainable_variables) - tables,
        table_weights=tables,
        row_multiplications=row,
        fixed_multiplications=fixed,
        export_bytes=_bytes_below(export_dir) if exported else None,
    )


def _count(variables: Iterable[tf.Variable]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


def _bytes_below(folder: str) -> int:
    names = [n for n in filesystem.files_below(folder) if not n.startswith(_FOR_SERVERS)]
    return sum(filesystem.size_bytes(filesystem.join(folder, name)) for name in names)


def _multiplications(model: RankingModel, rows: int) -> int | None:
    inputs = model.embed(model.zero_features(rows))
    return multiplications(lambda: model.network(inputs))


def multiplications(function: Callable[..., Any], *arguments: Any) -> int | None:
    """Of the matrix products in one call of a TensorFlow function, which are nearly all of it.

    None where the shapes of its graph do not tell.
    """
    traced = tf.function(function, autograph=False).get_concrete_function(*arguments)
    total = 0
    for operation in traced.graph.get_operations():
        count = _of_operation(operation)
        if count is None:
            return None
        total += count
    return total


def _of_operation(operation: tf.Operation) -> int | None:
    shapes = [tensor.shape for tensor in (*operation.inputs, *operation.outputs)]
    if operation.type not in ("MatMul", "BatchMatMulV2", "Einsum"):
        return 0
    if not all(shape.is_fully_defined() for shape in shapes):
        return None
    if operation.type == "Einsum":
        terms = operation.get_attr("equation").decode().partition("->")[0].split(",")
        axes = {
            label: size
            for term, shape in zip(terms, shapes, strict=False)
            for label, size in zip(term, shape, strict=True)
        }
        return math.prod(axes.values())
    transposed = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
    # [.., M, N] = [.., M, J] [.., J, N] takes J multiplications an entry
    return int(shapes[0][-2 if transposed else -1] * math.prod(shapes[-1]))

"""Operations of a network's matrix products, which are nearly all of its arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf


def matmul_flops(function: Callable[..., Any], *arguments: Any) -> int:
    """Multiplications and additions of the matrix products in one call of a TensorFlow function."""
    traced = tf.function(function, autograph=False).get_concrete_function(*arguments)
    total = 0
    for operation in traced.graph.get_operations():
        if operation.type in ("MatMul", "BatchMatMulV2"):
            transposed = operation.get_attr(
                "transpose_a" if operation.type == "MatMul" else "adj_x"
            )
            # [.., M, N] = [.., M, J] [.., J, N] takes 2 J operations an entry
            shared = operation.inputs[0].shape[-2 if transposed else -1]
            total += 2 * shared * int(np.prod(operation.outputs[0].shape.as_list()))
    return total

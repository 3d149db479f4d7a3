"""Dense weights as constants of an export.

What does not depend on the row (projections of macro nodes, kernels laid out by task) is then
computed once, when a server loads the export, and not in every request.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf


@contextlib.contextmanager
def frozen(variables: Sequence[tf.Variable]) -> Iterator[None]:
    """A function that is being traced reads these variables as constants inside this context.

    To be entered by the traced function itself, so that the constants are nodes of its graph: a
    server multiplies out what depends on constants alone when it loads the graph, which it cannot
    where they come in from outside.

    TensorFlow has no public way to freeze some of a function's variables and not the id tables,
    which are too large for constants. A variable with a caching device reads from a cached value;
    the same value is set here.
    """
    # Under mixed precision Keras wraps variables.
    plain = [getattr(variable, "_variable", variable) for variable in variables]
    try:
        for variable in plain:
            with tf.init_scope():
                value = variable.numpy()
            variable._cached_value = tf.constant(value)
        yield
    finally:
        for variable in plain:
            variable._cached_value = None

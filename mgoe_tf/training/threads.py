"""How many threads TensorFlow's operations run on."""

from __future__ import annotations

import os

import tensorflow as tf

_VARIABLE = "TF_NUM_INTRAOP_THREADS"
# Measured on two cores only: a step of 1,024 rows took two thirds of the time with one thread
# within an operation, and the operations still ran side by side.
_MOST_CORES_FOR_ONE_THREAD = 2


def default_intra_op_threads() -> int:
    """1 on machines of at most two cores; elsewhere 0, which is TensorFlow's choice."""
    return int((os.cpu_count() or 1) <= _MOST_CORES_FOR_ONE_THREAD)


def set_intra_op_threads(threads: int = 0) -> None:
    """Sets how many threads share one operation on the CPU; to be called before the first one.

    Ranking networks are many small operations, and splitting them among threads can cost more than
    it saves. Operations that do not depend on each other run side by side whatever is set here.

    Args:
      threads: 0 for the environment's TF_NUM_INTRAOP_THREADS or, where it is not set, the default.

    Raises:
      RuntimeError: TensorFlow has run an operation already.
    """
    if not threads and _VARIABLE not in os.environ:
        threads = default_intra_op_threads()
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)

"""Commands tell of runs, not of TensorFlow's own workings."""

from __future__ import annotations

import logging

import tensorflow as tf
from absl import logging as absl_logging


def quiet_tensorflow() -> None:
    """Leaves out what TensorFlow tells of itself: timing of callbacks and of saving, retracing."""
    tf.get_logger().setLevel(logging.ERROR)
    absl_logging.get_absl_logger().addFilter(
        lambda record: record.module not in ("functional_saver", "polymorphic_function")
    )

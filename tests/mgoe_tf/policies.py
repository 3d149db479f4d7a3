"""Precision policies for the length of a test."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def policy(name: str) -> Iterator[None]:
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)

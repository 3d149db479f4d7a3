"""TensorBoard's curves, read back."""

from __future__ import annotations

import pathlib

import tensorflow as tf


def scalars(model_dir: str, part: str) -> dict[str, list[tuple[int, float]]]:
    """Every (step, value) in TensorBoard's logs, by tag."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(pathlib.Path(model_dir, "events", part).glob("events.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    number = float(tf.make_ndarray(value.tensor))
                    found.setdefault(value.tag, []).append((event.step, number))
    return found

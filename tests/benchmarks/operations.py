"""What a request of an export executes: operations, the bytes that they write, their time, by part.

As a server does it: in a session, after TensorFlow has optimised the graph.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

# Scopes of the names of operations; those of a `NodeNetwork` that is not MGOE's are of the rest.
PARTS = ("tables", "bottom", "heads", "kernel", "fusion", "towers", "adjustment", "outputs")
REST = "rest"
_CALLS = 20


@dataclasses.dataclass
class Executed:
    """Of one request."""

    operations: int = 0
    bytes: int = 0
    microseconds: float = 0.0


def executed(path: str, signature: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Executed]:
    """By part of the network, and `all`.

    Args:
      path: of an export.
      signature: what is called.
      inputs: of the request.
    """
    v1 = tf.compat.v1
    found: dict[str, Executed] = {}
    with tf.Graph().as_default(), v1.Session() as session:
        loaded = v1.saved_model.load(session, [tf.saved_model.SERVING], path)
        definition = loaded.signature_def[signature]
        feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
        fetches = [tensor.name for tensor in definition.outputs.values()]
        options = v1.RunOptions(trace_level=v1.RunOptions.FULL_TRACE)
        times: list[dict[str, float]] = []
        for _ in range(_CALLS):
            metadata = v1.RunMetadata()
            session.run(fetches, feeds, options, metadata)
            nodes = [n for device in metadata.step_stats.dev_stats for n in device.node_stats]
            times.append({n.node_name: n.op_end_rel_nanos - n.op_start_rel_nanos for n in nodes})
        for node in nodes:
            for part in (_part(node.node_name), "all"):
                of_part = found.setdefault(part, Executed())
                of_part.operations += 1
                of_part.bytes += sum(
                    output.tensor_description.allocation_description.requested_bytes
                    for output in node.output
                )
                nanoseconds = [one[node.node_name] for one in times if node.node_name in one]
                of_part.microseconds += float(np.median(nanoseconds)) / 1000
    return found


def _part(name: str) -> str:
    scopes = name.split("/")
    return next((part for part in PARTS if part in scopes), REST)

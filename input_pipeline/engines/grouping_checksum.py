"""What tells one grouping of the nodes of history from another."""

from __future__ import annotations

import hashlib

from input_pipeline.engines.engine import graph_name
from input_pipeline.files import filesystem, stored
from input_pipeline.spec import DatasetSpec

_BLOCK_NODES = 1 << 22


def grouping_checksum(spec: DatasetSpec, data_dir: str) -> str:
    """SHA-256 of which macro node each user and each item of history is in."""
    folder = filesystem.join(data_dir, "graph", graph_name(1, len(spec.cuts)))
    digest = hashlib.sha256()
    for feature in spec.select(role="macro_id"):
        path = filesystem.join(folder, f"{feature.column}.npy")
        for macro in stored.blocks(path, _BLOCK_NODES):
            digest.update(macro.astype("<i4").tobytes())
    return digest.hexdigest()

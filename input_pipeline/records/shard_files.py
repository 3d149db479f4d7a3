"""Where the shards of a data set lie."""

from __future__ import annotations

import re
from collections.abc import Sequence

from input_pipeline.files import filesystem, patterns

_SHARD = re.compile(r"-(\d+)-of-(\d+)\.tfrecord\.gz$")


def example_files(data_dir: str, windows: Sequence[str]) -> tuple[str, ...]:
    """The TFRecord shards of some windows, in a fixed order.

    Raises:
      ValueError: a window has no shards, or one is missing.
    """
    filesystem.prepare_remote(data_dir)
    paths: list[str] = []
    for window in windows:
        pattern = filesystem.join(data_dir, "examples", f"{window}-*.tfrecord.gz")
        found = sorted(patterns.glob(pattern))
        if not found:
            raise ValueError(f"no TFRecord files match {pattern}")
        shards = [match for match in map(_SHARD.search, found) if match]
        expected = max((int(match[2]) for match in shards), default=0)
        missing = set(range(expected)) - {int(match[1]) for match in shards}
        if missing:
            raise ValueError(
                f"{pattern}: expected {expected} shards, but number {min(missing)} is missing"
            )
        paths += found
    return tuple(paths)

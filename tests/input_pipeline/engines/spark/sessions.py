"""Spark for tests: a local master with two threads, and no more partitions than these."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from input_pipeline.preparation_options import PreparationOptions

SPARK: dict[str, Any] = {
    "engine": "spark",
    "spark_master": "local[2]",
    "spark_conf": (
        "spark.ui.enabled=false",
        "spark.sql.shuffle.partitions=2",
        "spark.default.parallelism=2",
        "spark.log.level=ERROR",
    ),
}


@contextlib.contextmanager
def small_session() -> Iterator[Any]:
    """A session that engines find and leave running."""
    from input_pipeline.engines.spark.session import start_session

    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = start_session(PreparationOptions(source="csv", **SPARK))
    try:
        yield session
    finally:
        session.stop()

"""Taobao's public user behaviour log (Tianchi data set 649): UserBehavior.csv, without a header."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.log.events import EventLog
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources.block import Block
from input_pipeline.sources.delimited import read_files
from input_pipeline.sources.dialect import Dialect
from input_pipeline.sources.feature_columns import FeatureColumn
from input_pipeline.sources.input_files import find_files
from input_pipeline.sources.layout import Layout, read_log

TASKS = ("click", "fav", "cart", "buy")
_BEHAVIORS = (b"pv", b"fav", b"cart", b"buy")
_COLUMNS = ("user_id", "item_id", "category_id", "behavior", "timestamp")


def _behaviors(block: Block) -> tuple[NDArray[Any], NDArray[Any]]:
    tasks = block.choices("behavior", _BEHAVIORS, "pv, fav, cart or buy")
    bits = np.left_shift(1, np.maximum(tasks, 0)).astype(np.uint32)
    return bits, np.zeros_like(bits)


_LAYOUT = Layout(
    tasks=TASKS,
    user_column="user_id",
    item_column="item_id",
    timestamp_column="timestamp",
    timestamp_unit="s",
    behaviors=_behaviors,
    label_columns=("behavior",),
    features=(FeatureColumn("category_id", "item"),),
)


def read(options: PreparationOptions) -> EventLog:
    """Reads the log: user id, item id, category id, behaviour, Unix seconds; an event a line."""
    files = read_files(find_files(options.input), Dialect(names=_COLUMNS), _LAYOUT.columns)
    return read_log(files, _LAYOUT, options)

"""MovieLens ratings in the three forms of its releases: u.data, ratings.dat and ratings.csv."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.log.events import EventLog
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources.block import Block
from input_pipeline.sources.delimited import read_files
from input_pipeline.sources.dialect import Dialect
from input_pipeline.sources.input_files import find_files
from input_pipeline.sources.layout import Layout, read_log
from input_pipeline.sources.raw_files import first_line

_COLUMNS = ("userId", "movieId", "rating", "timestamp")
_LIKE, _LOVE = 4.0, 5.0
_STEPS = tuple(f"{half / 2:.1f}".encode() for half in range(1, 11))
_RATINGS = (*_STEPS, b"1", b"2", b"3", b"4", b"5")

# "1::2::5::3" is cut at every colon; what lies between the two colons of a pair must be empty.
_GAPS = ("gap after userId", "gap after movieId", "gap after rating")
_DOUBLE_COLON = ("userId", _GAPS[0], "movieId", _GAPS[1], "rating", _GAPS[2], "timestamp")


def _dialect(path: str) -> Dialect:
    line = first_line(path)
    if "\t" in line:
        return Dialect(names=_COLUMNS, delimiter="\t")
    if "::" in line:
        return Dialect(names=_DOUBLE_COLON, delimiter=":")
    return Dialect()


def _behaviors(block: Block) -> tuple[NDArray[Any], NDArray[Any]]:
    places = block.choices("rating", _RATINGS, "0.5, 1, ... 5")
    ratings = np.array([float(text) for text in _RATINGS])[np.maximum(places, 0)]
    bits = (1 * (ratings >= _LIKE) + 2 * (ratings >= _LOVE)).astype(np.uint32)
    for gap in set(_GAPS) & set(block.columns):
        block.choices(gap, (b"",), "::")
    return bits, np.zeros_like(bits)


def read(options: PreparationOptions) -> EventLog:
    """Reads ratings: user, movie, rating and Unix seconds; each is an exposure.

    Tasks are like, of 4 and more, and love, of 5.
    """
    paths = find_files(options.input)
    dialect = _dialect(paths[0])
    gaps = _GAPS if dialect.delimiter == ":" else ()
    layout = Layout(
        tasks=("like", "love"),
        user_column="userId",
        item_column="movieId",
        timestamp_column="timestamp",
        timestamp_unit="s",
        behaviors=_behaviors,
        label_columns=("rating", *gaps),
        has_exposures=True,
    )
    return read_log(read_files(paths, dialect, layout.columns), layout, options)

"""Cells of tables that several parts of the page have."""

from __future__ import annotations

from mgoe_tf.experimenting.statistics import Spread

DASH = "&ndash;"


def spread_cell(spread: Spread | None, *, is_best: bool = False, digits: int = 4) -> str:
    """Mean and deviation as HTML, bold where it is the best."""
    if spread is None:
        return DASH
    mean = f"{spread.mean:.{digits}f}"
    mean = f"<b>{mean}</b>" if is_best else mean
    if spread.deviation is None:
        return mean
    return f"{mean} <small>&plusmn;&#8239;{spread.deviation:.{digits}f}</small>"

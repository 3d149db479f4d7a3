"""Which part of a log's time is read."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources.block import Block
from input_pipeline.sources.remarks import TOO_EARLY, TOO_LATE
from input_pipeline.sources.times import parse_times


@dataclasses.dataclass(frozen=True)
class TimeRange:
    """Which times are part of the log, in its unit: from one on, up to before another."""

    low: int | None
    high: int | None

    @classmethod
    def of(cls, options: PreparationOptions, column: str | None, unit: str) -> TimeRange:
        """That of `--time_from` and `--time_to`.

        Args:
          options: that tell of them.
          column: of the times; None: there is none.
          unit: of the times, and of limits that are numbers.

        Raises:
          ValueError: one is no time, or there are no times that it could cut.
        """
        found: list[int | None] = [None, None]
        for place, name in enumerate(("time_from", "time_to")):
            text = getattr(options, name)
            if not text:
                continue
            if not column:
                raise ValueError(f"--{name}: needs a log with times, but there are none")
            times = parse_times(pa.array([text.encode()], pa.binary()), unit)
            if times.malformed[0]:
                raise ValueError(
                    f"--{name}: must be a time, as a number in {unit} or as ISO 8601, got {text!r}"
                )
            found[place] = int(times.values[0])
        low, high = found
        if low is not None and high is not None and low >= high:
            raise ValueError(
                f"--time_to: must be after --time_from={options.time_from}, got {options.time_to}"
            )
        return cls(low, high)

    def cut(self, block: Block, column: str, times: NDArray[Any]) -> None:
        """Leaves out the rows of a block whose times, [N], are not in the range."""
        if self.low is not None:
            block.leave_out(TOO_EARLY, column, times < self.low)
        if self.high is not None:
            block.leave_out(TOO_LATE, column, times >= self.high)

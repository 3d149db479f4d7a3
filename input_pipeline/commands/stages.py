"""How far a long command has come, stage by stage."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO

from tqdm import tqdm

_QUIET_SECONDS = 60.0


class Stages:
    """Says which stage is under way: on a terminal at once, elsewhere once a minute at most.

    Args:
      stream: where to; default: standard error.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._begun = self._told = time.monotonic()
        self._bar: tqdm[int] | None = None
        self._turn = ""

    def begin(self, stage: str) -> None:
        """Says what comes now; within `turns`, of which turn it is a part."""
        if self._bar is not None and self._is_terminal:
            self._bar.set_postfix_str(stage)
        elif self._is_terminal:
            self._say(f"{stage} ...")
        elif time.monotonic() - self._told >= _QUIET_SECONDS:
            minutes = (time.monotonic() - self._begun) / 60
            self._say(f"after {minutes:.0f} min: {self._turn}{stage} ...")

    def turns(self, numbers: Iterable[int], unit: str) -> Iterator[int]:
        """Goes over numbers, each a turn of the same stages."""
        numbers = list(numbers)
        with tqdm(numbers, desc=f"{unit}s", unit=unit, file=self._stream, disable=None) as bar:
            self._bar = bar
            for count, number in enumerate(bar, 1):
                self._turn = f"{unit} {count} of {len(numbers)}: "
                yield number
        self._bar, self._turn = None, ""

    def _say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)
        self._told = time.monotonic()

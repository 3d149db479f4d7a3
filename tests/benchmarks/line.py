"""One line of the benchmark's table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Goal:
    """What a line should reach.

    Attributes:
      of: `ratio` to the peer, or `ours`, the median.
      at_most, at_least: the limit; one of them.
    """

    of: str
    at_most: float | None = None
    at_least: float | None = None

    def __str__(self) -> str:
        sign, limit = (">=", self.at_least) if self.at_most is None else ("<=", self.at_most)
        return f"{self.of} {sign} {limit:,g}"

    def is_met(self, value: float) -> bool:
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)


@dataclasses.dataclass(frozen=True)
class Line:
    """What was measured.

    Attributes:
      name: what was done.
      unit: of every sample, such as `s`, `rows/s` or `GB`.
      ours: one sample a round.
      peer: the peer's, or the limit's, of the same rounds; () where there is none.
      peer_name: who that is.
      goal: None where the issue at hand asks for nothing.
      details: whatever else belongs to the figure: sizes, parameter and FLOP counts, quality.
    """

    name: str
    unit: str
    ours: Sequence[float]
    peer: Sequence[float] = ()
    peer_name: str = ""
    goal: Goal | None = None
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's: the median over rounds, in each of which both met the same load."""
        if not len(self.peer):
            return None
        return float(np.median(np.divide(self.ours, self.peer)))

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        value = self.ratio if self.goal.of == "ratio" else float(np.median(self.ours))
        assert value is not None, "a goal of a ratio needs a peer"
        return self.goal.is_met(value)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "rounds": len(self.ours),
            "ours": summary(self.ours),
            "peer_name": self.peer_name or None,
            "peer": summary(self.peer) if len(self.peer) else None,
            "ratio": self.ratio,
            "goal": None if self.goal is None else str(self.goal),
            "is_met": self.is_met,
            "details": dict(self.details),
        }


def summary(samples: Sequence[float]) -> dict[str, Any]:
    """Median, spread (the distance of the quartiles) and the samples themselves."""
    low, median, high = np.quantile(samples, (0.25, 0.5, 0.75)).tolist()
    return {"median": median, "spread": high - low, "samples": [float(x) for x in samples]}

"""Numbers that tell an outcome nearly by themselves: what deserves a warning."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from input_pipeline.report.ranking import Ranking, pooled
from input_pipeline.report.window_statistics import SIGNALS, WindowStatistics

# Popularity and other honest numbers rank labels with up to some 0.85; a label under another name
# with 5 % of its values wrong with 0.95.
TELLING_AUC = 0.9
# How sure that has to be: the lower bound of the interval, which few positives make wide.
TELLING_BOUND = 0.8
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Telling:
    """A number that tells an outcome.

    Attributes:
      signal, task: which number, and which outcome.
      ranking: how well.
      where: the window, or "all windows".
    """

    signal: str
    task: str
    ranking: Ranking
    where: str

    @property
    def is_column(self) -> bool:
        """Whether it comes from a column of the log, not from the graph or its windows."""
        return self.signal not in SIGNALS

    def __str__(self) -> str:
        low, high = self.ranking.bounds()
        return (
            f"{self.signal} ranks {self.task} with AUC {self.ranking.strength:.3f} "
            f"(95 %: {low:.2f} to {high:.2f}, {self.where})"
        )


def is_telling(ranking: Ranking | None) -> bool:
    """Whether a number is so near to an outcome that somebody should look at it."""
    return (
        ranking is not None
        and ranking.strength >= TELLING_AUC
        and ranking.bounds()[0] >= TELLING_BOUND
    )


def find(windows: Sequence[WindowStatistics], tasks: Sequence[str]) -> list[Telling]:
    """The numbers that tell an outcome, in all windows together or in a single one, worst first.

    Args:
      windows: in order.
      tasks: their names.
    """
    found = []
    for signal in dict.fromkeys(signal for window in windows for signal in window.aucs):
        for task in tasks:
            by_window = {
                window.name: ranking
                for window in windows
                if (ranking := window.aucs.get(signal, {}).get(task)) is not None
            }
            candidates = {"all windows": pooled(by_window.values()), **by_window}
            told = [
                Telling(signal, task, ranking, where)
                for where, ranking in candidates.items()
                if ranking is not None and is_telling(ranking)
            ]
            found += told[:1]
    return sorted(found, key=lambda one: (-one.ranking.bounds()[0], one.signal, one.task))


def warning(found: Sequence[Telling]) -> str:
    """One text of the worst ones, for a terminal; "" where there are none."""
    if not found:
        return ""
    named = "; ".join(map(str, found[:_NAMED]))
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    columns = any(one.is_column for one in found)
    advice = (
        " A column that is only known once the outcome is has to be left out of the features."
        if columns
        else " A model can look good here without knowing anyone."
    )
    return f"single numbers nearly tell the outcome: {named}{more}.{advice} See report.html"

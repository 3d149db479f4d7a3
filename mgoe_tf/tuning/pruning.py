"""Which trials train on: asynchronous successive halving (ASHA; Li et al., MLSys 2020).

A trial stops at rungs of 1, 3 and 9 times some epochs. Of the trials that came to a rung the best
third goes on to the next one, at once, without waiting for those that are still on their way. A
trial that failed on its way to a rung counts there as the worst.

Two things differ from the paper, whose searches never end. Trials that have not begun come before
promotions: their number is fixed, so that with one worker a rung is decided with all its scores,
and every model trains for the same epochs. And once nothing else is left to do, a rung promotes at
least one trial, so that a search of few trials ends with one of full length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

REDUCTION = 3
NUM_RUNGS = 3
PRUNERS = ("asha", "none")


def rungs(pruner: str, rung_epochs: int) -> tuple[int, ...]:
    """The epochs at which trials stop, the last of which are a whole trial.

    Args:
      pruner: of `PRUNERS`; none: trials stop at their end alone.
      rung_epochs: of the first rung.
    """
    epochs = tuple(rung_epochs * REDUCTION**rung for rung in range(NUM_RUNGS))
    return epochs if pruner == "asha" else epochs[-1:]


def promotion(
    scores: Sequence[Mapping[int, float | None]],
    begun: Sequence[AbstractSet[int]],
    *,
    is_settled: bool,
) -> tuple[int, int] | None:
    """The trial that goes on, and the rung that it goes to; None: there is none now.

    Of two trials of the same score the earlier one is the better.

    Args:
      scores: by rung, by trial that came to it; None: it failed on its way there.
      begun: by rung, the trials that came there or are on their way.
      is_settled: whether no trial is left to begin or on its way.
    """
    for at_least in (0, 1) if is_settled else (0,):
        for rung in reversed(range(len(scores) - 1)):
            quota = max(at_least, len(scores[rung]) // REDUCTION)
            known = {number: score for number, score in scores[rung].items() if score is not None}
            for number in sorted(known, key=lambda number: (-known[number], number))[:quota]:
                if number not in begun[rung + 1]:
                    return number, rung + 1
    return None


def epochs_left(counts: Sequence[int], rungs: Sequence[int], trials: int) -> int:
    """How many epochs a model's search has before it, at most: patience may end trials earlier.

    Args:
      counts: of the trials that came to each rung.
      rungs: epochs at each.
      trials: of the model.
    """
    left = 0
    for rung, count in enumerate(counts):
        expected = max(1, trials // REDUCTION**rung)
        epochs = rungs[rung] - (rungs[rung - 1] if rung else 0)
        left += max(0, expected - count) * epochs
    return left

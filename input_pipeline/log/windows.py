"""Cuts and windows: which graph each event may be seen by.

Window 0 is history (up to t_1), windows 1 .. n-2 are the training windows, n-1 is validation and n
is test. The rows of window k read the graph of the events before it, that is of windows 0 .. k-1.

With `order` lines are ordered within their users alone, by time where there is one, then line, and
each has a position. Of given cuts it is the line's place among its user's, (0-based index) /
(number of the user's lines). By default a user's last line has position 2, which is test, and the
one before it 1, validation, but never the user's first one. The others, R of all users, are put
into order by (0-based index) / (number of the user's others), then time and line, and have
positions r / R by their 0-based rank r. The cuts are then q_1 / q_{n-1}, ..., q_{n-2} / q_{n-1}, 1,
2: a line is in history if its position is below the first one, and so on.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.log.events import EventLog

# Independent streams of random numbers: np.random.default_rng([seed, stream, window]).
(
    STREAM_PERMUTATION,
    STREAM_NEGATIVES,
    STREAM_GROUPING,
    STREAM_ROW_ORDER,
    STREAM_SHARDS,
    STREAM_REQUESTS,
) = range(6)


def split_of(window: int, num_windows: int) -> str:
    """`history`, `train`, `validation` or `test`."""
    last = num_windows - 1
    return {0: "history", last - 1: "validation", last: "test"}.get(window, "train")


@dataclasses.dataclass(frozen=True)
class Windows:
    """The events of a log in the order of time, cut into windows.

    Attributes:
      lines: int64 [N], line numbers of the log ordered by window, then time, then line.
      time: int64 [N], the time of each of these: its timestamp (`time`), its rank by timestamp and
        line (`order`: its line number where there are no timestamps), or its rank in the
        permutation (`random`).
      bounds: int64 [n + 2]; window w holds lines[bounds[w]:bounds[w + 1]].
      cut_times: t_1 .. t_n.
    """

    lines: NDArray[Any]
    time: NDArray[Any]
    bounds: NDArray[Any]
    cut_times: tuple[float, ...]

    @property
    def num_windows(self) -> int:
        return len(self.bounds) - 1

    @property
    def shares(self) -> tuple[float, ...]:
        """Of the events, the share up to each cut."""
        return tuple((self.bounds[1:-1] / self.bounds[-1]).tolist())

    @property
    def window_of_event(self) -> NDArray[Any]:
        """int64 [N], ascending: the window of each entry of `lines`."""
        return np.repeat(np.arange(self.num_windows), np.diff(self.bounds))

    def slice(self, window: int) -> slice:
        return slice(int(self.bounds[window]), int(self.bounds[window + 1]))

    def split(self, window: int) -> str:
        """`history`, `train`, `validation` or `test`."""
        return split_of(window, self.num_windows)

    def name(self, window: int) -> str:
        """`history`, `training window 1`, ..., `validation` or `test`."""
        split = self.split(window)
        return f"training window {window}" if split == "train" else split

    def describe(self, window: int) -> str:
        """The window's name and limits, for messages."""
        last = self.num_windows - 1
        limits = []
        if window:
            limits.append(f"after t_{window} = {self.cut_times[window - 1]}")
        if window < last:
            limits.append(f"up to t_{window + 1} = {self.cut_times[window]}")
        return f"{self.name(window)} ({', '.join(limits)})"


def permutation_ranks(log: EventLog, rows: str, seed: int) -> NDArray[Any]:
    """int64 [N]: ranks in a seeded permutation; with `pairs`, the events of a pair share a rank."""
    random = np.random.default_rng([seed, STREAM_PERMUTATION])
    if rows != "pairs":
        return random.permutation(len(log))
    pairs = log.user_id.codes.astype(np.int64) * len(log.item_id.values) + log.item_id.codes
    distinct, pair = np.unique(pairs, return_inverse=True)
    return random.permutation(len(distinct))[pair]


def _index_of_user(user: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """int64 [N] and [N]: 0-based index among the user's lines, and the number of these."""
    order = np.argsort(user, kind="stable")
    count = np.bincount(user)
    first = np.cumsum(count) - count
    index = np.empty(len(user), np.int64)
    index[order] = np.arange(len(user)) - first[user[order]]
    return index, count[user]


def user_positions(user: NDArray[Any]) -> NDArray[Any]:
    """float64 [N]: (0-based index among the user's lines) / (number of the user's lines)."""
    index, count = _index_of_user(user)
    return index / count


def positions_from_the_end(user: NDArray[Any]) -> NDArray[Any]:
    """float64 [N]: 2 of a user's last line, 1 of the one before, rank / number of all others."""
    index, count = _index_of_user(user)
    from_end = count - 1 - index
    position = np.zeros(len(user))
    # The first line of a user stays among the others.
    position[(from_end == 0) & (index > 0)] = 2.0
    position[(from_end == 1) & (index > 0)] = 1.0
    others = np.flatnonzero(position == 0.0)
    share = index[others] / np.bincount(user[others])[user[others]]
    position[others[np.argsort(share, kind="stable")]] = np.arange(len(others)) / len(others)
    return position


def cut_windows(
    log: EventLog,
    split: str,
    rows: str,
    cuts: tuple[float, ...],
    seed: int,
    *,
    from_the_end: bool = False,
    given_times: tuple[int, ...] | None = None,
) -> Windows:
    """Orders the events and cuts them into n + 1 windows.

    Args:
      log: of N events.
      split: `time`, `order` or `random`.
      rows: as the spec has them.
      cuts: q_1 .. q_n.
      seed: of the permutation of `random`.
      from_the_end: with `order`, whether each user's last lines are validation and test.
      given_times: with `time`, t_1 .. t_n in place of the quantiles `cuts`.

    Raises:
      ValueError: without timestamps for `split="time"`, with times for another split, or naming
        the first empty window.
    """
    if not len(log):
        raise ValueError("--input: no events")
    if given_times is not None and split != "time":
        raise ValueError(f"--cut_times: needs --split=time, got --split={split}")
    cut_times: tuple[float, ...]
    if split == "order":
        # Times and lines order the whole log; the position only says which window a line is in.
        time, user = np.arange(len(log), dtype=np.int64), log.user_id.codes
        if log.timestamp is not None:
            by_time = np.argsort(log.timestamp, kind="stable")
            time[by_time] = np.arange(len(log))
            user = user[by_time]
        position = positions_from_the_end(user) if from_the_end else user_positions(user)
        position = position[time]
        cut_times = tuple(cuts)
        if from_the_end:
            cut_times = (*(q / cuts[-2] for q in cuts[:-2]), 1.0, 2.0)
        window = np.searchsorted(np.array(cut_times), position, side="right")
    else:
        if split == "random":
            time = permutation_ranks(log, rows, seed)
        elif log.timestamp is not None:
            time = log.timestamp
        else:
            raise ValueError(
                "--split=time: needs timestamps, but the source has none; use --split=order"
            )
        cut_times = given_times or tuple(np.quantile(time, cuts, method="lower").tolist())
        window = np.searchsorted(np.array(cut_times), time, side="left")
    timestamp = time if log.timestamp is None else log.timestamp
    # The stable sort keeps equal times in the order of the lines.
    lines = np.lexsort((timestamp, time, window))
    bounds = np.searchsorted(window[lines], np.arange(len(cut_times) + 2))
    windows = Windows(lines, time[lines], bounds, cut_times)
    for k in range(windows.num_windows):
        if bounds[k] == bounds[k + 1]:
            raise ValueError(
                f"--{'cuts' if given_times is None else 'cut_times'}: every window needs events, "
                f"but {windows.describe(k)} has none of the {len(log)} events"
                f"{_way_out(log, split, cuts, from_the_end)}"
            )
    return windows


def _way_out(log: EventLog, split: str, cuts: tuple[float, ...], from_the_end: bool) -> str:
    """What to do about an empty window, for its message."""
    longest = int(np.bincount(log.user_id.codes).max())
    if split == "order" and from_the_end:
        return (
            f", of which no user has more than {longest}: a user needs 3 to be validated and 2 to "
            "be tested; --split=random takes any lines"
        )
    if split == "order":
        return (
            f"; no user has more than {longest} lines, and one of N has its last at (N - 1) / N: "
            "without --cuts each user's last line is tested, or take lower --cuts, or "
            "--split=random"
        )
    if split == "time" and log.timestamp is not None and log.timestamp.min() == log.timestamp.max():
        return f": all have the time {log.timestamp[0]}; take --split=order or --split=random"
    if split == "time":
        return ", which are few, or many at one time: take other --cuts, or --split=random"
    return ", which are few: take fewer or other --cuts"

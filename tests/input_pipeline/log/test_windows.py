import dataclasses

import numpy as np
import pytest

from input_pipeline.log.windows import cut_windows, positions_from_the_end, user_positions
from input_pipeline.preparation_options import DEFAULT_CUTS
from tests.input_pipeline.logs import event_log, random_lines


def log_of(timestamps, users=None):
    """One line a timestamp."""
    lines = random_lines(0, num_lines=len(timestamps))
    log = event_log(lines)
    return dataclasses.replace(log, timestamp=np.array(timestamps, np.int64))


def test_hand_worked_windows_with_ties():
    # Ten events, q = 0.3, 0.5, 0.8: order statistics 2 (0.3 * 9 = 2.7), 4 (4.5) and 7 (7.2),
    # so t = 12, 14, 17. An event at t_k belongs to the window before it.
    timestamps = [19, 10, 12, 11, 14, 13, 14, 15, 17, 18]
    windows = cut_windows(log_of(timestamps), "time", "pairs", (0.3, 0.5, 0.8), 0)
    assert windows.cut_times == (12, 14, 17)
    in_windows = [windows.lines[windows.slice(w)].tolist() for w in range(4)]
    # Sorted by time; lines 4 and 6, both at 14, stay in the order of the file.
    assert in_windows == [[1, 3, 2], [5, 4, 6], [7, 8], [9, 0]]
    assert [windows.split(w) for w in range(4)] == ["history", "train", "validation", "test"]
    assert windows.describe(1) == "training window 1 (after t_1 = 12, up to t_2 = 14)"


def test_cuts_are_those_of_numpy():
    timestamps = np.random.default_rng(0).integers(0, 50, 333)
    cuts = (0.3, 0.4, 0.95)
    windows = cut_windows(log_of(timestamps), "time", "pairs", cuts, 0)
    assert list(windows.cut_times) == np.quantile(timestamps, cuts, method="lower").tolist()


def test_positions_count_a_users_own_lines():
    # User 0 has lines 0, 2, 3; user 1 has line 1.
    assert user_positions(np.array([0, 1, 0, 0])).tolist() == [0, 0, 1 / 3, 2 / 3]


def test_order_history_is_below_the_first_cut():
    lines = [dataclasses.replace(line, user=1) for line in random_lines(0, num_lines=10)]
    windows = cut_windows(event_log(lines), "order", "pairs", (0.3, 0.5, 0.7), 0)
    # Positions 0, 0.1, ..., 0.9: 0.3 is not below 0.3.
    assert np.diff(windows.bounds).tolist() == [3, 2, 2, 3]


# Users 0 to 3 have 5, 3, 2 and 1 lines.
USERS = np.array([0, 1, 0, 2, 1, 0, 3, 0, 2, 1, 0])


def test_positions_from_the_end():
    # The last lines of users 0, 1 and 2 are 10, 9 and 8, those before 7 and 4; line 3 is the first
    # one of user 2, and 6 the only one of user 3. The six others are the first ones of all users,
    # 0, 1, 3 and 6, then line 2, at 1/3 of user 0's others, then line 5, at 2/3.
    found = positions_from_the_end(USERS)
    wanted = {0: 0, 1: 1 / 6, 3: 2 / 6, 6: 3 / 6, 2: 4 / 6, 5: 5 / 6, 4: 1, 7: 1, 8: 2, 9: 2, 10: 2}
    assert found.tolist() == [wanted[line] for line in range(11)]


def test_order_tests_the_last_line_of_each_user_by_default():
    lines = random_lines(0, num_lines=11)
    lines = [dataclasses.replace(n, user=int(u)) for n, u in zip(lines, USERS, strict=True)]
    cuts = (0.3, 0.6, 0.8, 0.9)
    windows = cut_windows(event_log(lines), "order", "pairs", cuts, 0, from_the_end=True)
    # History is below 0.3 / 0.8 = 0.375, training window 1 below 0.75.
    assert windows.cut_times == (0.3 / 0.8, 0.6 / 0.8, 1.0, 2.0)
    found = [windows.lines[windows.slice(w)].tolist() for w in range(5)]
    assert found == [[0, 1, 3], [2, 6], [5], [4, 7], [8, 9, 10]]
    assert windows.time.tolist() == windows.lines.tolist()


def test_order_goes_by_time_where_there_is_one():
    # User 1 has lines 0, 1 and 3 at 30, 10 and 20, user 2 lines 2, 4 and 5 at 5, 5 and 1.
    lines = [
        dataclasses.replace(line, user=user, timestamp=timestamp)
        for line, user, timestamp in zip(
            random_lines(0, num_lines=6), (1, 1, 2, 1, 2, 2), (30, 10, 5, 20, 5, 1), strict=True
        )
    ]
    # In the order of time: 5, 2, 4, 1, 3, 0; the first lines of both users are the others.
    windows = cut_windows(event_log(lines), "order", "pairs", (0.3, 0.6, 0.8), 0, from_the_end=True)
    assert [windows.lines[windows.slice(w)].tolist() for w in range(4)] == [
        [5],
        [1],
        [2, 3],
        [4, 0],
    ]
    assert windows.time.tolist() == [0, 3, 1, 4, 2, 5]


def test_no_window_of_order_is_empty_by_default_however_short_the_users_are():
    # 25 users of 3 lines: 25 lines are cut into 7 windows.
    user = np.repeat(np.arange(25), 3)
    lines = random_lines(0, num_lines=75)
    lines = [dataclasses.replace(n, user=int(u)) for n, u in zip(lines, user, strict=True)]
    cuts = DEFAULT_CUTS
    windows = cut_windows(event_log(lines), "order", "pairs", cuts, 0, from_the_end=True)
    assert (np.diff(windows.bounds) > 0).all()
    assert np.diff(windows.bounds)[-2:].tolist() == [25, 25]


def test_random_windows_keep_pairs_together_and_depend_on_the_seed():
    log = event_log(random_lines(0, num_lines=200, users=5, items=8))
    windows = cut_windows(log, "random", "pairs", (0.3, 0.5, 0.8), 0)
    pair = log.user_id.codes[windows.lines] * 100 + log.item_id.codes[windows.lines]
    seen = [set(pair[windows.slice(w)].tolist()) for w in range(4)]
    assert sum(len(pairs) for pairs in seen) == len(set(pair.tolist()))
    other = cut_windows(log, "random", "pairs", (0.3, 0.5, 0.8), 1)
    assert other.lines.tolist() != windows.lines.tolist()


def test_an_empty_window_is_named():
    with pytest.raises(ValueError, match=r"validation \(after t_2 = 7, up to t_3 = 7\) has none"):
        cut_windows(log_of([1, 2, 3, 7, 7, 7, 7, 9]), "time", "pairs", (0.3, 0.6, 0.8), 0)


@pytest.mark.parametrize(
    ("split", "from_the_end", "message"),
    [
        ("order", False, r"no user has more than 1 lines, .*--split=random"),
        (
            "order",
            True,
            r"no user has more than 1: a user needs 3 to be validated .*--split=random",
        ),
        ("time", False, r"all have the time 7; take --split=order or --split=random"),
    ],
)
def test_an_empty_window_names_a_way_out(split, from_the_end, message):
    lines = [dataclasses.replace(n, user=u) for u, n in enumerate(random_lines(0, num_lines=9))]
    log = dataclasses.replace(event_log(lines), timestamp=np.full(9, 7))
    with pytest.raises(ValueError, match=f"--cuts: every window needs events, but .*{message}"):
        cut_windows(log, split, "pairs", (0.3, 0.6, 0.8), 0, from_the_end=from_the_end)


def test_time_needs_timestamps():
    with pytest.raises(ValueError, match="--split=time: needs timestamps"):
        cut_windows(event_log(random_lines(0, clock=None)), "time", "pairs", (0.3, 0.5, 0.8), 0)

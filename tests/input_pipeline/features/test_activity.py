"""Hand-worked activity of two users and two items."""

import numpy as np
import pytest

from input_pipeline.feature import Transform
from input_pipeline.features import registry
from input_pipeline.features.activity import Activity
from input_pipeline.features.provider import Cut, LogFacts
from input_pipeline.log.interactions import Past, build_interactions
from input_pipeline.log.windows import cut_windows
from tests.input_pipeline.logs import event_log
from tests.reference_preparation import Line

DAY = 86_400
LINES = [
    # user, item, tasks, day; the first cut is on day 4, the second on day 6.
    (1, 10, {0}, 0.0),
    (1, 11, {0, 1}, 1.0),
    (2, 10, {1}, 4.0),
    (1, 10, {0}, 4.0),
    (3, 10, set(), 6.0),
    (1, 12, {1}, 8.0),
    (2, 12, {0}, 10.0),
]


def facts(**other) -> LogFacts:
    return LogFacts(("click", "buy"), {}, {}, 5, True, activity=True, **other)


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_hand_worked(unit):
    ticks = DAY * {"s": 1, "ms": 1000}[unit]
    lines = [Line(u, i, frozenset(t), int(day * ticks)) for u, i, t, day in LINES]
    log = event_log(lines, ("click", "buy"))
    # Lower quantiles of 7 times: the 4th (day 4), the 5th (day 6) and the 6th (day 8).
    windows = cut_windows(log, "time", "events", (0.5, 0.7, 0.85), 0)
    assert [time / ticks for time in windows.cut_times] == [4.0, 6.0, 8.0]
    past = Past(build_interactions(log, windows), 2)

    def tables():
        macro = {owner: np.zeros(past.known(owner), np.int32) for owner in ("user", "item")}
        cut = Cut(facts(timestamp_unit=unit), past, None, None, macro, {})
        found = Activity().columns(cut)
        return {owner: table[f"{owner}_activity"].values for owner, table in found.items()}

    past.add_window()
    at_4 = tables()
    # User 1: clicks on days 0, 1, 4, one buy on day 1. User 2: a buy on day 4.
    np.testing.assert_allclose(
        at_4["user"], [[np.log(4), np.log(2), 4, 0], [0, np.log(2), 0, 0]], rtol=1e-6
    )
    # Item 10: clicks on days 0 and 4, a buy on day 4. Item 11: both on day 1.
    np.testing.assert_allclose(
        at_4["item"], [[np.log(3), np.log(2), 4, 0], [np.log(2), np.log(2), 3, 3]], rtol=1e-6
    )
    past.add_window()
    # Two days later; user 3 has seen item 10, and done nothing.
    at_6 = tables()
    np.testing.assert_allclose(at_6["user"][:, 2:], [[6, 2], [2, 2], [0, 0]])
    np.testing.assert_allclose(at_6["item"][:, 2:], [[6, 0], [5, 5]])
    assert at_6["user"][2].tolist() == [0, 0, 0, 0]
    past.add_window()
    past.add_window()
    # After the last cut it is as late as the last event, on day 10.
    np.testing.assert_allclose(tables()["user"][:, 2:], [[10, 2], [6, 0], [4, 4]])


def test_unknown_nodes_have_no_events_and_no_age():
    (user, item) = Activity().describe(facts())
    assert (user.name, user.owner, item.name, item.owner) == (
        "user_activity", "user", "item_activity", "item",
    )  # fmt: skip
    assert user.missing == user.filler == (0.0, 0.0, -1.0, -1.0)
    assert user.transform == Transform("standard", (0.0,) * 4, (1.0,) * 4)
    table = registry.empty_tables([user])["user"]["user_activity"]
    assert table.take(np.arange(2)).values.tolist() == [[0, 0, -1, -1]] * 2


def test_nothing_where_nobody_asked():
    assert Activity().describe(LogFacts(("click",), {}, {}, 5, True)) == ()

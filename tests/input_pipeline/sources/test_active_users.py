"""Users of few lines are left out and counted."""

import dataclasses

import numpy as np
import pytest

from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.prepare import prepare
from input_pipeline.sources import read_events
from input_pipeline.sources.active_users import keep_active_users
from tests.data_sets import small_log

# user 7 has three lines, user 8 two, user 9 one
LOG = """user_id,item_id,timestamp,is_click
7,a,1,1
8,a,2,1
7,b,3,1
9,c,4,1
8,b,5,0
7,a,6,1
"""


@pytest.fixture
def options(tmp_path) -> PreparationOptions:
    (tmp_path / "log.csv").write_text(LOG)
    return PreparationOptions(
        source="csv",
        input=(str(tmp_path / "log.csv"),),
        timestamp_column="timestamp",
        task_columns=("is_click:click",),
    )


@pytest.mark.parametrize(
    ("minimum", "users", "items", "left_out"),
    [
        (1, [7, 8, 9], [b"a", b"b", b"c"], 0),
        (2, [7, 8], [b"a", b"b"], 1),
        (3, [7], [b"a", b"b"], 3),
    ],
)
def test_lines_of_users_with_fewer(options, minimum, users, items, left_out) -> None:
    log = read_events(dataclasses.replace(options, min_user_events=minimum))
    assert np.asarray(log.user_id.values).tolist() == users
    assert [log.item_id.values[place] for place in range(len(log.item_id.values))] == items
    assert log.other_counts["lines_of_inactive_users"] == left_out
    assert len(log) == 6 - left_out
    assert log.timestamp.tolist() == sorted(log.timestamp.tolist())


def test_a_log_without_anybody_left_is_refused(options) -> None:
    message = "--min_user_events: must be at most 3, the lines of the most active user, got 4"
    with pytest.raises(ValueError, match=message):
        read_events(dataclasses.replace(options, min_user_events=4))
    with pytest.raises(ValueError, match="--min_user_events: must be at least 1, got 0"):
        dataclasses.replace(options, min_user_events=0)


def test_what_else_was_counted_stays() -> None:
    log = dataclasses.replace(small_log(events=200), other_counts={"null_cells": 2})
    lines = np.bincount(log.user_id.codes)
    found = keep_active_users(log, 4)
    assert found.other_counts == {
        "null_cells": 2,
        "lines_of_inactive_users": int(lines[lines < 4].sum()),
    }


def test_the_report_tells_how_many(tmp_path) -> None:
    preparation = PreparationOptions(
        source="synthetic",
        users=60,
        items=80,
        events=3000,
        min_user_events=30,
        num_user_macro_nodes=4,
        num_item_macro_nodes=4,
        data_dir=str(tmp_path / "data"),
    )
    spec = prepare(preparation)
    number = spec.counts["lines_of_inactive_users"]
    assert number > 0
    assert spec.counts["events"] == 3000 - number
    page = (tmp_path / "data" / "report.html").read_text()
    assert f"{number:,} lines of users with fewer than --min_user_events were left out." in page

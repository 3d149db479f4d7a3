"""What flags of tasks mean, line by line: labels, conditions, types of events, implicit tasks."""

from __future__ import annotations

import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from input_pipeline.log.events import EventLog
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources import read_events
from input_pipeline.sources.remarks import UNKNOWN_EVENTS
from tests.input_pipeline.sources.test_sources import raw, write


def read(path: str, **flags: Any) -> EventLog:
    options = {"source": "csv", "input": path, "user_column": "u", "item_column": "i", **flags}
    return read_events(PreparationOptions(**options))


def csv_of(tmp_path: pathlib.Path, *cells: str, name: str = "k") -> str:
    lines = [f"u,i,{name}", *(f"{n},2,{cell}" for n, cell in enumerate(cells))]
    return write(tmp_path, "\n".join(lines).encode())


LABELS = {
    "1": 1, "0": 0, "1.0": 1, "0.0": 0, "1.000": 1, "+1": 1, "0e0": 0, "True": 1, "False": 0,
    "TRUE": 1, "FALSE": 0, "true": 1, "false": 0, "t": 1, "f": 0, "T": 1, "F": 0, "yes": 1,
    "No": 0, "Y": 1, "n": 0, "": None, "NULL": None, "nan": None, "NaN": None, "\\N": None,
    "None": None, "NA": None, " 1": 1, "true ": 1, "  ": None,
}  # fmt: skip


def test_words_for_labels(tmp_path: pathlib.Path) -> None:
    log = read(csv_of(tmp_path, *LABELS), task_columns=("k:click",))
    assert log.behaviors.tolist() == [int(label == 1) for label in LABELS.values()]
    assert log.unlabeled is not None
    assert log.unlabeled.tolist() == [int(label is None) for label in LABELS.values()]
    assert log.malformed_lines == 0
    # All that are missing but the empty ones.
    assert log.other_counts["null_cells"] == 6


@pytest.mark.parametrize("cell", ["2", "-1", "0.5", "10", "tr", "on", "1,0", "truee"])
def test_cells_that_are_no_labels(tmp_path: pathlib.Path, cell: str) -> None:
    message = r"log.csv:3: k must be 0 or 1, true or false, or empty \(of numbers: 'k>0:click'"
    with pytest.raises(ValueError, match=f"1 of 3 lines are malformed[^$]*{message}"):
        read(csv_of(tmp_path, "1", f'"{cell}"', "0"), task_columns=("k:click",))


@pytest.mark.parametrize(
    ("condition", "shown"),
    [
        ("k>=4", [0, 0, 1, 1, 1]),
        ("k>4", [0, 0, 0, 1, 1]),
        ("k<=4", [1, 1, 1, 0, 0]),
        ("k<4", [1, 1, 0, 0, 0]),
        ("k=4", [0, 0, 1, 0, 0]),
        ("k==4.0", [0, 0, 1, 0, 0]),
        ("k >= 4", [0, 0, 1, 1, 1]),
        ("k>=-1e0", [1, 1, 1, 1, 1]),
        ("k>=4.1", [0, 0, 0, 1, 1]),  # as float32, 4.1 is another number
        ("k=true", [0, 1, 0, 0, 0]),
    ],
)
def test_conditions(tmp_path: pathlib.Path, condition: str, shown: list[int]) -> None:
    cells = ("-1", "1", "4.0", "4.1", "5")
    log = read(csv_of(tmp_path, *cells, "", "NA"), task_columns=(f"{condition}:like",))
    assert log.tasks == ("like",)
    assert log.behaviors.tolist() == [*shown, 0, 0]
    assert log.unlabeled is not None
    assert log.unlabeled.tolist() == [0] * 5 + [1, 1]


def test_several_conditions_share_a_column_beside_a_label(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, b"u,i,k,w\n1,2,3,1\n1,3,4,0\n1,4,5,1\n1,5,,1\n")
    log = read(path, task_columns=("w:watch", "k>=4:like", "k>=5:love"))
    assert log.tasks == ("watch", "like", "love")
    assert log.behaviors.tolist() == [1, 2, 1 + 2 + 4, 1]
    assert log.unlabeled is not None
    assert log.unlabeled.tolist() == [0, 0, 0, 2 + 4]
    assert log.has_exposures is False
    log = read(path, task_columns=("k>=4:like",))
    assert log.has_exposures is True


def test_a_column_with_a_colon_as_some_libraries_write_it(tmp_path: pathlib.Path) -> None:
    path = csv_of(tmp_path, "3", "4", name="rating:float")
    assert read(path, task_columns=("rating:float>=4:like",)).behaviors.tolist() == [0, 1]


def test_what_a_condition_cannot_compare_is_malformed(tmp_path: pathlib.Path) -> None:
    message = "log.csv:3: k must be a number, to be compared with 4.0, or empty, got 'good'"
    with pytest.raises(ValueError, match=message):
        read(csv_of(tmp_path, "3", "good"), task_columns=("k>=4:like",))
    with pytest.raises(ValueError, match=r"k must be a number.* got 'nan'"):
        read(csv_of(tmp_path, "3", "nan"), task_columns=("k>=4:like",), null_markers=())


EVENTS = ("view", "addtocart", "view", "remove", "", "transaction", "NULL", "remove", "hover")


def test_types_of_events(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    log = read(
        csv_of(tmp_path, *EVENTS, name="event"),
        event_column="event",
        task_columns=("view:click", "addtocart:cart", "transaction:buy"),
        max_malformed=0.5,
    )
    assert log.tasks == ("click", "cart", "buy")
    assert raw(log.user_id) == [0, 1, 2, 5]
    assert log.behaviors.tolist() == [1, 2, 1, 4]
    assert (log.unlabeled, log.has_exposures) == (None, False)
    assert log.malformed_lines == 2  # without a type
    assert log.other_counts[UNKNOWN_EVENTS] == 3
    assert (
        "3 lines are left out, whose event is none of --task_columns (--unknown_events=refuse "
        "counts them as malformed): 'remove' 2, 'hover' 1" in caplog.text
    )


def test_lines_that_are_left_out_may_lack_what_others_must_have(tmp_path: pathlib.Path) -> None:
    # A search has no item, and an old line no user.
    path = write(tmp_path, b"u,i,e,t\n1,2,view,5\n1,,search,x\n1,3,view,6\n,4,view,1\n")
    flags: dict[str, Any] = {"event_column": "e", "task_columns": ("view:click",)}
    log = read(path, **flags, timestamp_column="t", time_from="5")
    assert (raw(log.item_id), log.malformed_lines) == ([2, 3], 0)
    assert log.other_counts[UNKNOWN_EVENTS] == log.other_counts["lines_before_time_from"] == 1
    with pytest.raises(ValueError, match=r"csv:5: u must be a non-empty id, got ''"):
        read(path, **flags, timestamp_column="t")


def test_types_of_events_as_conditions_on_text(tmp_path: pathlib.Path) -> None:
    path = csv_of(tmp_path, "view", "cart", "buy", "view", name="event")
    log = read(path, task_columns=("event=view:click", "event=buy:buy"))
    assert log.behaviors.tolist() == [1, 2, 1]
    assert (log.other_counts[UNKNOWN_EVENTS], log.has_exposures) == (1, False)


def test_unknown_types_of_events_may_be_malformed(tmp_path: pathlib.Path) -> None:
    message = r"3 of 4 lines .*\n.*csv:3: e must be one of view, buy, got 'x'\n.*4: e .* got 'Buy'"
    with pytest.raises(ValueError, match=message):
        read(
            csv_of(tmp_path, "view", "x", "Buy", "", name="e"),
            event_column="e",
            task_columns=("view:click", "buy"),
            unknown_events="refuse",
        )


def test_a_log_of_other_types_alone_names_them(tmp_path: pathlib.Path) -> None:
    with pytest.raises(
        ValueError, match=r"--task_columns: no line is left.* 'event', which has 'V"
    ):
        read(
            csv_of(tmp_path, "View", "View", "Buy", name="event"),
            event_column="event",
            task_columns=("view:click",),
        )


def test_types_that_are_numbers_may_be_written_as_floats(tmp_path: pathlib.Path) -> None:
    flags: dict[str, Any] = {"event_column": "e", "task_columns": ("0:click", "2:buy")}
    for cells in (("0", "2", "1"), ("0.0", "2.0", "1.0")):
        log = read(csv_of(tmp_path, *cells, name="e"), **flags)
        assert log.behaviors.tolist() == [1, 2]
    path = str(tmp_path / "log.parquet")
    table = pa.table({"u": [1, 2, 3], "i": [1, 2, 3], "e": [0.0, 2.0, 1.0]})
    pyarrow.parquet.write_table(table, path)
    assert read(path, source="parquet", **flags).behaviors.tolist() == [1, 2]


def test_an_implicit_task(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, b"u,i,k\n1,2,3\n1,3,5\n")
    log = read(path, implicit_task="click")
    assert (log.tasks, log.behaviors.tolist(), log.has_exposures) == (("click",), [1, 1], False)
    log = read(path, implicit_task="watch", task_columns=("k>=4:like",))
    assert (log.tasks, log.behaviors.tolist()) == (("watch", "like"), [1, 3])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"task_columns": ("k:a", "k:b")}, "a column or a condition of its own, got 'k' twice"),
        ({"task_columns": ("k>=4:a", "k >= 4.0:b")}, "of its own, got 'k >= 4.0' twice"),
        ({"task_columns": ("k>=4",)}, "a condition needs a task, as k>=4:like"),
        ({"task_columns": ("k>=good:like",)}, ">= compares numbers, got 'good' in 'k>=good'"),
        ({"task_columns": ("k>=inf:like",)}, "a number must be finite, got 'k>=inf'"),
        ({"task_columns": ("k:average",)}, "'average' is reserved: metrics, TensorBoard and com"),
        ({"task_columns": ("k:loss",)}, "'loss' is reserved: training has the loss of all tasks"),
        ({"task_columns": ("k:user_id",)}, "'user_id' is reserved: it is that of a feature of ev"),
        ({"task_columns": ("k:item_1hop",)}, "'item_1hop' is reserved: it is that of a feature"),
        (
            {"task_columns": ("k:price",), "item_feature_columns": ("i:price",)},
            "'price' is reserved: it is that of one of the feature columns; give another as col",
        ),
        (
            {"event_column": "k", "task_columns": ("view:a", "view:b")},
            "a type of event of its own, got 'view' twice",
        ),
        (
            {"event_column": "k", "task_columns": ("view:a",), "implicit_task": "b"},
            "--implicit_task: is for logs without --event_column, got 'b' with --event_column=k",
        ),
        (
            {"event_column": "k", "task_columns": ("view:a",), "item_feature_columns": ("k:z",)},
            r"a label must not be a feature too, got \['k'\]",
        ),
        (
            {"task_columns": ("k>1:a",), "item_feature_columns": ("k:z",)},
            r"a label must not be a feature too, got \['k'\]",
        ),
        ({"implicit_task": "average"}, "--implicit_task: task name 'average' is reserved"),
        ({"implicit_task": "a", "task_columns": ("k:a",)}, r"must differ, got \['a', 'a'\]"),
    ],
)
def test_tasks_that_cannot_be(tmp_path: pathlib.Path, flags: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(csv_of(tmp_path, "1"), **flags)


@pytest.mark.parametrize(
    "flags",
    [{"task_columns": ("k:a",)}, {"event_column": "k"}, {"implicit_task": "a"}],
)
def test_sources_with_tasks_of_their_own_take_no_others(flags: dict) -> None:
    message = f"--{next(iter(flags))}: only csv and parquet have columns to name, got --source=taob"
    with pytest.raises(ValueError, match=message):
        read_events(PreparationOptions(source="taobao", input="x", **flags))


def test_a_copy_of_a_label_may_be_a_feature(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, b"u,i,click,buy\n1,2,1,1\n1,3,0,0\n")
    log = read(path, task_columns=("click",), item_feature_columns=("buy",))
    assert raw(log.item_features["buy"]) == [1, 0]

"""What preparation says on the terminal, and that it writes a data set all the same."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from input_pipeline import prepare
from input_pipeline.files import filesystem
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.report import data_report
from input_pipeline.spec import DatasetSpec

START, DAY = 1_700_000_000, 86_400


@pytest.fixture
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_report, "render", lambda *_: "")


def write(tmp_path: pathlib.Path, header: str, lines: list[str]) -> pathlib.Path:
    path = tmp_path / "log.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def run(path: pathlib.Path, **flags: Any) -> DatasetSpec:
    options: dict[str, Any] = {
        "source": "csv",
        "input": (str(path),),
        "data_dir": str(path.parent / "data"),
        "user_column": "user",
        "item_column": "item",
        "timestamp_column": "ts",
        "task_columns": ("click",),
        "cuts": (0.3, 0.6, 0.8),
        "num_shards": 1,
    }
    return prepare.prepare(PreparationOptions(**{**options, **flags}))


def clicks(times: list, every: int = 3) -> list[str]:
    """Lines of four users and five items, every third of which is a click."""
    return [f"u{n % 4},i{n % 5},{int(n % every == 0)},{time}" for n, time in enumerate(times)]


def test_a_few_times_in_another_unit(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    times = [START + DAY * n for n in range(40)]
    times[20:23] = [1000 * time for time in times[20:23]]
    path = write(tmp_path, "user,item,click,ts", clicks(times))
    spec = run(path)
    assert spec.counts["times_outside_the_calendar"] == 3
    assert spec.counts["events"] == 40
    assert (
        f"3 timestamps are outside the calendar, which is the years 1970 to 2099, as {path}:22"
        in (caplog.text)
    )
    page = filesystem.read_text(str(tmp_path / "data" / "report.html"))
    assert "3 timestamps are outside the calendar, and not among the events per day." in page
    assert "Events per day" in page


@pytest.mark.parametrize("share", [1, 9, 19])
@pytest.mark.parametrize("odd", [-5, "0001-01-01", "9999-12-31", 2**62])
def test_odd_times_of_any_share(tmp_path: pathlib.Path, odd: int | str, share: int) -> None:
    times = [START + DAY * n for n in range(40)]
    times[5 : 5 + share] = [odd] * share
    path = write(tmp_path, "user,item,click,ts", clicks(times))
    spec = run(path, cuts=(0.6, 0.7, 0.8) if odd in (-5, "0001-01-01") else (0.2, 0.3, 0.4))
    assert spec.counts["times_outside_the_calendar"] == share
    assert filesystem.exists(str(tmp_path / "data" / "report.html"))


@pytest.mark.parametrize("odd", ["0001-01-01", "9999-12-31", "1-01-01"])
def test_a_log_that_is_mostly_of_another_age_has_a_report(tmp_path: pathlib.Path, odd: str) -> None:
    times = [odd.replace("1-01-01", f"1{n:03}-01-01") if odd[0] == "1" else odd for n in range(40)]
    times[-3:] = [str(START + n) for n in range(3)]
    path = write(tmp_path, "user,item,click,ts", clicks(times))
    spec = run(path, split="order", cuts=None)
    assert spec.counts["times_outside_the_calendar"] == 0


@pytest.mark.usefixtures("_no_figures")
def test_a_log_without_times_says_what_follows(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, "user,item,click,ts", clicks([START] * 50))
    spec = run(path, timestamp_column=None, cuts=None)
    assert spec.split == "order"
    assert (spec.counts["rows"]["validation"], spec.counts["rows"]["test"]) == (4, 4)
    told = (
        "there is no --timestamp_column, so that lines are ordered within each user alone, as they "
        "are in the files (--split=order): each user's last line is test, and the one before valid"
    )
    assert told in caplog.text


@pytest.mark.usefixtures("_no_figures")
def test_a_log_of_a_single_time_says_what_follows(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, "user,item,click,ts", clicks([START] * 50))
    spec = run(path, cuts=(0.3, 0.6, 0.8))
    assert (spec.split, spec.timestamp_unit) == ("order", "s")
    assert f"all lines have the time {START}, so that lines are ordered within each" in caplog.text
    assert "--cuts cut each user's lines by their position" in caplog.text
    with pytest.raises(ValueError, match=f"all have the time {START}; take --split=order or"):
        run(path, split="time", data_dir=str(tmp_path / "other"))


@pytest.mark.usefixtures("_no_figures")
def test_a_log_with_times_says_nothing_of_them(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, "user,item,click,ts", clicks([START + n for n in range(50)]))
    assert run(path).split == "time"
    assert run(path, split="random", data_dir=str(tmp_path / "other")).split == "random"
    assert "ordered within each user" not in caplog.text


@pytest.mark.usefixtures("_no_figures")
def test_two_long_users_among_short_ones(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    # With given cuts, only the two users of 40 lines are validated and tested.
    lines = [f"s{n % 300},i{n % 7},{n % 2}" for n in range(900)]
    lines += [f"long{n % 2},i{n % 7},{n // 2 % 2}" for n in range(80)]
    path = write(tmp_path, "user,item,click", lines)
    run(path, timestamp_column=None, cuts=(0.3, 0.6, 0.9, 0.95))
    assert (
        "rows of 2 of 302 users and test has 4 rows of 2 of 302 users: below 1,000" in caplog.text
    )
    caplog.clear()
    spec = run(path, timestamp_column=None, cuts=None, data_dir=str(tmp_path / "other"))
    assert spec.counts["rows"]["test"] == 302
    assert "test has 302 rows of 302 of 302 users: below 1,000 rows" in caplog.text


@pytest.mark.usefixtures("_no_figures")
def test_tasks_that_cannot_be_learnt(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"{line},0," for line in clicks([START + n for n in range(40)])]
    lines[-1] += "1"  # `fav` is told of in the test window alone
    path = write(tmp_path, "user,item,click,ts,buy,fav", lines)
    spec = run(path, task_columns=("click", "buy", "fav"))
    assert "task buy has no positives among 24 labels of the rows of training" in caplog.text
    assert "task fav has no labels in the rows of training" in caplog.text
    assert "task click" not in caplog.text
    assert spec.counts["labels"]["history"] == {"click": 12, "buy": 12, "fav": 0}


@pytest.mark.usefixtures("_no_figures")
def test_a_validation_window_of_one_class(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"u{n % 4},i{n % 5},{int(n % 3 == 0 and not 23 < n < 32)},{n}" for n in range(40)]
    run(write(tmp_path, "user,item,click,ts", lines))
    assert "every task has labels of one kind alone in the validation window" in caplog.text


@pytest.mark.usefixtures("_no_figures")
def test_a_copy_of_the_label_as_a_side_feature_is_accepted(tmp_path: pathlib.Path) -> None:
    lines = [f"{line},{line.split(',')[2]}" for line in clicks([START + n for n in range(40)])]
    spec = run(write(tmp_path, "user,item,click,ts,buy", lines), item_feature_columns=("buy",))
    assert spec.feature("buy").owner == "item"

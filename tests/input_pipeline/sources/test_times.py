"""The time of a log in every form: what it becomes, what is dropped, and what cannot be."""

from __future__ import annotations

import datetime
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from input_pipeline.log.events import EventLog
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources import read_events
from input_pipeline.sources.times import parse_times
from tests.input_pipeline.sources.test_sources import raw, write

FLAGS: dict[str, Any] = {
    "source": "csv",
    "user_column": "u",
    "item_column": "i",
    "timestamp_column": "t",
    "implicit_task": "click",
}
NOON = 1_704_456_000  # 2024-01-05 12:00:00, UTC
# In seconds and in milliseconds, and whether each drops something.
TIMES = {
    "2024-01-05": ((NOON - 43_200, False), (1000 * NOON - 43_200_000, False)),
    "2024-01-05 12:00": ((NOON, False), (1000 * NOON, False)),
    "2024-01-05T12:00:00Z": ((NOON, False), (1000 * NOON, False)),
    "2024-01-05 12:00:00 UTC": ((NOON, False), (1000 * NOON, False)),
    "2024/01/05 12:00:00": ((NOON, False), (1000 * NOON, False)),
    "2024-01-05 12:00:00 GMT": ((NOON, False), (1000 * NOON, False)),
    "2024-01-05 12:00:00 Z": ((NOON, False), (1000 * NOON, False)),
    "2024-01-05 14:00:00 +0200": ((NOON, False), (1000 * NOON, False)),
    "2024-01-05 14:00:00+02": ((NOON, False), (1000 * NOON, False)),
    "2024-01-05T14:00:00.000+02:00": ((NOON, False), (1000 * NOON, False)),
    "2024-01-05T06:30:00.25-05:30": ((NOON, True), (1000 * NOON + 250, False)),
    "2024-01-05T12:00:00.123456": ((NOON, True), (1000 * NOON + 123, True)),
    "2024-01-05T12:00:00,5": ((NOON, True), (1000 * NOON + 500, False)),
    "1969-12-31T23:59:59.5": ((-1, True), (-500, False)),
    "1704456000": ((NOON, False), (NOON, False)),
    "1704456000.0": ((NOON, False), (NOON, False)),
    "1704456000.123": ((NOON, True), (NOON, True)),
    "1.704456e9": ((NOON, False), (NOON, False)),
    "-1.5": ((-2, True), (-2, True)),
    ".5": ((0, True), (0, True)),
}


def test_finer_units() -> None:
    cells = pa.array([b"2024-01-05T12:00:00.1234567891", b" 2024-01-05T12:00:00.5Z ", b"77"])
    for unit, scale in (("us", 10**6), ("ns", 10**9)):
        times = parse_times(cells, unit)
        fraction = 123_456_789 * scale // 10**9
        assert times.values.tolist() == [NOON * scale + fraction, NOON * scale + scale // 2, 77]
        assert times.shortened.tolist() == [True, False, False]
    # Nanoseconds of the year 2263 are beyond int64.
    times = parse_times(pa.array([b"2263-01-01", b"2262-01-01"]), "ns")
    assert times.malformed.tolist() == [True, False]


@pytest.mark.parametrize(("place", "unit"), [(0, "s"), (1, "ms")])
def test_forms(place: int, unit: str) -> None:
    times = parse_times(pa.array([text.encode() for text in TIMES], pa.binary()), unit)
    assert not (times.missing | times.malformed).any()
    found = dict(zip(TIMES, zip(times.values.tolist(), times.shortened, strict=True), strict=True))
    assert found == {text: both[place] for text, both in TIMES.items()}


def test_forms_agree_with_the_calendar_of_python() -> None:
    random = np.random.default_rng(0)
    zones = [datetime.timezone(datetime.timedelta(minutes=int(m))) for m in (-570, 0, 345, 840)]
    moments = [
        datetime.datetime.fromtimestamp(int(second), zones[n % 4]).replace(
            microsecond=int(random.integers(10**6))
        )
        for n, second in enumerate(random.integers(-(10**9), 4 * 10**9, 400))
    ]
    text = [moment.isoformat().encode() for moment in moments]
    times = parse_times(pa.array(text, pa.binary()), "ms")
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    wanted = [(moment - epoch) // datetime.timedelta(milliseconds=1) for moment in moments]
    assert times.values.tolist() == wanted


@pytest.mark.parametrize(
    "cell",
    ["2024-02-30", "2024-01-05 25:00", "05/01/2024", "1e19", "9223372036854775808", "1e400",
     "2024-01-05 12:00:00 CET", "12:00", "0000-00-00", "--1", "1.5.5"],
)  # fmt: skip
def test_cells_that_are_no_times(cell: str) -> None:
    for unit in ("s", "ms"):
        times = parse_times(pa.array([b"1", cell.encode(), b""], pa.binary()), unit)
        assert times.malformed.tolist() == [False, True, False]
        assert times.missing.tolist() == [False, False, True]


def csv_of(tmp_path: pathlib.Path, *cells: Any) -> str:
    lines = ["u,i,t", *(f"{n},2,{cell}" for n, cell in enumerate(cells))]
    return write(tmp_path, "\n".join(lines).encode())


def read(path: str, **flags: Any) -> EventLog:
    return read_events(PreparationOptions(**{**FLAGS, "input": path, **flags}))


def times_of(log: EventLog) -> list[int]:
    assert log.timestamp is not None
    return log.timestamp.tolist()


def test_a_log_of_several_forms(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    path = csv_of(tmp_path, NOON, "2024-01-05 12:00:01.25", "2024-01-06", f"{NOON}.75")
    log = read(path)
    assert times_of(log) == [NOON, NOON + 1, NOON + 43_200, NOON]
    assert (log.timestamp_unit, log.other_counts["shortened_times"]) == ("s", 2)
    assert f"2 timestamps are rounded down to whole s, as {path}:3: t='2024-01-05" in caplog.text


MOMENTS = [datetime.datetime(2024, 1, 5, 12, 0, 0, 250_000), datetime.datetime(1969, 12, 31, 23)]


@pytest.mark.parametrize(
    "kind",
    [pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("us", "Asia/Tokyo")],
)
@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 1000)])
def test_timestamps_of_parquet(tmp_path, kind: pa.DataType, unit: str, scale: int) -> None:
    moments = [m.replace(tzinfo=datetime.timezone.utc) if kind.tz else m for m in MOMENTS]
    log = _read_parquet(tmp_path, pa.array(moments, kind), timestamp_unit=unit)
    assert times_of(log) == [NOON * scale + (scale == 1000) * 250, -3600 * scale]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array([MOMENTS[0].date(), MOMENTS[1].date()], pa.date32()), [NOON - 43_200, -86_400]),
        (pa.array([MOMENTS[0].date(), MOMENTS[1].date()], pa.date64()), [NOON - 43_200, -86_400]),
        (pa.array([NOON, -5], pa.timestamp("s")), [NOON, -5]),
        (pa.array([NOON + 0.5, -0.5]), [NOON, -1]),
        (pa.array([NOON, 7], pa.int32()), [NOON, 7]),
        (pa.array([NOON, 7], pa.uint64()), [NOON, 7]),
        (pa.array(["2024-01-05 12:00:00+00:00", "1969-12-31"]), [NOON, -86_400]),
        (pa.array(["2024-01-05", "2024-01-05"]).dictionary_encode(), [NOON - 43_200] * 2),
        # Of a fraction before 1970, the second before it.
        (pa.array([-1_500, 0], pa.timestamp("ms")), [-2, 0]),
    ],
)
def test_times_of_parquet(tmp_path: pathlib.Path, values: pa.Array, wanted: list[int]) -> None:
    assert times_of(_read_parquet(tmp_path, values)) == wanted


def _read_parquet(tmp_path: pathlib.Path, values: pa.Array, **flags: Any) -> EventLog:
    path = str(tmp_path / "log.parquet")
    pyarrow.parquet.write_table(pa.table({"u": [1, 2], "i": [3, 4], "t": values}), path)
    return read(path, source="parquet", **flags)


@pytest.mark.parametrize(
    ("odd", "count"),
    [
        ([1000 * NOON], 1),  # a line in milliseconds
        (["0001-01-01"], 1),
        ([-5, -1, 1000 * NOON], 3),
        ([4_102_444_800], 1),  # 2100
        (["9999-12-31 23:59:59"] * 4, 4),
        ([-(2**63), 2**63 - 1], 2),
    ],
)
def test_times_outside_the_calendar_stay_and_are_told(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, odd: list, count: int
) -> None:
    path = csv_of(tmp_path, *odd, *range(NOON, NOON + 6))
    log = read(path)
    assert len(log) == len(odd) + 6
    assert log.other_counts["times_outside_the_calendar"] == count
    message = f"{count} timestamps are outside the calendar, which is the years 1970 to 2099, as "
    assert f"{message}{path}:2: t='{odd[0]}'" in caplog.text


def test_a_log_of_the_calendar_says_nothing(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = read(csv_of(tmp_path, 0, NOON, 4_102_444_799))
    assert log.other_counts["times_outside_the_calendar"] == 0
    # A log that is mostly older is of another calendar.
    log = read(csv_of(tmp_path, -5, -6, -7, NOON))
    assert log.other_counts["times_outside_the_calendar"] == 0
    assert not caplog.records


def test_seconds_that_are_called_milliseconds_are_told(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    read(csv_of(tmp_path, NOON, NOON + 1), timestamp_unit="ms")
    assert f"--timestamp_unit=ms: the median timestamp {NOON} is a time in 1970; are they in s" in (
        caplog.text
    )
    caplog.clear()
    read(csv_of(tmp_path, 5000, 86_400_000), timestamp_unit="ms")  # from the start of a study, say
    assert not caplog.records


def test_dates_as_eight_digits_are_told(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert times_of(read(csv_of(tmp_path, 20240131, 20231201))) == [20240131, 20231201]
    assert "timestamps such as 20240131 look like dates" in caplog.text
    caplog.clear()
    read(csv_of(tmp_path, 20240131, 20231301))
    assert not caplog.records


def test_times_of_features_outside_the_calendar_are_missing(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = csv_of(tmp_path, NOON, 1000 * NOON, -3600, "0001-01-01 05:00")
    log = read(path, context_feature_columns=("t:hour",), timestamp_column=None)
    column = log.context_features["t"]
    assert [None if c < 0 else column.values[c] for c in column.codes] == [12, None, 23, 5]
    assert log.other_counts["feature_times_outside_the_calendar"] == 1
    assert f"column 't': 1 times are outside the calendar and are read as missing, as {path}:3" in (
        caplog.text
    )


def test_a_range_of_time(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    path = csv_of(tmp_path, NOON - 1, NOON, NOON + 1, 1000 * NOON, NOON + 86_400, NOON + 86_399)
    log = read(path, time_from="2024-01-05 12:00", time_to=str(NOON + 86_400))
    assert times_of(log) == [NOON, NOON + 1, NOON + 86_399]
    assert raw(log.user_id) == [1, 2, 5]
    assert log.other_counts["lines_before_time_from"] == 1
    assert log.other_counts["lines_from_time_to_on"] == 2
    # What was cut off is not told again as outside the calendar.
    assert log.other_counts["times_outside_the_calendar"] == 0
    assert "1 lines are left out, being before --time_from" in caplog.text
    assert "2 lines are left out, being not before --time_to" in caplog.text
    assert "calendar" not in caplog.text
    assert log.malformed_lines == 0


def test_a_range_of_time_of_a_format_with_a_clock(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, b"1,20,300,pv,1511544070\n1,21,301,buy,15115440710\n")
    options = PreparationOptions(source="taobao", input=path, time_to="2017-12-03")
    assert raw(read_events(options).item_id) == [20]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"time_from": "yesterday"}, "--time_from: must be a time, as a number in s or as ISO 86"),
        ({"time_from": "2", "time_to": "2"}, "--time_to: must be after --time_from=2, got 2"),
        (
            {"time_from": "2", "timestamp_column": None},
            "--time_from: needs a log with times, but there are none",
        ),
        (
            {"time_from": "2030-01-01"},
            r"no line is left by --time_from: earlier are 1 \(.*log.csv:2",
        ),
        (
            {"time_to": "5"},
            r"no line is left by --time_to: 1 are not before it \(.*:2: t='17044560",
        ),
        ({"source": "synthetic", "time_to": "5"}, "--time_to: is for logs that are read"),
    ],
)
def test_ranges_that_cannot_be(tmp_path: pathlib.Path, flags: dict, message: str) -> None:
    if flags.get("source") == "synthetic":
        flags = {**flags, "implicit_task": None, "timestamp_column": None}
    with pytest.raises(ValueError, match=message):
        read(csv_of(tmp_path, NOON), **flags)

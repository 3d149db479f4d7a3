"""Tables of strangers: delimiters, line ends, folders, packings, quotes; told to `csv` by flags."""

import bz2
import gzip
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from input_pipeline.log.events import Categorical, EventLog
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources import read_events

FLAGS: dict[str, Any] = {
    "source": "csv",
    "user_column": "user",
    "item_column": "item",
    "timestamp_column": "ts",
    "task_columns": ("click",),
}
ROWS = [(f"u{n % 4}", f"i{n % 5}", n % 2, 1_700_000_000 + n) for n in range(40)]
USERS = [user.encode() for user, *_ in ROWS]


def table(delimiter: str = ",", end: str = "\n", rows: list = ROWS, header: bool = True) -> str:
    lines = [("user", "item", "click", "ts")] if header else []
    return "".join(delimiter.join(map(str, line)) + end for line in [*lines, *rows])


def write(path: pathlib.Path, content: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def read(*inputs: str | pathlib.Path, **flags: Any) -> EventLog:
    return read_events(PreparationOptions(**{**FLAGS, "input": tuple(map(str, inputs)), **flags}))


def raw(column: Categorical) -> list:
    """The column as it was in the file."""
    return column.values[column.codes].tolist()


def check(log: EventLog) -> None:
    """That the log is ROWS."""
    assert raw(log.user_id) == USERS
    assert raw(log.item_id) == [item.encode() for _, item, _, _ in ROWS]
    assert log.behaviors.tolist() == [click for _, _, click, _ in ROWS]
    assert log.timestamp is not None
    assert log.timestamp.tolist() == [time for *_, time in ROWS]
    assert log.malformed_lines == 0


@pytest.mark.parametrize(
    ("delimiter", "name"), [(",", None), (";", "semicolon"), ("\t", "tab"), ("|", "pipe")]
)
def test_a_delimiter_is_seen_and_said(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture, delimiter: str, name: str | None
) -> None:
    for number in (1, 2):
        write(tmp_path / "logs" / f"{number}", table(delimiter, rows=ROWS[number - 1 :: 2]))
    log = read(tmp_path / "logs")
    assert sorted(raw(log.user_id)) == sorted(USERS)
    said = capsys.readouterr().out
    assert said == (f"{tmp_path}/logs/1: seen --delimiter={name} in its first line\n" * bool(name))


def test_a_delimiter_is_told(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    check(read(write(tmp_path / "log", table("^")), delimiter="^"))
    check(read(write(tmp_path / "log", table("\t")), delimiter="tab"))
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match=r"no column 'user' in the header .*, cut at each pipe"):
        read(write(tmp_path / "log", table("\t")), delimiter="pipe")
    with pytest.raises(ValueError, match=r"--delimiter: must be one ASCII character or"):
        read(write(tmp_path / "log", table("\t")), delimiter="::")
    for flag in ({"delimiter": "tab"}, {"columns": ("user",)}):
        with pytest.raises(ValueError, match=r"only csv has (delimiter|columns) to name.*=taobao"):
            read(write(tmp_path / "log", table()), source="taobao", **flag)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_line_ends_encodings_and_packings(
    tmp_path: pathlib.Path, end: str, encoding: str, pack: Any
) -> None:
    check(read(write(tmp_path / "log", pack(table(end=end).encode(encoding)))))


def test_blanks_around_names_in_the_header(tmp_path: pathlib.Path) -> None:
    content = table().replace("user,item,click,ts", ' user, "item" ,click ,\tts')
    check(read(write(tmp_path / "log", content)))


def test_a_header_over_lines(tmp_path: pathlib.Path) -> None:
    header = 'user,"the\nitem",click,ts'
    path = write(tmp_path / "log", table().replace("user,item,click,ts", header) + "u,i,2,3\n")
    with pytest.raises(ValueError, match=r"log:43: click must be 0 or 1, .*, got .2."):
        read(path, item_column="the\nitem")


def test_blank_lines_before_a_header_and_empty_files(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "logs" / "1", "\n \r\n" + table() + "u,i,2,3\n")
    with pytest.raises(ValueError, match=r"logs/1:44: click must be 0 or 1, .*, got .2."):
        read(path)
    write(tmp_path / "logs" / "1", table())
    write(tmp_path / "logs" / "2", "")
    with caplog.at_level("WARNING"):
        log = read(tmp_path / "logs")
    check(log)
    assert [file.size_bytes for file in log.source_files][1:] == [0]
    assert f"{tmp_path}/logs/2: the file is empty" in caplog.text
    for empty in ("", "\n\n"):
        with pytest.raises(ValueError, match="logs/2: the file is empty"):
            read(write(tmp_path / "logs" / "2", empty))


def test_text_in_another_encoding(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    text = table(rows=[("ö", "é", 1, 5), ("ü", "ñ", 0, 6)]).replace("item", "größe")
    path = write(tmp_path / "log", text.encode("latin-1"))
    # Bytes as they are, whatever the encoding; not the names in the header.
    assert raw(read(path, item_column="ts", timestamp_column="").user_id) == [b"\xf6", b"\xfc"]
    log = read(path, item_column="größe", encoding="latin-1")
    assert raw(log.user_id) == ["ö".encode(), "ü".encode()]
    # A row that is refused is shown to nobody but by its number, for its text cannot be told.
    path = write(tmp_path / "log", text.encode("latin-1") + b"\xf6,1\n")
    message = r"log:4: the line must be 4 columns, got 2, and is not in UTF-8, .* --encoding=l"
    with pytest.raises(ValueError, match=message) as error:
        read(path, item_column="ts", timestamp_column="", max_malformed=0.9)
    assert "\n" not in str(error.value)
    assert "Traceback" not in capsys.readouterr().err
    log = read(path, item_column="größe", encoding="latin-1", max_malformed=0.9)
    assert (len(log), log.malformed_lines) == (2, 1)
    with pytest.raises(ValueError, match="log: broken utf-8 text: 'utf-8' codec can't decode"):
        read(path, encoding="utf-8")
    for name, fault in (("latin-x", "unknown encoding: latin-x"), ("zip", "'zip' is not a text")):
        with pytest.raises(ValueError, match=f"--encoding: {fault}"):
            read(path, encoding=name)


def test_files_without_a_header(tmp_path: pathlib.Path) -> None:
    for delimiter in ",;":
        path = write(tmp_path / "log", table(delimiter, header=False))
        check(read(path, columns=("user", "item", "click", "ts")))
    with pytest.raises(ValueError, match=r"no column 'user' in .*; the first line looks like data"):
        read(path)
    with pytest.raises(
        ValueError, match=r"no column 'item' in the header \['user', 'x', 'click', "
    ):
        read(path, columns=("user", "x", "click", "ts"))
    with pytest.raises(ValueError, match="log:1: the line must be 3 columns, got 'u0;i0;0;17"):
        read(path, columns=("user", "item", "click"), timestamp_column="", delimiter=";")


def test_recbole(tmp_path: pathlib.Path) -> None:
    header = "user_id:token\titem_id:token\tlabel:float\ttimestamp:float"
    path = write(tmp_path / "x.inter", table("\t").replace("user\titem\tclick\tts", header))
    columns = {"user_column": "user_id", "item_column": "item_id", "timestamp_column": "timestamp"}
    check(read(path, **columns, task_columns=("label:click",)))
    whole = {name: f"{column}:token" for name, column in columns.items()}
    whole["timestamp_column"] = "timestamp:float"
    check(read(path, **whole, task_columns=("label:float:click",)))


def test_names_that_need_quoting(tmp_path: pathlib.Path) -> None:
    header = '"user, ""id""",item:of:shop,click,ts'
    path = write(tmp_path / "log", table().replace("user,item,click,ts", header))
    check(read(path, user_column='user, "id"', item_column="item:of:shop"))


def test_folders_tell_columns(tmp_path: pathlib.Path) -> None:
    for day in (1, 2):
        for hour in ("07", "a%2Fb"):
            folder = tmp_path / "logs" / f"day=2026-01-0{day}" / f"hour={hour}"
            write(folder / "part-0.csv", f"user,item,click\nu{day},{hour[0]},1\n")
    (tmp_path / "logs" / "_SUCCESS").write_bytes(b"")
    features = {"context_feature_columns": ("hour", "day:weekday")}
    log = read(tmp_path / "logs", **features, timestamp_column="")
    assert raw(log.user_id) == [b"u1", b"u1", b"u2", b"u2"]
    assert raw(log.context_features["hour"]) == [b"07", b"a/b"] * 2
    assert raw(log.context_features["day"]) == [3, 3, 4, 4]  # 2026 began on a Thursday.
    with pytest.raises(
        ValueError, match=r"no column 'month' .*; its folders tell \['day', 'hour'\]"
    ):
        read(tmp_path / "logs", timestamp_column="", context_feature_columns=("month",))


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
def test_parquet_in_folders(tmp_path: pathlib.Path, compression: str) -> None:
    for click in (0, 1):
        rows = [row for row in ROWS if row[2] == click]
        path = tmp_path / "logs" / f"click={click}" / "part-0.parquet"
        path.parent.mkdir(parents=True)
        columns = {
            " user ": [row[0] for row in rows],
            "item.id": [row[1] for row in rows],
            "ts": [row[3] for row in rows],
        }
        pyarrow.parquet.write_table(pa.table(columns), path, compression=compression)
    log = read(tmp_path / "logs", source="parquet", item_column="item.id")
    order = np.argsort(log.timestamp)
    assert [raw(log.user_id)[place] for place in order] == USERS
    assert log.behaviors[order].tolist() == [row[2] for row in ROWS]


def test_the_other_source_is_named(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "log")
    pyarrow.parquet.write_table(pa.table({"user": [1]}), path)
    with pytest.raises(ValueError, match="log: is a Parquet file, which --source=parquet reads"):
        read(path)
    stored = pathlib.Path(path).read_bytes()
    for changed, message in (
        (stored[:-20], "broken Parquet file"),
        (
            gzip.compress(stored),
            "must be a Parquet file, but is packed as gzip; --source=csv reads",
        ),
        (b"user,item\n", "must be a Parquet file, but begins with b'user,item"),
        (b"", "must be a Parquet file, but begins with b''"),
    ):
        with pytest.raises(ValueError, match=f"log: {message}"):
            read(write(tmp_path / "log", changed), source="parquet")


def quoted_table(first: str, last: str) -> str:
    """40 lines, two of which have these titles; a title is no column that is read."""
    titles = {10: first, 30: last}
    lines = [
        f"{user},{item},{titles.get(n, f'tv {n}')},{click},{time}\n"
        for n, (user, item, click, time) in enumerate(ROWS)
    ]
    return "user,item,title,click,ts\n" + "".join(lines)


@pytest.mark.parametrize("last", ['"tv 30', 'tv 30"', '"tv" 30'])
def test_rows_that_stray_quotes_join_are_malformed(tmp_path: pathlib.Path, last: str) -> None:
    path = write(tmp_path / "log", quoted_table('"tv 10', last))
    message = (
        r"21 of 40 lines are malformed \(52.500%\); the first of them:\n"
        r"  \S*log:12: the line must be one row, as its lines look like rows that a quote joins "
        r"\(with --noquoted_cells double quotes stand for themselves\), got 'u2,i0,\"tv 10,0,"
    )
    with pytest.raises(ValueError, match=message):
        read(path)
    log = read(path, max_malformed=0.6)
    assert (len(log), log.malformed_lines) == (19, 21)
    assert raw(log.user_id) == USERS[:10] + USERS[31:]
    check(read(path, quoted_cells=False))


def test_numbers_of_lines_after_rows_over_lines(tmp_path: pathlib.Path) -> None:
    # Joined: lines 12 to 32; good over lines: 33 and 34; refused: 35, 36 and 37; malformed: 38.
    content = quoted_table('"tv 10', '"tv 30').splitlines(keepends=True)[:32]
    content += ['u,i,"a\n, b",1,1\n', "u,i\n", 'u,"i\n",1,1\n', "u,i,x,7,1\n", "u,i,x,1,1\n"]
    path = write(tmp_path / "log", "".join(content))
    with pytest.raises(ValueError, match=r"25 of 38 lines are malformed") as error:
        read(path)
    lines = [line.split(":")[1] for line in str(error.value).splitlines() if "log:" in line]
    assert lines == ["12", "35", "36", "38"]
    assert len(read(path, max_malformed=0.7)) == 12


def test_a_row_over_lines_is_kept_and_told(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [
        write(tmp_path / "1", table(rows=ROWS[:2])),
        write(tmp_path / "2", quoted_table('"a\nb, ""c""\n\n"', "x")),
        write(tmp_path / "3", quoted_table('"a\nb"', '"c\nd"')),
    ]
    with caplog.at_level("WARNING"):
        log = read(*paths)
    assert (len(log), log.malformed_lines) == (82, 0)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(
        f"{paths[1]}:12: a quoted cell reaches over line ends, as in 3 rows of 2 files, which hold "
        "5 lines more; each such row counts as one line; "
    )


@pytest.mark.parametrize("block_bytes", [200, 1 << 24])
def test_a_quoted_cell_without_an_end(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr("input_pipeline.sources.delimited._BLOCK_BYTES", block_bytes)
    path = write(tmp_path / "log", quoted_table('27" tv', '"tv'))
    message = (
        r"log:32: a quoted cell of the row that begins here has no end.*; with --noquoted_cell"
    )
    with pytest.raises(ValueError, match=message):
        read(path)
    # A quote within a cell that has none around it stands for itself.
    check(read(write(tmp_path / "log", quoted_table('27" tv', "tv"))))


def test_small_blocks_agree_with_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(3)
    titles = ["tv", '27" tv', '"a, b"', '"a ""b"""', '"a\nb"', '"', '"a\nb"c', "x,y", '"\r\n"']
    lines = [
        f"{random.choice(['u', 'v'])},i{n % 5},{random.choice(titles)},{n % 2},{n}\n"
        for n in range(3000)
    ]
    path = write(tmp_path / "log", "user,item,title,click,ts\n" + "".join(lines))
    whole = read(path, max_malformed=0.99)
    assert whole.malformed_lines > 100
    for size in (2000, 3001, 40_000):
        monkeypatch.setattr("input_pipeline.sources.delimited._BLOCK_BYTES", size)
        blocks = read(path, max_malformed=0.99)
        assert blocks.malformed_lines == whole.malformed_lines
        np.testing.assert_array_equal(blocks.timestamp, whole.timestamp)

"""Which files an input is, and what the names of folders tell."""

import pathlib

import pytest

from input_pipeline.sources.input_files import find_files, partition_values


def make(folder: pathlib.Path, *names: str) -> str:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return str(folder)


def found(folder: pathlib.Path, *inputs: str) -> list[str]:
    """The files of inputs below a folder, relative to it."""
    files = find_files([f"{folder}/{name}" for name in inputs])
    return [file.removeprefix(f"{folder}/") for file in files]


def test_directories_and_patterns_at_any_depth(tmp_path: pathlib.Path) -> None:
    days = ("d/day=1/hour=1/p0.csv", "d/day=2/p0.csv", "d/day=2/p1.csv", "d/z.csv")
    no_data = ("d/_SUCCESS", "d/.z.csv.crc", "d/_temporary/p0.csv", "d/day=1/.tmp/p0.csv")
    make(tmp_path, *days, *no_data)
    assert found(tmp_path, "d") == found(tmp_path, "d/**/*.csv") == list(days)
    assert found(tmp_path, "d/") == list(days)
    assert found(tmp_path, "d/day=*") == found(tmp_path, "**/day=*/**/*.csv") == list(days[:3])
    assert found(tmp_path, "d/*") == found(tmp_path, "d/**") == list(days)
    assert found(tmp_path, "d/*/*.csv") == list(days[1:3])
    # A name that is written says that it is meant.
    assert found(tmp_path, "d/_SUCCESS") == found(tmp_path, "d/_S*") == ["d/_SUCCESS"]


def test_several_inputs_give_no_file_twice(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "b.csv", "a/1.csv", "a/2.csv", "c,d.csv")
    assert found(tmp_path, "b.csv", "a", "a/*", "c,d.csv") == [
        *("b.csv", "a/1.csv", "a/2.csv", "c,d.csv")
    ]
    assert find_files(f"{tmp_path}/c,d.csv") == (f"{tmp_path}/c,d.csv",)


def test_a_path_with_pattern_characters(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "log[1]/log[2]*.csv", "log1/log2.csv")
    assert found(tmp_path, "log[1]") == ["log[1]/log[2]*.csv"]
    assert found(tmp_path, "log[1]/*") == ["log[1]/log[2]*.csv"]
    assert found(tmp_path, "log[1]/log[2]*.csv") == ["log[1]/log[2]*.csv"]
    assert found(tmp_path, "log[12]/*") == ["log1/log2.csv"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", r"no files in the directory \S*/empty and its folders \(names that begin"),
        ("hidden", r"no files in the directory \S*/hidden and its folders"),
        ("absent", r"no such file or directory: \S*/absent"),
        ("full/*/*.csv", r"no files match \S*: nothing in \S*/full is like \*/\*.csv \(\*"),
        ("absent/*.csv", r"no files match \S*/\*.csv: there is no \S*/absent$"),
    ],
)
def test_nothing_there(tmp_path: pathlib.Path, name: str, message: str) -> None:
    make(tmp_path, "hidden/_x/a.csv", "full/a.csv")
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    with pytest.raises(ValueError, match=rf"^--input: {message}"):
        find_files([f"{tmp_path}/{name}"])


def test_partition_values() -> None:
    assert partition_values("logs/day=2026-01-01/hour=07/part-0.csv") == {
        "day": b"2026-01-01",
        "hour": b"07",
    }
    # As Hive writes them: escaped, and what is missing. An equals sign may follow.
    assert partition_values("a/t=12%3A30%2F%C3%A9/u%20v=x=y/n=__HIVE_DEFAULT_PARTITION__/p") == {
        "t": b"12:30/\xc3\xa9",
        "u v": b"x=y",
        "n": b"",
    }
    assert partition_values("s3://b/=x/plain/file=1.csv") == {}

"""Patterns of paths, local and remote."""

import os
import pathlib

import pytest

from input_pipeline.files import filesystem, patterns
from tests.s3_server import S3Bucket, s3_bucket  # noqa: F401

FILES = ("a[1]/x.csv", "a[1]/b/c/y.csv", "a1/z.csv", "a1/x.txt", "b/x.csv")
CASES = [
    ("a[1]/*.csv", ["a[1]/x.csv"]),  # The directory is there as it is written.
    ("a[12]/*.csv", ["a1/z.csv"]),
    ("a[1]/**/*.csv", ["a[1]/b/c/y.csv", "a[1]/x.csv"]),
    ("**/x.*", ["a1/x.txt", "a[1]/x.csv", "b/x.csv"]),
    ("a[1]/x.csv", ["a[1]/x.csv"]),
    ("a[1]/?", ["a[1]/b"]),
    ("*/x.csv", ["a[1]/x.csv", "b/x.csv"]),
    ("a[1]/*.txt", []),
    ("c/*", []),
    ("absent", []),
]


@pytest.mark.parametrize(("pattern", "expected"), CASES)
def test_local(tmp_path: pathlib.Path, pattern: str, expected: list[str]) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = patterns.glob(f"{tmp_path}/{pattern}")
    assert found == sorted(f"{tmp_path}/{name}" for name in expected)


def test_relative(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a[1]").mkdir()
    (tmp_path / "a[1]" / "x").write_bytes(b"")
    assert patterns.glob("*/x") == patterns.glob("a[1]/*") == ["a[1]/x"]
    assert patterns.split("a[1]/*") == ("a[1]", "*")
    assert patterns.split("*/x") == ("", "*/x")
    assert patterns.split("/*") == ("/", "*")


def test_remote(s3_bucket: S3Bucket) -> None:  # noqa: F811
    root = f"{s3_bucket.url}/patterns"
    for name in FILES:
        filesystem.write_bytes(f"{root}/{name}", b"x")
    for pattern, expected in CASES:
        found = patterns.glob(f"{root}/{pattern}")
        assert found == sorted(f"{root}/{name}" for name in expected), pattern


def test_files_below_links(tmp_path: pathlib.Path) -> None:
    (tmp_path / "day=1").mkdir()
    (tmp_path / "day=1" / "part").write_bytes(b"")
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far").write_bytes(b"")
    (tmp_path / "zlink").symlink_to(elsewhere)
    (tmp_path / "a-latest").symlink_to(tmp_path / "day=1")
    (tmp_path / "day=1" / "up").symlink_to(tmp_path)
    # What two names lead to is there once, under its own.
    assert filesystem.files_below(str(tmp_path)) == ["day=1/part", "zlink/far"]


def test_a_directory_that_cannot_be_read_is_an_error(tmp_path: pathlib.Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    if os.access(closed, os.R_OK):  # of a superuser
        pytest.skip("every directory can be read")
    with pytest.raises(PermissionError, match="closed"):
        filesystem.files_below(str(tmp_path))

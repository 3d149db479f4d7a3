"""Raw files in every packing and encoding that is read, and names for those that are not."""

import bz2
import codecs
import gzip
import hashlib
import io
import lzma
import pathlib
import random
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet
import pytest

from input_pipeline.sources.raw_files import first_line, open_raw, stored_file

TEXT = "user,item\n" + "".join(f"u{n},naïve {n}\n" for n in range(20_000))
UTF8 = TEXT.encode()


def arrow(codec: str, data: bytes = UTF8) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


PACKED = {
    "plain": UTF8,
    "gzip": gzip.compress(UTF8),
    "bz2": bz2.compress(UTF8),
    "xz": lzma.compress(UTF8),
    "zstd": arrow("zstd"),
    "lz4": arrow("lz4"),
    "zip": zipped(**{"data/log.csv": UTF8, "__MACOSX/data/._log.csv": b"\0", ".DS_Store": b"\0"}),
    "two frames": arrow("zstd", UTF8[:1000]) + arrow("zstd", UTF8[1000:]),
    "two members": gzip.compress(UTF8[:1000]) + gzip.compress(UTF8[1000:]),
    "utf-8 mark": codecs.BOM_UTF8 + UTF8,
    "utf-16": TEXT.encode("utf-16"),
    "utf-16-be": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "utf-32": TEXT.encode("utf-32"),
    "utf-16 in gzip": gzip.compress(TEXT.encode("utf-16")),
}


def write(folder: pathlib.Path, content: bytes, name: str = "log") -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


@pytest.mark.parametrize("stored", PACKED.values(), ids=PACKED)
@pytest.mark.parametrize("size", [7, 1000, 1 << 24])
def test_what_is_read(tmp_path: pathlib.Path, stored: bytes, size: int) -> None:
    path = write(tmp_path, stored)
    with open_raw(path) as raw:
        raw.check_text()
        parts = [raw.readline()]
        while data := raw.read(size):
            parts.append(data)
        file = raw.source_file()
    assert parts[0] == b"user,item\n"
    assert b"".join(parts) == UTF8
    # pyarrow needs whole blocks.
    assert all(len(part) == size for part in parts[1:-1])
    assert (file.size_bytes, file.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())
    assert stored_file(path) == file
    assert first_line(path) == "user,item"


def check_broken(path: str, name: str) -> None:
    with pytest.raises(ValueError, match=rf"/log: broken {name} file"), open_raw(path) as raw:
        raw.read(1 << 24)


@pytest.mark.parametrize("name", ["gzip", "bz2", "xz", "zstd", "lz4", "zip"])
def test_files_that_were_cut_off(tmp_path: pathlib.Path, name: str) -> None:
    check_broken(write(tmp_path, PACKED[name][: len(PACKED[name]) // 2]), name)


@pytest.mark.parametrize("name", ["gzip", "bz2", "xz", "zip"])  # These have checksums always.
def test_files_that_were_changed(tmp_path: pathlib.Path, name: str) -> None:
    stored = PACKED[name]
    middle = len(stored) // 2
    changed = bytes(255 - byte for byte in stored[middle : middle + 99])
    check_broken(write(tmp_path, stored[:middle] + changed + stored[middle + 99 :]), name)


def test_text_that_ends_within_a_character(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, TEXT.encode("utf-16")[:-1])
    with pytest.raises(ValueError, match="/log: broken utf-16"), open_raw(path) as raw:
        raw.read(1 << 24)


def tar(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("log.csv")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table({"user": [1, 2]}), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (parquet(), "is a Parquet file, which --source=parquet reads; plain text, gzip, "),
        (tar(UTF8), "is a tar archive; "),
        (gzip.compress(tar(UTF8)), "is a tar archive; "),
        (gzip.compress(gzip.compress(UTF8)), "is packed twice; "),
        (b"7z\xbc\xaf\x27\x1c" + bytes(100), "is packed as 7z; "),
        (b"Rar!\x1a\x07\x00" + bytes(100), "is packed as rar; "),
        (b"\xff\x06\x00\x00sNaPpY" + bytes(100), "is packed as framed snappy; "),
        (b"ORC" + bytes(100), "is an ORC file; "),
        (TEXT.encode("utf-16-le"), "is UTF-16 without a byte order mark, or no text; "),
        (b"u,i\n1,\x002\n", r"is no text: it begins with b'u,i\\n1,\\x002\\n'"),
        (bytes(random.Random(0).choices(range(1, 256), k=200)), "is no text: it begins with b"),
        (b'{"user": 1, "item": 2}\n', "is JSON; "),
        (b'[\n {"user": 1}]\n', "is JSON; "),
        (b"\n<!DOCTYPE html>\n", "is an HTML page; "),
        (b"<?xml version='1.0'?>\n", "is XML; "),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS to a file "),
        (zipped(a=UTF8, b=UTF8), "a zip file must hold one file to be read, got 2: a, b; unpack"),
        (zipped(), "a zip file must hold one file to be read, got 0: none"),
        (zipped(**{"[Content_Types].xml": b"x", "xl/a": b"x"}), "is an Excel file, .* as csv"),
    ],
)
def test_what_is_not_read_is_named_in_a_line(
    tmp_path: pathlib.Path, stored: bytes, message: str
) -> None:
    with pytest.raises(ValueError, match=f"/log: {message}") as error:
        first_line(write(tmp_path, stored))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "line",
    [b"[user],[item]", b"{user},{item}", b"user\x01item", "nämn,på".encode("latin-1"), b"<u>,<i>"],
)
def test_odd_headers_are_text(tmp_path: pathlib.Path, line: bytes) -> None:
    assert first_line(write(tmp_path, line + b"\n1,2\n")) == line.decode("utf-8", "replace")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_in_any_way(tmp_path: pathlib.Path, end: bytes) -> None:
    rows = [b"u,i", b"1,2", b"", b"3,4", b"x" * 100_000, b"last"]
    with open_raw(write(tmp_path, end.join(rows))) as raw:
        lines = list(iter(raw.readline, b""))
    assert lines == [*(row + end for row in rows[:-1]), b"last"]


def test_a_line_end_where_the_bytes_read_ahead_end(tmp_path: pathlib.Path) -> None:
    for length in range((1 << 16) - 3, (1 << 16) + 2):
        with open_raw(write(tmp_path, b"x" * length + b"\r\n" + b"y")) as raw:
            assert raw.readline() == b"x" * length + b"\r\n"
            raw.unread(b"z")
            assert raw.readline() == b"zy"


def test_a_first_line_without_an_end(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="/log: its first line has no end within 2 MiB; is it"):
        first_line(write(tmp_path, b"x" * (1 << 22)))

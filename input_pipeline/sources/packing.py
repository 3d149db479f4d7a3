"""How a raw file is packed, seen from its first bytes, and its bytes as they were before."""

from __future__ import annotations

import gzip
import lzma
import re
import zipfile
import zlib
from typing import Any, BinaryIO

import pyarrow as pa
from isal import igzip, isal_zlib

_IGzipFile: Any = igzip.IGzipFile  # isal has no types

READ = "plain text, gzip, bz2, xz, zstd, lz4 and zip"
# By the bytes that a file begins with.
_PACKINGS = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    **{b"BZh%d1AY&SY" % level: "bz2" for level in range(1, 10)},
}
# What a file is that holds bytes of no text, by those that it begins with.
_NO_TEXT = {
    b"PAR1": "a Parquet file, which --source=parquet reads",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"ARROW1": "an Arrow file",
    b"FEA1": "a Feather file",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3": "an SQLite file",
    b"\x80": "a pickle",
    b"PK": "a zip file within another file",
    b"7z\xbc\xaf\x27\x1c": "packed as 7z",
    b"Rar!": "packed as rar",
    b"\x1f\x9d": "packed by compress",
    b"\x1f\x8b": "packed twice",
    b"\xff\x06\x00\x00sNaPpY": "packed as framed snappy",
    b"\xd0\xcf\x11\xe0": "an Excel file",
}
LONGEST_MAGIC = max(map(len, _PACKINGS))
# What a text is that is no table, by its beginning.
_NO_TABLE = {
    rb"\s*\[?\s*\{\s*[\"}]": "JSON",
    rb"(?i)\s*<(!doctype|html)": "an HTML page",
    rb"\s*<\?xml": "XML",
    rb"version https://git-lfs": "a pointer of Git LFS to a file elsewhere",
}
HEAD_BYTES = 4096
_TAR = slice(257, 262)
# Those that separate cells in some tables, as \x01 does in Hive's, are none of them.
_CONTROLS = bytes([0, *range(3, 9), *range(14, 27)])
_MOST_CONTROLS = 0.02

# What the readers raise for a file that is cut off or damaged, besides an OSError without a number.
BROKEN: tuple[Any, ...] = (
    EOFError,
    isal_zlib.error,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    zipfile.BadZipFile,
    pa.ArrowInvalid,
)


def packing(head: bytes) -> str | None:
    """The name of a packing that is read, given the first LONGEST_MAGIC bytes; None: no packing."""
    return next((name for magic, name in _PACKINGS.items() if head.startswith(magic)), None)


def unpack(name: str, file: BinaryIO) -> Any:
    """What reads the bytes before they were packed, from the beginning of a file.

    Args:
      name: a packing.
      file: for a zip file it must be able to seek.

    Raises:
      ValueError: a zip file holds no file, or several.
    """
    if name == "gzip":
        return _IGzipFile(fileobj=file)
    if name == "xz":
        return lzma.open(file)
    if name == "zip":
        return _only_member(zipfile.ZipFile(file))
    return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), name)


def _only_member(archive: zipfile.ZipFile) -> Any:
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir() and not any(part[:1] in "._" for part in member.filename.split("/"))
    ]
    if any(member.filename == "[Content_Types].xml" for member in members):
        raise ValueError("is an Excel file, which is not read: save it as csv")
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:10])
        raise ValueError(
            f"a zip file must hold one file to be read, got {len(members)}: {names or 'none'}; "
            "unpack it and name the files that belong together"
        )
    if members[0].flag_bits & 1:
        raise ValueError(f"{members[0].filename} in it is encrypted: unpack it")
    try:
        return archive.open(members[0])
    except NotImplementedError as error:
        raise ValueError(f"{members[0].filename} in it: {error}: unpack it") from None


def check_text(head: bytes) -> None:
    """Raises ValueError where the first HEAD_BYTES of an unpacked file are of no table of lines."""
    what = _no_table(head)
    if what:
        raise ValueError(f"is {what}; {READ} are read as a table of lines, in UTF-8 or UTF-16")


def _no_table(head: bytes) -> str | None:
    """What a file is, if it is no table."""
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if b"\0" not in head and controls <= _MOST_CONTROLS * len(head):
        known = (what for pattern, what in _NO_TABLE.items() if re.match(pattern, head))
        return next(known, None)
    if head[_TAR] == b"ustar":
        return "a tar archive"
    known = (what for magic, what in _NO_TEXT.items() if head.startswith(magic))
    if head.count(0) > len(head) / 3:
        return next(known, "UTF-16 without a byte order mark, or no text")
    return next(known, f"no text: it begins with {head[:16]!r}")

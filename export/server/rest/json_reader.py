"""Reads JSON as RapidJSON 1.1 does, which is what TensorFlow Serving reads request bodies with.

Strings are bytes there: those that are no UTF-8 are kept, as Python's `surrogateescape` keeps them.
"""

from __future__ import annotations

import json
import re
from typing import Any

from export.server.rest.json_numbers import ReadError, read_number

MAX_DEPTH = 2_000  # lists and objects within each other; far deeper ones end the real server
_SHORT_ESCAPES = dict(zip('"/\\bfnrt', '"/\\\b\f\n\r\t', strict=True))
_SPACE = re.compile(rb"[ \t\n\r]*")
_SPECIAL = re.compile(rb'["\\\x00-\x1f]')
# What Python's own parser, ten times as quick, would read otherwise: surrogates, long numbers.
_UNLIKE = re.compile(rb"\\u[dD]|[eE]\+?\d{3}|\d{19}")
_ESCAPES = {ord(letter): value.encode() for letter, value in _SHORT_ESCAPES.items()}
_LITERALS = {ord("n"): (b"null", None), ord("t"): (b"true", True), ord("f"): (b"false", False)}


class JsonObject(dict[str, Any]):
    """An object: a name that is given twice has its first value, and `members` has both."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs if len(self) < len(pairs) else None
        if self._pairs is not None:
            for name, value in reversed(pairs):
                self[name] = value

    def members(self) -> list[tuple[str, Any]]:
        """Names and values in the order of the text, those of repeated names included."""
        return list(self.items()) if self._pairs is None else self._pairs


def read(body: bytes) -> Any:
    """The value that a text stands for; integers beyond 64 bits are floats.

    Raises:
      ReadError: in the words and with the offset of RapidJSON.
    """
    body = body.split(b"\0", 1)[0]  # where the real server's stream ends
    start = 0
    for byte in b"\xef\xbb\xbf":
        if body[start : start + 1] == bytes([byte]):
            start += 1
    if not _UNLIKE.search(body):
        try:
            text = body[start:].decode("utf-8", "surrogateescape")
            return json.loads(text, object_pairs_hook=JsonObject)
        except (ValueError, RecursionError):
            pass  # read again below, for the right message or deeper
    return _Reader(body, start).document()


class _Reader:
    """A text, and how far it is read."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._at = position
        self._root: Any = None  # the value of the text, once it is read

    def _peek(self) -> int:
        """The next byte; 0 at the end."""
        return self._data[self._at] if self._at < len(self._data) else 0

    def _takes(self, byte: bytes) -> bool:
        """Whether the next byte is that one, which is passed then."""
        if self._peek() != byte[0]:
            return False
        self._at += 1
        return True

    def _skip_space(self) -> None:
        found = _SPACE.match(self._data, self._at)
        assert found  # it matches nothing too
        self._at = found.end()

    def document(self) -> Any:
        """The only value of the text."""
        self._skip_space()
        if not self._peek():
            raise ReadError("The document is empty.", self._at)
        # Lists, or pairs whose last one has no value yet, around what is being read.
        around: list[tuple[bool, list[Any]]] = []
        while True:
            opened = self._opened()
            if opened is None:
                value = self._scalar()
            elif self._takes(b"}" if opened == ord("{") else b"]"):
                value = JsonObject([]) if opened == ord("{") else []
            elif len(around) >= MAX_DEPTH:
                raise ReadError(f"Nested more than {MAX_DEPTH} deep.", self._at)
            else:
                is_object = opened == ord("{")
                around.append((is_object, [(self._name(), None)] if is_object else []))
                continue
            if self._closed_by(value, around):
                self._skip_space()
                if self._peek():
                    message = "The document root must not be followed by other values."
                    raise ReadError(message, self._at)
                return self._root

    def _opened(self) -> int | None:
        """The bracket that is next, passed with the space behind it; None: there is none."""
        byte = self._peek()
        if byte not in b"{[":
            return None
        self._at += 1
        self._skip_space()
        return byte

    def _closed_by(self, value: Any, around: list[tuple[bool, list[Any]]]) -> bool:
        """Puts a value where it belongs; whether the text is read with it, and `_root` known."""
        while around:
            is_object, found = around[-1]
            self._skip_space()
            if is_object:
                found[-1] = (found[-1][0], value)
            else:
                found.append(value)
            if self._takes(b","):
                self._skip_space()
                if is_object:
                    found.append((self._name(), None))
                return False
            if not self._takes(b"}" if is_object else b"]"):
                message = (
                    "Missing a comma or '}' after an object member."
                    if is_object
                    else "Missing a comma or ']' after an array element."
                )
                raise ReadError(message, self._at)
            around.pop()
            value = JsonObject(found) if is_object else found
        self._root = value
        return True

    def _name(self) -> str:
        """The name of a member, passed with the colon."""
        if self._peek() != ord('"'):
            raise ReadError("Missing a name for object member.", self._at)
        name = self._string()
        self._skip_space()
        if not self._takes(b":"):
            raise ReadError("Missing a colon after a name of object member.", self._at)
        self._skip_space()
        return name

    def _scalar(self) -> Any:
        byte = self._peek()
        if byte == ord('"'):
            return self._string()
        if byte not in _LITERALS:
            value, self._at = read_number(self._data, self._at)
            return value
        word, literal = _LITERALS[byte]
        for letter in word:
            if not self._takes(bytes([letter])):
                raise ReadError("Invalid value.", self._at)
        return literal

    def _string(self) -> str:
        self._at += 1
        parts: list[bytes] = []
        while True:
            found = _SPECIAL.search(self._data, self._at)
            end = found.start() if found else len(self._data)
            parts.append(self._data[self._at : end])
            self._at = end
            if self._takes(b'"'):
                return b"".join(parts).decode("utf-8", "surrogateescape")
            if not found:
                raise ReadError("Missing a closing quotation mark in string.", self._at)
            if self._peek() != ord("\\"):
                raise ReadError("Invalid escape character in string.", self._at)
            parts.append(self._escape())

    def _escape(self) -> bytes:
        start = self._at
        self._at += 1
        byte = self._peek()
        if byte in _ESCAPES:
            self._at += 1
            return _ESCAPES[byte]
        if not self._takes(b"u"):
            raise ReadError("Invalid escape character in string.", start)
        code = self._hex(start)
        if 0xD800 <= code <= 0xDBFF:
            low = self._hex(start) if self._takes(b"\\") and self._takes(b"u") else 0
            if not 0xDC00 <= low <= 0xDFFF:
                raise ReadError("The surrogate pair in string is invalid.", start)
            code = ((code - 0xD800) << 10 | (low - 0xDC00)) + 0x10000
        # The second half of a pair alone is encoded as if it were a character.
        return chr(code).encode("utf-8", "surrogatepass")

    def _hex(self, start: int) -> int:
        digits = self._data[self._at : self._at + 4]
        if not re.fullmatch(rb"[0-9a-fA-F]{4}", digits):
            raise ReadError("Incorrect hex digit after \\u escape in string.", start)
        self._at += 4
        return int(digits, 16)

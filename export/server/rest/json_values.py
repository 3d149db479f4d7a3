"""JSON values of the REST interface: what a body must be, and the words for what it is not."""

from __future__ import annotations

import base64
import re
from typing import TypeAlias, TypeGuard

from export.server import errors
from export.server.rest import json_reader, json_writer
from export.server.rest.json_numbers import ReadError
from export.server.rest.json_reader import JsonObject

Json: TypeAlias = "bool | int | float | str | list[Json] | JsonObject | None"

_TYPE_NAMES: dict[type, str] = {
    type(None): "Null",
    JsonObject: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}
_SPACE = re.compile(r"\s+", re.ASCII)
_BASE64 = re.compile(r"([A-Za-z0-9+/]*)([=.]*)")
_PADDING = {0: 0, 2: 2, 3: 1}  # by how many letters there are beyond the last four


def type_name(value: Json) -> str:
    """The name of a JSON value's type in error messages."""
    return str(value) if isinstance(value, bool) else _TYPE_NAMES[type(value)]


def parsed(body: bytes) -> JsonObject:
    """The object that is the body of every request, its signature name checked."""
    if not body:
        raise errors.invalid_argument("JSON Parse error: The document is empty")
    try:
        value = json_reader.read(body)
    except ReadError as error:
        raise errors.invalid_argument(
            f"JSON Parse error: {error} at offset: {error.offset}"
        ) from None
    if not isinstance(value, JsonObject):
        raise errors.invalid_argument(f"JSON Value: {json_writer.message(value)} Is not object")
    if not isinstance(value.get("signature_name", ""), str):
        raise errors.invalid_argument(
            f"JSON Value: {json_writer.message(value)} not formatted correctly. 'signature_name' "
            "key must be a string value."
        )
    return value


def is_text(value: str) -> bool:
    """Whether a string is UTF-8, which it need not be in a body."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_bytes(value: str) -> bytes:
    """A string as the bytes that the body had."""
    return value.encode("utf-8", "surrogateescape")


def is_base64(value: Json) -> TypeGuard[JsonObject]:
    """Whether a JSON value stands for bytes."""
    return (
        isinstance(value, JsonObject)
        and isinstance(value.get("b64"), str)
        and len(value.members()) == 1
    )


def from_base64(value: JsonObject) -> bytes:
    """The bytes that a JSON value stands for; raises INVALID_ARGUMENT where they are garbled.

    White space does not count, and the padding at the end may be missing.
    """
    found = _BASE64.fullmatch(_SPACE.sub("", value["b64"]))
    letters, padding = found.groups() if found else ("", "?")
    wanted = _PADDING.get(len(letters) % 4)
    if wanted is None or len(padding) not in (0, wanted) or padding == "?":
        raise errors.invalid_argument("Unable to base64 decode")
    return base64.b64decode(letters + "=" * wanted)

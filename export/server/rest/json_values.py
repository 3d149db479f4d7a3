"""JSON values of the REST interface: parsed, converted and worded as TensorFlow Serving does."""

from __future__ import annotations

import base64
import json
import math
from typing import TypeAlias, TypeGuard

import numpy as np

from export.server import errors

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

# What Python's parser says -> what the real server's does.
_PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Extra data": "The document root must not be followed by other values.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma or a closing bracket.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
}
_TYPE_NAMES: dict[type, str] = {
    type(None): "Null",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}


def type_name(value: Json) -> str:
    """The name of a JSON value's type in error messages."""
    return str(value) if isinstance(value, bool) else _TYPE_NAMES[type(value)]


def text(value: Json) -> str:
    """A JSON value in error messages."""
    return json.dumps(value, indent=4, ensure_ascii=False)


def parsed(body: bytes) -> dict[str, Json]:
    """The object that is the body of every request, its signature name checked."""
    if not body:
        raise errors.invalid_argument("JSON Parse error: The document is empty")
    try:
        value = json.loads(body)
    except json.JSONDecodeError as error:
        message = _PARSE_ERRORS.get(error.msg, error.msg)
        raise errors.invalid_argument(
            f"JSON Parse error: {message} at offset: {error.pos}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise errors.invalid_argument(f"JSON Parse error: {error}") from None
    if not isinstance(value, dict):
        raise errors.invalid_argument(f"JSON Value: {text(value)} Is not object")
    if not isinstance(value.get("signature_name", ""), str):
        raise errors.invalid_argument(
            f"JSON Value: {text(value)} not formatted correctly. 'signature_name' key must be a "
            "string value."
        )
    return value


def is_base64(value: Json) -> TypeGuard[dict[str, str]]:
    """Whether a JSON value stands for bytes."""
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


def from_base64(value: dict[str, str]) -> bytes:
    """The bytes that a JSON value stands for; raises INVALID_ARGUMENT where they are garbled."""
    try:
        return base64.b64decode(value["b64"], validate=True)
    except ValueError:
        raise errors.invalid_argument("Unable to base64 decode") from None


def check_lossless(value: float, bits: int, kind: str) -> None:
    """Refuses a number that a float with a mantissa of so many bits cannot hold."""
    largest = 2.0**128 if bits == 24 else math.inf
    fits = abs(value) < 1 << bits if isinstance(value, int) else abs(value) < largest
    if not fits and (isinstance(value, int) or math.isfinite(value)):
        raise errors.invalid_argument(
            f"Cannot convert JSON value: {text(value)} to {kind} without loss of precision."
        )


def plain_float(value: float) -> float:
    """A float32 as the decimal that the real server writes: of six digits if that is exact."""
    short = float(f"{value:.6g}")
    return short if np.float32(short) == np.float32(value) else float(f"{value:.9g}")

"""Numbers in JSON: read and written as RapidJSON 1.1 and TensorFlow Serving do."""

from __future__ import annotations

import math
import re

import numpy as np

_INTEGER = re.compile(rb"0|[1-9][0-9]*")
_DIGITS = re.compile(rb"[0-9]*")
_LARGEST_EXPONENT = 308
_ALMOST_TOO_BIG = 1.7976931348623157e307  # one digit more does not fit into a double
_FLOAT32_RANGE = 3.4028234e38  # beyond it RapidJSON calls a number a double


class ReadError(ValueError):
    """Text that is no JSON; `offset` is the byte where that shows."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def read_number(data: bytes, start: int) -> tuple[int | float, int]:
    """The number that begins at `start`, and where it ends.

    NaN, Inf and Infinity are numbers. An integer beyond int64 (if negative) or uint64 is a float.

    Raises:
      ReadError: there is none, or it is too big for a double.
    """
    at = start + (data[start : start + 1] == b"-")
    integer = _INTEGER.match(data, at)
    if not integer:
        return _read_name(data, at, negative=at > start)
    at = integer.end()
    whole = integer.group()
    negative = integer.start() > start
    fits = _fits(whole, negative)
    if not fits and _is_too_big(whole):
        raise ReadError("Number too big to be stored in double.", start)
    fraction = b""
    is_float = not fits
    if data[at : at + 1] == b".":
        at, fraction = _run(data, at + 1)
        if not fraction:
            raise ReadError("Miss fraction part in number.", at)
        is_float = True
    if data[at : at + 1] in (b"e", b"E"):
        at = _read_exponent(data, at + 1, start, whole, fraction)
        is_float = True
    text = data[start:at]
    return (float(text) if is_float else int(text)), at


def _run(data: bytes, at: int) -> tuple[int, bytes]:
    """Digits from `at` on: where they end, and what they are."""
    found = _DIGITS.match(data, at)
    assert found  # it matches nothing too
    return found.end(), found.group()


def _fits(whole: bytes, negative: bool) -> bool:
    if len(whole) > 20:
        return False
    return int(whole) <= (2**63 if negative else 2**64 - 1)


def _is_too_big(whole: bytes) -> bool:
    """Whether digits stand behind the last that a double has room for."""
    shortest = _LARGEST_EXPONENT + 1
    if len(whole) != shortest:
        return len(whole) > shortest
    return float(whole[:-1]) >= _ALMOST_TOO_BIG


def _read_name(data: bytes, at: int, negative: bool) -> tuple[float, int]:
    """NaN and infinity; letters that begin one of them are passed before an error is told."""

    def takes(word: bytes) -> bool:
        nonlocal at
        for letter in word:
            if data[at : at + 1] != bytes([letter]):
                return False
            at += 1
        return True

    if takes(b"NaN"):
        return math.nan, at
    if takes(b"Inf"):
        if data[at : at + 1] == b"i" and not takes(b"inity"):
            raise ReadError("Invalid value.", at)
        return (-math.inf if negative else math.inf), at
    raise ReadError("Invalid value.", at)


def _read_exponent(data: bytes, at: int, start: int, whole: bytes, fraction: bytes) -> int:
    """Where an exponent ends; refuses those that RapidJSON holds to be too big."""
    sign = data[at : at + 1]
    at, digits = _run(data, at + (sign in (b"+", b"-")))
    if not digits:
        raise ReadError("Miss exponent in number.", at)
    largest = _LARGEST_EXPONENT + _digits_counted(whole, fraction)
    if sign != b"-" and int(digits.lstrip(b"0")[:10] or b"0") > largest:
        raise ReadError("Number too big to be stored in double.", start)
    return at


def _digits_counted(whole: bytes, fraction: bytes) -> int:
    """How many digits of a fraction RapidJSON takes into account: some seventeen with the others.

    They move the largest exponent that it takes.
    """
    significant = len(whole) - 1
    value = int(whole[:20])
    counted = 0
    in_double = not _fits(whole, negative=False)
    for digit in fraction:
        if not in_double and value <= 2**53 - 1:
            value = 10 * value + digit - ord("0")
        else:
            in_double = True
            if significant >= 17:
                break
            value = 10 * value + digit - ord("0")
        counted += 1
        significant += value > 0
    return counted


def decimal(value: float | np.float32) -> str:
    """A float or double as an answer has it: six digits if those are exact, else all.

    Args:
      value: an np.float32, or a float that is taken as a double.
    """
    number = float(value)
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "-Infinity" if number < 0 else "Infinity"
    text = f"{number:.6g}"
    single = isinstance(value, np.float32)
    with np.errstate(over="ignore"):
        is_exact = np.float32(text) == value if single else float(text) == number
    if not is_exact:
        text = f"{number:.9g}" if single else f"{number:.17g}"
    return text if "." in text or "e" in text else text + ".0"


def told(value: float) -> str:
    """A number that a message quotes: as a float where it is in the range of one."""
    if abs(value) <= _FLOAT32_RANGE:
        return decimal(np.float32(value))
    return decimal(value)


def shortest(value: float) -> str:
    """A finite double within a list or object that a message quotes: its shortest digits."""
    mantissa, _, exponent = f"{value!r}".partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return f"{sign}0.0"
    power = int(exponent or 0) - len(fraction)
    stripped = digits.rstrip("0")
    power += len(digits) - len(stripped)
    digits = stripped
    point = len(digits) + power  # digits before the decimal point
    if power >= 0 and point <= 21:
        return f"{sign}{digits}{'0' * power}.0"
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1}"

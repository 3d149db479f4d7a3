"""What a flag may be in a search, as a space file describes it.

    0.01                           this value alone
    [0.01, 0.001]                  one of these, each as likely
    {"uniform": [0.0, 0.3]}        a number between two bounds
    {"log_uniform": [1e-6, 1e-3]}  the same, evenly by its logarithm
    {"integer": [2, 8]}            a whole number from the first to the last

A flag that is a list has lists for values: [[32], [64, 32]] is a choice of two.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Protocol

from mgoe_tf.tuning.flag_types import FlagType

# Sampled numbers have so many digits, so that a flagfile is read by people too.
_DIGITS = 4


class Domain(Protocol):
    """What a flag may be."""

    def at(self, share: float) -> Any:
        """The value at a share of the domain in [0, 1)."""

    def holds(self, value: Any) -> bool:
        """Whether the flag may be this."""

    def described(self) -> Any:
        """As a space file has it."""


@dataclasses.dataclass(frozen=True)
class Choices:
    """One of some values; of one value: fixed.

    Attributes:
      values: at least one, no two alike.
    """

    values: tuple[Any, ...]

    def at(self, share: float) -> Any:
        return self.values[int(share * len(self.values))]

    def holds(self, value: Any) -> bool:
        return value in self.values

    def described(self) -> Any:
        return [list(value) if isinstance(value, tuple) else value for value in self.values]


@dataclasses.dataclass(frozen=True)
class _Range:
    """From one number to a higher one, both included."""

    low: Any
    high: Any

    def holds(self, value: Any) -> bool:
        return value is not None and bool(self.low <= value <= self.high)


@dataclasses.dataclass(frozen=True)
class Uniform(_Range):
    """low + share (high - low)."""

    low: float
    high: float

    def at(self, share: float) -> float:
        return _rounded(self.low + share * (self.high - self.low), self.low, self.high)

    def described(self) -> Any:
        return {"uniform": [self.low, self.high]}


@dataclasses.dataclass(frozen=True)
class LogUniform(_Range):
    """low (high / low)^share, with low above 0."""

    low: float
    high: float

    def at(self, share: float) -> float:
        value = self.low * math.exp(share * math.log(self.high / self.low))
        return _rounded(value, self.low, self.high)

    def described(self) -> Any:
        return {"log_uniform": [self.low, self.high]}


@dataclasses.dataclass(frozen=True)
class Integer(_Range):
    """A whole number from low to high, both included, each as likely."""

    low: int
    high: int

    def at(self, share: float) -> int:
        return self.low + int(share * (self.high - self.low + 1))

    def described(self) -> Any:
        return {"integer": [self.low, self.high]}


_RANGES: dict[str, tuple[type, type[Uniform] | type[LogUniform] | type[Integer]]] = {
    "uniform": (float, Uniform),
    "log_uniform": (float, LogUniform),
    "integer": (int, Integer),
}


def read_domain(described: Any, flag: FlagType) -> Domain:
    """Makes a domain of what stands in a space file.

    Args:
      described: parsed JSON.
      flag: what the flag takes.

    Raises:
      ValueError: it is no domain, is empty, or holds what the flag does not take. The message
        begins with `must be`.
    """
    if isinstance(described, dict):
        return _read_range(described, flag)
    if not isinstance(described, list):
        return Choices((flag.read(described),))
    values = tuple(map(flag.read, described))
    if not values:
        raise ValueError("must be at least one value, got []")
    if len(set(values)) < len(values):
        raise ValueError(f"must be values no two of which are alike, got {described}")
    return Choices(values)


def _read_range(described: dict[str, Any], flag: FlagType) -> Domain:
    if len(described) != 1 or not set(described) <= set(_RANGES):
        raise ValueError(
            f"must be a value, a list of values, or a range of {', '.join(_RANGES)}, got "
            f"{described}"
        )
    ((name, bounds),) = described.items()
    kind, domain = _RANGES[name]
    if flag.is_list or flag.kind is not kind:
        raise ValueError(f"must be {flag}, got a range {described}")
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise ValueError(f"must be a range of two bounds, got {described}")
    low, high = map(flag.read, bounds)
    if not low < high:
        raise ValueError(f"must be a range from a bound to a higher one, got {described}")
    if domain is LogUniform and low <= 0:
        raise ValueError(f"must be a range above 0, got {described}")
    return domain(low, high)


def _rounded(value: float, low: float, high: float) -> float:
    return min(max(float(f"{value:.{_DIGITS}g}"), low), high)

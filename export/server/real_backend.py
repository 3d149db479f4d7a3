"""Starts the real server in place of the embedded one, with whatever flags it was given.

It needs no TensorFlow, and reads no flags but its own: which ones there are, and what they may be,
is up to the binary.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence

REAL = "tensorflow_model_server"
_BACKEND = "backend"
_OWN = "bind_address"  # of the embedded server alone


def _pairs(arguments: Sequence[str]) -> list[tuple[str, str | None]]:
    """Names and values of flags, written as `--name=value`, `--name value` or `--name`.

    Raises:
      ValueError: an argument is neither a flag nor the value of one.
    """
    pairs: list[tuple[str, str | None]] = []
    for argument in arguments:
        if argument.startswith("-"):
            name, equals, value = argument.lstrip("-").partition("=")
            pairs.append((name, value if equals else None))
        elif pairs and pairs[-1][1] is None:
            pairs[-1] = (pairs[-1][0], argument)
        else:
            raise ValueError(f"unknown arguments: {[argument]}")
    return pairs


def is_wanted(arguments: Sequence[str]) -> bool:
    """Whether flags ask for the real server: the last --backend counts."""
    if not any(argument.lstrip("-").startswith(_BACKEND) for argument in arguments):
        return False
    return dict(_pairs(arguments)).get(_BACKEND) == REAL


def command(arguments: Sequence[str], switches: Collection[str] = ()) -> list[str]:
    """The command line of the real server: every flag but --backend, as --name=value.

    Args:
      arguments: the flags.
      switches: names of those that may be written `--noname` here, which it does not know.

    Raises:
      ValueError: it is not on the PATH; a flag is the embedded server's own; see `_pairs`.
    """
    pairs = [pair for pair in _pairs(arguments) if pair[0] != _BACKEND]
    given = dict(pairs)
    if _OWN in given:
        raise ValueError(f"--{_OWN}: {REAL} has no such flag, got {given[_OWN]!r}")
    binary = shutil.which(REAL)
    if binary is None:
        raise ValueError(f"--{_BACKEND}: {REAL} must be on the PATH, got PATH={os.environ['PATH']}")
    flags = []
    for name, value in pairs:
        if value is None and name.removeprefix("no") in switches and name not in switches:
            name, value = name.removeprefix("no"), "false"
        flags.append(f"--{name}" if value is None else f"--{name}={value}")
    return [binary, *flags]


def start(arguments: Sequence[str], switches: Collection[str] = ()) -> None:
    """Becomes the real server; see `command`."""
    line = command(arguments, switches)
    os.execv(line[0], line)

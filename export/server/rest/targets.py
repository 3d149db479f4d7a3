"""What a request line asks for, read as libevent 2.1 does: that is what the real server uses."""

from __future__ import annotations

import re

_LETTERS = r"(?:[-A-Za-z0-9._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})"
_TARGET = re.compile(
    r"(?:[A-Za-z][-A-Za-z0-9+.]*:)?"  # a scheme
    r"(?://[^/?#]*)?"  # a host
    rf"(?P<path>{_LETTERS}*)"
    rf"(?P<query>\?(?:{_LETTERS}|\?)*)?"
    rf"(?P<fragment>\#(?:{_LETTERS}|\?)*)?"
)


def split(target: str) -> tuple[str, str] | None:
    """(path, path with query and fragment), percent signs and all; None where it is no target."""
    found = _TARGET.fullmatch(target)
    if not found:
        return None
    path = found["path"] or "/"
    return path, path + (found["query"] or "") + (found["fragment"] or "")

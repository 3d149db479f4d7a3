"""Command lines that are printed to be pasted into a shell."""

from __future__ import annotations

import shlex
import sys


def quoted(argument: str) -> str:
    r"""An argument as a shell reads it.

    One that standard output cannot show, or that is no text (surrogates, as `os.fsdecode` makes
    them of bytes), is written byte by byte, as bash, zsh and ksh read it: $'caf\xe9'.
    """
    if argument.isprintable() and _can_be_shown(argument):
        return shlex.quote(argument)
    plain = [
        chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}"
        for byte in argument.encode("utf-8", "surrogateescape")
    ]
    return f"$'{''.join(plain)}'"


def command_line(*arguments: str) -> str:
    """A command with its arguments, each quoted where it must be."""
    return " ".join(map(quoted, arguments))


def _can_be_shown(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True

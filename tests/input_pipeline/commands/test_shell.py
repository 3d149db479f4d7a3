"""Printed commands, read back by a shell."""

import os
import subprocess

import pytest

from input_pipeline.commands import shell


@pytest.mark.parametrize(
    ("argument", "quoted"),
    [
        ("--data_dir=a/b-1.csv", "--data_dir=a/b-1.csv"),
        ("a b", "'a b'"),
        ("it's $HOME", "'it'\"'\"'s $HOME'"),
        ("", "''"),
        ("two\nlines\\", r"$'two\x0alines\x5c'"),
        (os.fsdecode(b"caf\xe9's"), r"$'caf\xe9\x27s'"),
    ],
)
def test_arguments_come_back_from_the_shell(argument, quoted) -> None:
    assert shell.quoted(argument) == quoted
    done = subprocess.run(["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True)
    assert done.stdout == os.fsencode(argument)


def test_what_the_terminal_lacks_is_written_byte_by_byte(monkeypatch) -> None:
    class Ascii:
        encoding = "ascii"

    assert shell.command_line("echo", "é b") == "echo 'é b'"
    monkeypatch.setattr("sys.stdout", Ascii())
    assert shell.command_line("echo", "é b") == r"echo $'\xc3\xa9 b'"

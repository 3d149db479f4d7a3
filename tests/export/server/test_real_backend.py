"""The real server in place of the embedded one: its command line."""

import os
import subprocess
import sys

import pytest

from export import serve
from export.server import real_backend
from export.server.options import ServeOptions

_REAL = "--backend=tensorflow_model_server"


@pytest.fixture
def binary(tmp_path, monkeypatch):
    """A program in place of the real server, which prints its arguments."""
    path = tmp_path / "tensorflow_model_server"
    path.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    os.chmod(path, 0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], False),
        (["--port=1"], False),
        (["--backend=embedded"], False),
        ([_REAL], True),
        (["--port", "1", "--backend", "tensorflow_model_server"], True),
        ([_REAL, "--backend=embedded"], False),
    ],
)
def test_which_server_is_wanted(arguments, wanted):
    assert real_backend.is_wanted(arguments) is wanted


def test_flags_that_the_embedded_server_does_not_know_are_passed_on(binary):
    arguments = ["--tensorflow_session_run_timeout=5", "--flush_filesystem_caches", "-xla_gpu=1"]
    arguments += ["--file_system_poll_wait_seconds=0.5"]  # which is for the real server to refuse
    assert real_backend.command([_REAL, *arguments]) == [
        binary,
        "--tensorflow_session_run_timeout=5",
        "--flush_filesystem_caches",
        "--xla_gpu=1",
        "--file_system_poll_wait_seconds=0.5",
    ]


def test_flags_are_written_as_the_real_server_reads_them(binary):
    arguments = ["--port", "8500", "--noenable_batching", "--enable_model_warmup", "--model_name="]
    assert real_backend.command(arguments, serve._SWITCHES)[1:] == [
        "--port=8500",
        "--enable_batching=false",
        "--enable_model_warmup",
        "--model_name=",
    ]


def test_switches_are_those_of_the_embedded_server():
    switches = {
        field.name
        for field in ServeOptions.__dataclass_fields__.values()
        if field.default in (True, False) and isinstance(field.default, bool)
    }
    assert switches == serve._SWITCHES


def test_what_cannot_be_passed_on(binary, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="--bind_address: tensorflow_model_server has no such"):
        real_backend.command([_REAL, "--bind_address=0.0.0.0"])
    with pytest.raises(ValueError, match=r"unknown arguments: \['x'\]"):
        real_backend.command(["--port=1", "x"])
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="tensorflow_model_server must be on the PATH"):
        real_backend.command([_REAL])


def test_the_command_becomes_the_real_server_without_tensorflow(binary, tmp_path):
    flagfile = tmp_path / "real.flags"
    flagfile.write_text(f"{_REAL}\n--max_num_load_retries=3\n")
    done = subprocess.run(
        [sys.executable, "-m", "export.serve", f"--flagfile={flagfile}", "--thread_pool_factory=x"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.splitlines() == ["--max_num_load_retries=3", "--thread_pool_factory=x"]
    assert done.stderr == ""

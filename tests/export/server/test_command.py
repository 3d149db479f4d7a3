"""The command that serves: its backends, its signals."""

import os
import signal
import subprocess
import sys

import pytest

from export.client import Client
from export.server.command import real_command
from export.server.options import ServeOptions
from tests.export.server.small_model import ROWS


def test_the_real_server_is_started_with_the_same_flags(tmp_path, monkeypatch):
    options = ServeOptions(model_base_path="/x", enable_batching=True, port=1)
    given = {"model_base_path", "enable_batching", "port"}
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="tensorflow_model_server must be on the PATH"):
        real_command(given, options)
    binary = tmp_path / "tensorflow_model_server"
    binary.write_text("#!/bin/sh\n")
    os.chmod(binary, 0o755)
    flags = ["--enable_batching=true", "--model_base_path=/x", "--port=1"]
    assert real_command(given, options) == [str(binary), *flags]
    with pytest.raises(ValueError, match="--bind_address: tensorflow_model_server has no such"):
        real_command({"bind_address"}, options)


@pytest.mark.parametrize(
    ("number", "status", "told"),
    [
        (signal.SIGTERM, 0, ""),
        (signal.SIGINT, 130, "stopped serving; the same command serves again\n"),
    ],
)
def test_the_command_stops_gracefully(base_path, number, status, told):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "export.serve"),
            *("--model_name=small", f"--model_base_path={base_path}", "--port=0"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    assert line.startswith("Running gRPC ModelServer at 127.0.0.1:")
    with Client(line.split()[4], "small") as client:
        assert client.predict(ROWS)["score"][1] == 19.0
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == status
    assert errors.endswith(told)

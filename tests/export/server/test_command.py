"""The command that serves: its backends, its signals."""

import signal
import subprocess
import sys

import pytest

from export.client import Client
from tests.export.server.small_model import ROWS


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

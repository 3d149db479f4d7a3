"""An S3 server on loopback for tests: moto's, in a process of its own.

In the process of the tests it would hang: tensorflow-io keeps the interpreter's lock while it waits
for an answer.

    from tests.s3_server import s3_bucket  # noqa: F401

    def test_it(s3_bucket): ...  # f"s3://{s3_bucket.name}/path"
"""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

_START_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class S3Bucket:
    """An empty bucket at first.

    Attributes:
      name: of the bucket. environment: the variables by which tensorflow-io finds the server;
      already set in this process.
    """

    name: str
    environment: dict[str, str]

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    @property
    def subprocess_environment(self) -> dict[str, str]:
        """The whole environment of a subprocess that uses the bucket."""
        return {**os.environ, **self.environment}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _request(url: str, method: str = "GET") -> None:
    # Without proxies, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(urllib.request.Request(url, method=method), timeout=10).close()


def _wait_until_up(server: subprocess.Popen, url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return _request(url)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"moto's server did not start at {url}") from None
            time.sleep(0.1)


class _ExitStatus:
    """Ends pytest with its own status: tensorflow-io makes the interpreter abort at its exit."""

    name = "exit_status_after_tensorflow_io"
    status = 0

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.status = int(exitstatus)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self.status)


@pytest.fixture(scope="module")
def s3_bucket(request: pytest.FixtureRequest) -> Iterator[S3Bucket]:
    """A bucket on a fresh server; skipped where tensorflow-io or moto is missing."""
    pytest.importorskip("moto.server")
    _require_tensorflow_io()
    plugins = request.config.pluginmanager
    if not plugins.has_plugin(_ExitStatus.name):
        plugins.register(_ExitStatus(), _ExitStatus.name)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "S3_ENDPOINT": url,
        "S3_USE_HTTPS": "0",
        "S3_VERIFY_SSL": "0",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            _wait_until_up(server, url)
            _request(f"{url}/bucket", method="PUT")
            yield S3Bucket("bucket", environment)
        finally:
            server.terminate()
            server.wait()


def _require_tensorflow_io() -> None:
    from input_pipeline import filesystem

    try:
        filesystem.prepare_remote("s3://bucket")
    except (ImportError, ValueError) as error:
        pytest.skip(str(error))

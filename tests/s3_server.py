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

import pytest

_START_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class S3Bucket:
    """A bucket; each test writes below a prefix of its own.

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


class _Server:
    """The one server of this pytest process, as a plugin that ends with it.

    tensorflow-io reads the variables once, so a second server would never be asked. It also makes
    the interpreter abort at its exit, so pytest is ended here, with its own status.
    """

    name = "s3_server"

    def __init__(self) -> None:
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        self.bucket = S3Bucket(
            "bucket",
            {
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
                "S3_ENDPOINT": url,
                "S3_USE_HTTPS": "0",
                "S3_VERIFY_SSL": "0",
            },
        )
        self._status = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.environ.update(self.bucket.environment)
        _wait_until_up(self._process, url)
        _request(f"{url}/{self.bucket.name}", method="PUT")

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._status = int(exitstatus)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        self._process.terminate()
        self._process.wait()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self._status)


@pytest.fixture(scope="session")
def s3_bucket(request: pytest.FixtureRequest) -> S3Bucket:
    """A bucket that all tests share; skipped where tensorflow-io or moto is missing."""
    pytest.importorskip("moto.server")
    _require_tensorflow_io()
    plugins = request.config.pluginmanager
    server = plugins.get_plugin(_Server.name)
    if server is None:
        server = _Server()
        plugins.register(server, _Server.name)
    return server.bucket


def _require_tensorflow_io() -> None:
    from input_pipeline.files import filesystem

    try:
        filesystem.prepare_remote("s3://bucket")
    except (ImportError, ValueError) as error:
        pytest.skip(str(error))

"""A Redis server of a test's own, on a free loopback port."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def redis_server(*arguments: str) -> Iterator[str]:
    """The URL of a server that keeps nothing on disk; skips where there is none to start."""
    redis = pytest.importorskip("redis", reason="the package redis is not installed")
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed (Debian's package of that name)")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", *arguments]
    with subprocess.Popen([*command, "--appendonly", "no"], stdout=subprocess.DEVNULL) as process:
        try:
            url = f"redis://127.0.0.1:{port}"
            end = time.monotonic() + 20
            while True:
                with contextlib.suppress(redis.ConnectionError), redis.Redis.from_url(url) as asked:
                    asked.ping()
                    break
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.02)
            yield url
        finally:
            process.terminate()

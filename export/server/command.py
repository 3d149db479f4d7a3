"""What the command `export.serve` does: starts the embedded server, or the real one."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import sys
from types import FrameType

import tensorflow as tf
from absl import flags

from export.server.model_server import Server
from export.server.options import ServeOptions
from input_pipeline.commands import options
from input_pipeline.commands.options import option

_REAL = "tensorflow_model_server"


@dataclasses.dataclass(frozen=True)
class BackendOptions:
    """Which server is started."""

    backend: str = option(
        "embedded",
        f"embedded: this one. {_REAL}: that binary, from the PATH, with the same flags.",
        ("embedded", _REAL),
    )


def real_command(given: set[str], serve_options: ServeOptions) -> list[str]:
    """The command line of tensorflow_model_server with the flags that were given.

    Raises:
      ValueError: it is not on the PATH, or a flag is the embedded server's own.
    """
    binary = shutil.which(_REAL)
    if binary is None:
        raise ValueError(f"--backend: {_REAL} must be on the PATH, got PATH={os.environ['PATH']}")
    if "bind_address" in given:
        raise ValueError(
            f"--bind_address: {_REAL} has no such flag, got {serve_options.bind_address!r}"
        )
    values = {name: getattr(serve_options, name) for name in sorted(given)}
    texts = {
        n: str(v).lower() if isinstance(v, bool) else f"{v:g}" if isinstance(v, float) else v
        for n, v in values.items()
    }
    return [binary, *(f"--{name}={text}" for name, text in texts.items())]


def serve(backend_options: BackendOptions, serve_options: ServeOptions) -> None:
    """Serves until SIGTERM or SIGINT, or becomes the real server.

    Raises:
      KeyboardInterrupt: it was SIGINT; requests under way have been answered.
      ValueError: see `real_command` and `Server.start`.
      OSError: a port is taken.
    """
    if backend_options.backend == _REAL:
        command = real_command(options.given(ServeOptions, flags.FLAGS), serve_options)
        os.execv(command[0], command)
    tf.get_logger().setLevel("ERROR")  # it calls the loader of sessions deprecated
    server = Server(serve_options)
    told: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        told.append(number)
        server.request_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        server.start()
        print(
            f"Running gRPC ModelServer at {server.options.bind_address}:{server.port} ...",
            flush=True,
        )
        if server.options.rest_api_port:
            address = f"{server.options.bind_address}:{server.options.rest_api_port}"
            print(f"Exporting HTTP/REST API at:{address} ...", flush=True)
        server.wait()
    finally:
        server.stop()
    if signal.SIGINT in told:
        print("stopped serving; the same command serves again", file=sys.stderr)
        raise KeyboardInterrupt

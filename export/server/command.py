"""What the command `export.serve` does with the embedded server: starts it, and stops it."""

from __future__ import annotations

import dataclasses
import signal
import sys
from types import FrameType

import tensorflow as tf

from export.server.model_server import Server
from export.server.options import ServeOptions
from export.server.real_backend import REAL
from input_pipeline.commands.options import option


@dataclasses.dataclass(frozen=True)
class BackendOptions:
    """Which server is started."""

    backend: str = option(
        "embedded",
        f"embedded: this one. {REAL}: that binary, from the PATH, with the same flags.",
        ("embedded", REAL),
    )


def serve(backend_options: BackendOptions, serve_options: ServeOptions) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
      backend_options: the embedded server; the real one was started before its flags were read.
      serve_options: its flags.

    Raises:
      KeyboardInterrupt: it was SIGINT; requests under way have been answered.
      ValueError: see `Server.start`.
      OSError: a port is taken.
    """
    del backend_options
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

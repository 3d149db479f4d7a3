"""Serves exports: python -m export.serve --model_name=mgoe --model_base_path=BASE/mgoe

An embedded gRPC and REST server with the protocol, the flag names and the answers of
tensorflow_model_server, for development and tests. A client of TensorFlow Serving works against it
unchanged. With --backend=tensorflow_model_server that binary is started instead.
"""

from __future__ import annotations

import os

from input_pipeline.commands.command import run_command


def main() -> None:
    """The command."""
    # As in deployments for CPU: with oneDNN's kernels a call with a hundred small rows takes
    # longer. TensorFlow reads this when it is imported, so that the imports follow; a process that
    # imports this module without running the command keeps what it has.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

    from export.server.command import BackendOptions, serve
    from export.server.options import ServeOptions

    run_command(serve, BackendOptions, ServeOptions, doc=__doc__)


if __name__ == "__main__":
    main()

"""Serves exports: python -m export.serve --model_name=mgoe --model_base_path=BASE/mgoe

An embedded gRPC and REST server with the protocol, the flag names and the answers of
tensorflow_model_server, for development and tests. A client of TensorFlow Serving works against it
unchanged. With --backend=tensorflow_model_server that binary is started instead, with whatever
other flags are given.
"""

from __future__ import annotations

import os
import sys

from absl import flags

from export.server import real_backend
from input_pipeline.commands.command import run_command, run_main

# Flags of the real server that are on or off, and can be written --noNAME for the embedded one.
_SWITCHES = frozenset(
    (
        "allow_version_labels_for_unavailable_models",
        "enable_batching",
        "enable_model_warmup",
        "enable_signature_method_name_check",
    )
)


def main() -> None:
    """The command."""
    arguments = flags.FLAGS.read_flags_from_files(sys.argv[1:], force_gnu=False)
    if real_backend.is_wanted(arguments) and "--help" not in arguments:
        run_main(lambda: real_backend.start(arguments, _SWITCHES))
    # As in deployments for CPU: with oneDNN's kernels a call with a hundred small rows takes
    # longer. TensorFlow reads this when it is imported, so that the imports follow; a process that
    # imports this module without running the command keeps what it has.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

    from export.server.command import BackendOptions, serve
    from export.server.options import ServeOptions

    run_command(serve, BackendOptions, ServeOptions, doc=__doc__)


if __name__ == "__main__":
    main()

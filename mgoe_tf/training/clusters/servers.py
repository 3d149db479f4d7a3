"""The processes of a cluster that do as they are told: parameter servers and their workers."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

import tensorflow as tf

from input_pipeline.files import filesystem
from mgoe_tf.training.clusters.place import Place
from mgoe_tf.training.options import TrainOptions

# Read by TensorFlow: calls to a process that is gone fail at once, and are not tried for ever.
_FAIL_FAST = ("GRPC_FAIL_FAST", "use_caller")


def prepare_process(place: Place) -> None:
    """What every process of a parameter-server cluster sets before TensorFlow's first operation."""
    os.environ.setdefault(*_FAIL_FAST)
    tf.config.threading.set_inter_op_parallelism_threads(_inter_op_threads(place))


def _inter_op_threads(place: Place) -> int:
    """Operations wait for those of other workers: with fewer threads all could wait."""
    return max(os.cpu_count() or 1, place.count("worker") + 1)


def serve(place: Place, options: TrainOptions) -> NoReturn:
    """Does what the chief tells until the process is ended; nothing of a server is to be saved."""
    for directory in (options.data_dir, options.model_dir):
        filesystem.prepare_remote(directory)  # shards of a checkpoint are written from here
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)  # Python's own would wait for `join` to return
    config = tf.compat.v1.ConfigProto(
        inter_op_parallelism_threads=_inter_op_threads(place),
        intra_op_parallelism_threads=tf.config.threading.get_intra_op_parallelism_threads(),
    )
    config.gpu_options.allow_growth = True
    server = tf.distribute.Server(
        {role: list(of) for role, of in place.addresses.items()},
        job_name=place.role,
        task_index=place.index,
        protocol="grpc",
        config=config,
    )
    print(
        f"{place.role} {place.index} serves at {place.addresses[place.role][place.index]}",
        flush=True,
    )
    server.join()
    raise SystemExit(0)

"""Suite `cluster`: rows a second of clusters of processes on this machine.

All processes share the machine's cores, so that the figures tell what a cluster costs, and not what
more machines would give.
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

from input_pipeline.files import filesystem
from mgoe_tf.training.event_files import read_scalars
from tests.benchmarks.context import Context
from tests.benchmarks.line import Line

# Workers and servers; without servers they step together, without workers one process is alone.
_CLUSTERS = ((0, 0), (1, 1), (2, 1), (1, 2), (2, 2), (2, 0))
_FEW_EVENTS = 100_000


def run(context: Context) -> list[Line]:
    """A line a cluster, beside the process alone that does the same units of work."""
    clusters = _CLUSTERS if context.scale.events >= _FEW_EVENTS else _CLUSTERS[:2]
    speeds = {cluster: rows_per_second(context, *cluster) for cluster in clusters}
    alone = speeds[0, 0]
    return [
        Line(
            f"training, {workers} workers and {servers} servers",
            "rows/s",
            [speed],
            [alone],
            "a process alone",
            details={"workers": workers, "servers": servers, "cores": context.cores},
        )
        for (workers, servers), speed in speeds.items()
        if workers
    ]


def rows_per_second(context: Context, workers: int, servers: int) -> float:
    """Of the second epoch; the first one includes what is compiled once."""
    model_dir = filesystem.join(context.folder, f"cluster-{workers}-{servers}")
    module = ["mgoe_tf.launch", f"--workers={workers}", f"--parameter_servers={servers}"]
    if not workers:
        module = ["mgoe_tf.train", "--distribution=parameter_server"]
    flags = {
        "data_dir": context.data_dir("request"),
        "model_dir": model_dir,
        "epochs": 2,
        "patience": 0,
        "report": False,
        "evaluate_test": False,
    }
    subprocess.run(
        [sys.executable, "-m", *module, *(f"--{name}={value}" for name, value in flags.items())],
        check=True,
        env={key: value for key, value in os.environ.items() if key != "TF_CONFIG"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    points = read_scalars(filesystem.join(model_dir, "events", "train"))
    speeds = [speed for _, speed in points["speed/examples_per_second"]]
    return float(median(speeds[-(-len(speeds) // 2) :]))

"""Measures speed and memory: python -m tests.benchmarks [--suite=graph,write] [--scale=paper]

Each suite runs in a process of its own, in which ours and its peers take turns, with threads fixed
to the cores; those within an operation of TensorFlow are as the train command sets them.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import tempfile
from unittest import mock

from input_pipeline.commands.command import run_command
from input_pipeline.commands.options import option
from input_pipeline.commands.text_table import table
from input_pipeline.files import filesystem
from mgoe_tf.models.mgoe_sizes import SIZES
from mgoe_tf.training.threads import default_intra_op_threads
from tests.benchmarks.context import SCALES, Context
from tests.benchmarks.line import Line
from tests.benchmarks.machine import machine
from tests.benchmarks.suites import SUITES, run_suite

# What a suite's process has besides: `infer` what the embedded server and deployments for CPU set.
_ENVIRONMENTS = {"infer": {"TF_ENABLE_ONEDNN_OPTS": "0"}}


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions:
    """What is measured."""

    suite: tuple[str, ...] = option(
        tuple(SUITES), f"Suites to run, of {', '.join(SUITES)}. Default: all."
    )
    scale: str = option(
        "small", "Size of the work; `paper` is that of the paper's Taobao data.", tuple(SCALES)
    )
    size: str = option("base", "Size of MGOE in the suites step and infer.", tuple(SIZES))
    output: str = option("", "JSON file to write; it must not exist yet.")
    folder: str = option(
        "", "Folder to keep logs and data sets in, for later runs. Default: a temporary one."
    )

    def __post_init__(self) -> None:
        unknown = sorted(set(self.suite) - set(SUITES))
        if unknown or not self.suite:
            raise ValueError(f"--suite: must be some of {', '.join(SUITES)}, got {unknown}")
        if self.output and filesystem.exists(self.output):
            raise FileExistsError(f"--output: must not exist yet, got {self.output}")


def benchmark(options: BenchmarkOptions) -> dict[str, list[Line]]:
    """Runs the suites and returns their lines; prints each suite's table as it is done."""
    cores = len(os.sched_getaffinity(0))
    # Read when the suite's process imports NumPy, TensorFlow and PyTorch.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[variable] = str(cores)
    # As the train command sets them.
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(default_intra_op_threads() or cores)
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or scratch
        filesystem.make_dirs(folder)
        for name in options.suite:
            with (
                mock.patch.dict(os.environ, _ENVIRONMENTS.get(name, {})),
                concurrent.futures.ProcessPoolExecutor(
                    1, multiprocessing.get_context("spawn")
                ) as process,
            ):
                context = Context(SCALES[options.scale], folder, options.size)
                results[name] = process.submit(run_suite, name, context).result()
            print(table_of(name, results[name]), end="\n\n", flush=True)
    return results


def table_of(suite: str, lines: list[Line]) -> str:
    """The lines of a suite for people."""
    header = [suite, "ours", "spread", "unit", "peer or limit", "its", "ratio", "goal", "met"]
    return table(header, [_cells(line.to_json()) for line in lines])


def _cells(line: dict) -> list[str]:
    peer = line["peer"]
    met = {None: "", True: "yes", False: "no"}[line["is_met"]]
    return [
        line["name"], _number(line["ours"]["median"]), _number(line["ours"]["spread"]),
        line["unit"], line["peer_name"] or "", _number(peer["median"]) if peer else "",
        _number(line["ratio"]) if peer else "", line["goal"] or "", met,
    ]  # fmt: skip


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _measure(options: BenchmarkOptions) -> None:
    before = machine()
    results = benchmark(options)
    if options.output:
        suites = {name: [line.to_json() for line in lines] for name, lines in results.items()}
        report = {"scale": options.scale, "size": options.size, "machine": before, "suites": suites}
        filesystem.write_text(options.output, json.dumps(report, indent=2) + "\n")


def main() -> None:
    """The command."""
    run_command(_measure, BenchmarkOptions)


if __name__ == "__main__":
    main()

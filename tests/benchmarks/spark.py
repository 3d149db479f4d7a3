"""Measures preparation on Spark at growing logs of the synthetic source:

    python -m tests.benchmarks.spark --sizes=100000,1000000 --folder=DIR [--master=local[2]]

Time, bytes shuffled (of Spark's event log) and the peak resident memory of the driver, of the JVM
and of the largest Python worker, beside the local engine's where asked for, and a line fitted
through each: what a row of the log costs more.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import glob
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np

from input_pipeline.commands.command import run_command
from input_pipeline.commands.options import option
from input_pipeline.commands.text_table import table
from input_pipeline.files import filesystem
from input_pipeline.sources.synthetic.__main__ import SyntheticOptions, write_csv
from input_pipeline.spec import RECORD_LAYOUTS

# As many events a user and an item as the paper's Taobao data has.
_EVENTS_OF_USER, _EVENTS_OF_ITEM = 55, 25
_SAMPLE_SECONDS = 0.2
_LOG = (
    "--source=csv",
    "--columns=user_id,item_id,category_id,behavior,timestamp",
    "--event_column=behavior",
    "--task_columns=pv:click,fav:fav,cart:cart,buy:buy",
    "--timestamp_column=timestamp",
    "--item_feature_columns=category_id",
    "--noquoted_cells",
)


@dataclasses.dataclass(frozen=True)
class SparkBenchmarkOptions:
    """What is measured."""

    sizes: tuple[int, ...] = option((100_000, 1_000_000), "Events of each log, ascending.")
    folder: str = option("", "Directory of logs and data sets, which are kept.", is_path=True)
    master: str = option("local[2]", "Master of Spark.")
    part_rows: int = option(1_000_000, "--spark_part_rows.")
    driver_memory: str = option("2g", "Memory of the JVM, which holds the executors of local[n].")
    negatives: int = option(4, "Sampled negatives per pair.")
    record_layout: str = option("example", "--record_layout.", RECORD_LAYOUTS)
    cuts: str = option("", "--cuts, where other windows are wanted than the default's.")
    file_bytes: int = option(1 << 30, "--spark_file_bytes.")
    local: bool = option(False, "Measure the local engine, too.")
    output: str = option("", "JSON file to write.")

    def __post_init__(self) -> None:
        if not self.folder or not self.sizes:
            raise ValueError("--folder and --sizes: must say where, and how much")


def measure(options: SparkBenchmarkOptions) -> list[dict[str, Any]]:
    """Prepares a log of each size, and prints what it took."""
    found = []
    filesystem.make_dirs(options.folder)
    for events in options.sizes:
        log = filesystem.join(options.folder, f"{events}.csv")
        if not filesystem.exists(log):
            with concurrent.futures.ProcessPoolExecutor(1) as process:
                process.submit(
                    write_csv,
                    SyntheticOptions(
                        users=max(20, events // _EVENTS_OF_USER),
                        items=max(50, events // _EVENTS_OF_ITEM),
                        events=events,
                        output=log,
                    ),
                ).result()
        for engine in ["spark"] + ["local"] * options.local:
            found.append(_prepare(options, engine, events, log))
            print(json.dumps(found[-1]), flush=True)
    return found


def _prepare(options: SparkBenchmarkOptions, engine: str, events: int, log: str) -> dict[str, Any]:
    name = f"{engine}-{events}-{int(time.time())}"
    data_dir = filesystem.join(options.folder, name)
    events_dir = filesystem.join(options.folder, f"{name}-log")
    filesystem.make_dirs(events_dir)
    flags = [
        f"--engine={engine}",
        f"--input={log}",
        f"--data_dir={data_dir}",
        f"--negatives={options.negatives}",
        f"--record_layout={options.record_layout}",
        *_LOG,
        *([f"--cuts={options.cuts}"] if options.cuts else []),
    ]
    if engine == "spark":
        settings = {
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": f"file://{os.path.abspath(events_dir)}",
            "spark.driver.memory": options.driver_memory,
            "spark.sql.shuffle.partitions": "8",
            "spark.ui.enabled": "false",
        }
        flags += [f"--spark_master={options.master}", f"--spark_part_rows={options.part_rows}"]
        flags.append(f"--spark_file_bytes={options.file_bytes}")
        flags += [f"--spark_conf={key}={value}" for key, value in settings.items()]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "input_pipeline.prepare", *flags])
    watch = Watch(process.pid)
    status = process.wait()
    seconds = time.perf_counter() - start
    watch.stop()
    if status:
        raise ValueError(f"--engine={engine} ended with status {status}: {flags}")
    spec = json.loads(filesystem.read_text(filesystem.join(data_dir, "dataset_spec.json")))
    return {
        "engine": engine,
        "events": events,
        "seconds": round(seconds, 1),
        "rows": sum(spec["counts"]["rows"].values()),
        "nodes": spec["counts"]["users"] + spec["counts"]["items"],
        "data_set_bytes": _size(data_dir),
        "peak_gigabytes": {kind: round(peak, 3) for kind, peak in watch.peaks.items()},
        "cpu_seconds": {kind: round(cpu, 1) for kind, cpu in watch.cpu_seconds().items()},
        **shuffled(events_dir),
    }


def _size(folder: str) -> int:
    names = filesystem.files_below(folder)
    return sum(filesystem.size_bytes(filesystem.join(folder, name)) for name in names)


def shuffled(events_dir: str) -> dict[str, int]:
    """Of all tasks of an event log, bytes written to shuffles, bytes spilled, and their number."""
    written = spilled = tasks = 0
    for path in glob.glob(os.path.join(events_dir, "*")):
        with open(path) as file:
            for line in file:
                event = json.loads(line)
                metrics = event.get("Task Metrics")
                if event["Event"] == "SparkListenerTaskEnd" and metrics:
                    tasks += 1
                    written += metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"]
                    spilled += metrics["Disk Bytes Spilled"]
    return {"shuffle_bytes": written, "spilled_bytes": spilled, "spark_tasks": tasks}


class Watch:
    """The peak resident memory of a process and of those below it; Linux only.

    Attributes:
      peaks: gigabytes of the command itself, of `java`, and of the largest `worker`.
    """

    def __init__(self, pid: int):
        self.peaks = {"command": 0.0, "java": 0.0, "worker": 0.0}
        self._cpu: dict[tuple[str, int], float] = {}
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        """Ends it."""
        self._ended.set()
        self._thread.join()

    def cpu_seconds(self) -> dict[str, float]:
        """Of all processes by kind, which other programs on the machine hardly change."""
        return {
            kind: sum(cpu for (of, _), cpu in self._cpu.items() if of == kind)
            for kind in self.peaks
        }

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            processes = _processes()
            parents = {pid: parent for pid, parent, *_ in processes}
            for pid, _, name, peak, cpu in processes:
                ancestor = pid
                while ancestor in parents and ancestor != self._pid:
                    ancestor = parents[ancestor]
                if ancestor != self._pid:
                    continue
                # A thread of Java that starts a program is for a moment a process of the thread's
                # name and of all of Java's memory.
                kind = "worker" if name.startswith("python") else "java"
                kind = "command" if pid == self._pid else kind
                self.peaks[kind] = max(self.peaks[kind], peak)
                self._cpu[kind, pid] = cpu


def _processes() -> list[tuple[int, int, str, float, float]]:
    """Of every process: its number and its parent's, name, peak in gigabytes, and CPU seconds."""
    found = []
    for path in glob.glob("/proc/[0-9]*/status"):
        try:
            with open(path) as file:
                fields = dict(line.split(":", 1) for line in file if ":" in line)
            peak = int(fields.get("VmHWM", "0 kB").split()[0]) * 1024 / 1e9
            with open(path.removesuffix("us")) as file:
                times = file.read().rpartition(")")[2].split()[11:13]
            cpu = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
            name = fields["Name"].strip()
            found.append((int(fields["Pid"]), int(fields["PPid"]), name, peak, cpu))
        except (OSError, ValueError, KeyError):  # it ended meanwhile
            continue
    return found


def fit(found: list[dict[str, Any]], name: str) -> tuple[float, float]:
    """Intercept and slope of what a number of events costs, by relative least squares."""
    events = np.array([line["events"] for line in found], float)
    values = np.array([line[name] for line in found], float)
    columns = np.stack([np.ones(len(events)), events], axis=1) / values[:, np.newaxis]
    (intercept, slope), *_ = np.linalg.lstsq(columns, np.ones(len(events)), rcond=None)
    return float(intercept), float(slope)


def _measure(options: SparkBenchmarkOptions) -> None:
    found = measure(options)
    rows = [
        [
            f"{line['engine']} {line['events']:,}",
            f"{line['seconds']:,.0f}",
            f"{sum(line['cpu_seconds'].values()):,.0f}",
            f"{line['rows']:,}",
            f"{line['shuffle_bytes'] / 1e6:,.0f}",
            *(f"{line['peak_gigabytes'][kind]:.2f}" for kind in ("command", "java", "worker")),
        ]
        for line in found
    ]
    head = ["events", "s", "CPU s", "rows", "MB shuffled", "GB driver", "GB java", "GB worker"]
    print(table(head, rows))
    fitted = {}
    of_spark = [line for line in found if line["engine"] == "spark"]
    for line in of_spark:
        line["all_cpu_seconds"] = sum(line["cpu_seconds"].values())
    for name in ("seconds", "all_cpu_seconds", "shuffle_bytes") if len(of_spark) > 1 else ():
        fitted[name] = fit(of_spark, name)
        print(f"{name} = {fitted[name][0]:.4g} + {fitted[name][1]:.4g} events")
    if options.output:
        text = json.dumps({"measured": found, "fitted": fitted}, indent=2) + "\n"
        filesystem.write_text(options.output, text)


def main() -> None:
    """The command."""
    run_command(_measure, SparkBenchmarkOptions, doc=__doc__)


if __name__ == "__main__":
    main()

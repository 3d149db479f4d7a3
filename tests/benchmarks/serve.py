"""Suite `serve`: `rank_ids` of 100 candidates from the embedded server, and called in process."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from export.client import Input
from export.client.ranking import join
from export.client.snapshot import GraphSnapshot
from export.deploy import files
from export.options import ExportOptions
from export.savedmodel import export
from input_pipeline.files import filesystem
from input_pipeline.log.raw_ids import as_array
from tests.benchmarks.context import Context
from tests.benchmarks.line import Goal, Line
from tests.benchmarks.load import Heard, Target, closed_loop, open_loop
from tests.benchmarks.measure import alternate
from tests.benchmarks.runs import Run

_CLIENTS = (1, 2, 4, 8)
_CANDIDATES = 100
_REQUESTS = 200
_SECONDS_A_STEP = 0.04
_OVERLOAD_TIMEOUT_SECONDS = 1.0
_RECOVERED_CALLS = 20


def run(context: Context) -> list[Line]:
    """Requests a second of closed loops, latencies, and what an overload does."""
    data_dir = context.data_dir()
    paths = {name: _exported(name, data_dir) for name in ("mgoe", "mmoe")}
    seconds = context.scale.steps * _SECONDS_A_STEP
    clients = {n: [] for n in _CLIENTS}  # type: dict[int, list[Heard]]
    loaded = tf.saved_model.load(paths["mgoe"])
    signature = loaded.signatures["rank_ids"]
    ids = _ids(data_dir)
    spawn = multiprocessing.get_context("spawn")
    with (
        _serving(paths, context) as address,
        _modelless() as modelless_address,
        concurrent.futures.ProcessPoolExecutor(max(_CLIENTS), spawn) as pool,
    ):
        by_ids = Target(address, "mgoe", "rank_ids", ids)
        modelless = Target(modelless_address, "none", "rank_ids", ids)
        flat = Target(
            address, "mmoe", "serving_default", _flat(data_dir, _flat_inputs(paths["mmoe"]))
        )

        def served(target: Target, n: int, keep: list[Heard] | None = None) -> Callable[[], float]:
            def measure() -> float:
                start = time.time() + 0.5
                loops = [pool.submit(closed_loop, target, start, seconds) for _ in range(n)]
                heard = [loop.result() for loop in loops]
                if keep is not None:
                    keep.extend(heard)
                return sum(one.statuses["OK"] for one in heard) / seconds

            return measure

        measures = {f"served {n}": served(by_ids, n, clients[n]) for n in _CLIENTS}
        measures |= {f"process {n}": _in_process(signature, ids, n, seconds) for n in _CLIENTS}
        measures |= {f"modelless {n}": served(modelless, n) for n in _CLIENTS}
        measures["mmoe"] = served(flat, 1)
        samples = alternate(measures, context.scale.rounds, warm_ups=1)
        capacity = float(np.median(samples["served 4"]))
        steady = pool.submit(open_loop, by_ids, capacity / 2, seconds * 2).result()
        overload, recovered = _overload(pool, by_ids, capacity, seconds * 2)
    lines = [
        Line(f"rank_ids, {n} clients", "1/s", samples[f"served {n}"], samples[f"process {n}"],
             f"the signature in process, {n} threads", Goal("ratio", at_least=0.8),
             {**_latencies(clients[n]), "statuses": _statuses(clients[n])})
        for n in _CLIENTS
    ]  # fmt: skip
    lines += [
        Line(f"rank_ids, {n} clients", "1/s", samples[f"served {n}"], samples[f"modelless {n}"],
             "gRPC in Python, without a model")
        for n in _CLIENTS
    ]  # fmt: skip
    p99 = _latencies(clients[4])["p99 ms"]
    return [
        *lines,
        Line("rank_ids, 4 clients: 99th percentile", "ms", [p99], goal=Goal("ours", at_most=25)),
        Line("rank_ids of MGOE, 1 client", "1/s", samples["served 1"], samples["mmoe"],
             "100 flat rows of MMoE, 1 client", Goal("ratio", at_least=1)),
        Line("open loop at half of that: 99th percentile", "ms", [_latencies([steady])["p99 ms"]],
             details={"per second": capacity / 2, **_latencies([steady])}),
        Line("twice the capacity: answered within the deadline", "share",
             [_answered(overload)], goal=Goal("ours", at_least=1),
             details={"statuses": dict(overload.statuses), **_latencies([overload])}),
        Line("twice the capacity: recovery", "s", [recovered], goal=Goal("ours", at_most=5)),
    ]  # fmt: skip


def _exported(name: str, data_dir: str) -> str:
    run = Run.of(name, data_dir)
    base = filesystem.join(f"{run.model_dir}-served")
    return export(
        ExportOptions(model_dir=run.model_dir, export_base=base, model_name=name, data_dir=data_dir)
    )


def _ids(data_dir: str) -> tuple[dict[str, np.ndarray], ...]:
    """Requests of a random user and random candidates each."""
    snapshot, random = GraphSnapshot(data_dir), np.random.default_rng(0)
    users, items = (as_array(snapshot.known_ids(owner)) for owner in ("user", "item"))
    return tuple(
        {"user_id": random.choice(users, 1), "item_id": random.choice(items, (1, _CANDIDATES))}
        for _ in range(_REQUESTS)
    )


def _flat_inputs(path: str) -> dict[str, Input]:
    """What `serving_default` of an export wants."""
    specs = tf.saved_model.load(path).signatures["serving_default"].structured_input_signature[1]
    return {
        name: Input(spec.dtype.as_datatype_enum, tuple(size or -1 for size in spec.shape))
        for name, spec in specs.items()
    }


def _flat(data_dir: str, wanted: dict[str, Input]) -> tuple[dict[str, np.ndarray], ...]:
    """The same requests as flat rows."""
    snapshot = GraphSnapshot(data_dir)
    requests = _ids(data_dir)[:20]
    return tuple(join(snapshot, r["user_id"], r["item_id"][0], wanted) for r in requests)


@contextlib.contextmanager
def _serving(paths: dict[str, str], context: Context) -> Iterator[str]:
    """Serves exports with the CPU's batching file; gives the address of gRPC."""
    folder = filesystem.join(context.folder, f"serve-{os.getpid()}")
    filesystem.make_dirs(folder)
    config = " ".join(
        f'config {{ name: "{name}" base_path: "{path.rpartition("/")[0]}" '
        'model_platform: "tensorflow" }'
        for name, path in paths.items()
    )
    texts = {
        "models.config": f"model_config_list {{ {config} }}",
        "batching.txt": files.batching_parameters("cpu", context.cores),
    }
    for name, text in texts.items():
        filesystem.write_text(filesystem.join(folder, name), text)
    command = [sys.executable, "-m", "export.serve", "--port=0", "--enable_batching"]
    command += [f"--model_config_file={folder}/models.config", "--grpc_max_threads=64"]
    command += [f"--batching_parameters_file={folder}/batching.txt"]
    with _started(command) as first_line:
        yield first_line.split()[4]


@contextlib.contextmanager
def _modelless() -> Iterator[str]:
    """The address of a server that answers without a model."""
    with _started([sys.executable, "-m", "tests.benchmarks.modelless", str(_CANDIDATES)]) as line:
        yield line.strip()


@contextlib.contextmanager
def _started(command: list[str]) -> Iterator[str]:
    """Runs a server meanwhile; gives the first line that it prints."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline()
    finally:
        process.terminate()
        process.wait()


def _in_process(
    signature: Callable[..., Any], ids: tuple[dict[str, np.ndarray], ...], n: int, seconds: float
) -> Callable[[], float]:
    """Calls a second of the signature itself, by n threads."""

    def loop() -> int:
        end, number = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            request = ids[number % len(ids)]
            outputs = signature(**{name: tf.constant(value) for name, value in request.items()})
            for output in outputs.values():
                output.numpy()
            number += 1
        return number

    def measure() -> float:
        with concurrent.futures.ThreadPoolExecutor(n) as pool:
            return sum(pool.map(lambda _: loop(), range(n))) / seconds

    return measure


def _overload(
    pool: concurrent.futures.Executor, target: Target, capacity: float, seconds: float
) -> tuple[Heard, float]:
    """What is heard at twice the capacity, and the seconds until calls are quick again."""
    impatient = Target(
        target.address, target.model_name, target.signature, target.requests,
        _OVERLOAD_TIMEOUT_SECONDS,
    )  # fmt: skip
    loops = [pool.submit(open_loop, impatient, capacity / 2, seconds) for _ in range(4)]
    heard = Heard()
    for loop in loops:
        one = loop.result()
        heard.milliseconds += one.milliseconds
        heard.statuses += one.statuses
    begin = time.perf_counter()
    while time.perf_counter() - begin < 60:
        calls = pool.submit(open_loop, impatient, _RECOVERED_CALLS, 1.0).result()
        if set(calls.statuses) == {"OK"}:
            break
    return heard, max(0.0, time.perf_counter() - begin - 1.0)


def _answered(heard: Heard) -> float:
    """The share of calls with an answer or a refusal within the deadline."""
    fine = sum(heard.statuses[name] for name in ("OK", "RESOURCE_EXHAUSTED", "UNAVAILABLE"))
    return fine / sum(heard.statuses.values())


def _latencies(heard: list[Heard]) -> dict[str, float]:
    milliseconds = [value for one in heard for value in one.milliseconds]
    return {f"p{q} ms": float(np.percentile(milliseconds, q)) for q in (50, 90, 99)}


def _statuses(heard: list[Heard]) -> dict[str, int]:
    return {
        name: sum(one.statuses[name] for one in heard) for one in heard for name in one.statuses
    }

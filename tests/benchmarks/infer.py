"""Suite `infer`: the exported `serving_default` and `rank_ids`, called in process.

`rank_ids` is measured in two ways: `called`, as a function of TensorFlow, with what Python's call
costs; and `served`, in a session and in the calling thread, as servers for CPU run it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from export.client.snapshot import GraphSnapshot
from export.options import ExportOptions
from export.savedmodel import export
from export.server.servable import Runtime, Servable
from input_pipeline.files import filesystem
from input_pipeline.log.raw_ids import as_array
from mgoe_tf.models.node_network import NODE_STATES
from tests.benchmarks.context import Context
from tests.benchmarks.line import Goal, Line
from tests.benchmarks.measure import alternate
from tests.benchmarks.operations import executed
from tests.benchmarks.runs import Run, parsed_batches

_BATCH_SIZES = (100, 1024)
_CANDIDATES = 100
_MODELS = ("mgoe", "mmoe")


def run(context: Context) -> list[Line]:
    """Milliseconds of a call by model and batch size, and the 99th percentile of them."""
    data_dir = context.data_dir()
    paths = {name: exported(context.sized(name), data_dir) for name in _MODELS}
    signatures = {name: called(path, "serving_default") for name, path in paths.items()}
    requests = {
        size: parsed_batches(data_dir, "validation", size, context.scale.steps)
        for size in _BATCH_SIZES
    }
    calls: dict[tuple[str, int], list[float]] = {}
    measures = {}
    for name, signature in signatures.items():
        for size, batches in requests.items():
            calls[name, size] = []
            measures[f"{name} {size}"] = _mean_of_calls(signature, batches, calls[name, size])
    samples = alternate(measures, context.scale.rounds, warm_ups=1)
    lines = [
        Line(f"MGOE: a call of {size:,} rows", "ms", samples[f"mgoe {size}"],
             samples[f"mmoe {size}"], "our MMoE", Goal("ratio", at_most=3))
        for size in _BATCH_SIZES
    ]  # fmt: skip
    for (name, size), times in calls.items():
        measured = times[-context.scale.rounds * context.scale.steps :]
        goal = Goal("ours", at_most=10) if (name, size) == ("mgoe", 100) else None
        lines.append(
            Line(f"{name}: 99th percentile of {size:,} rows", "ms",
                 [float(np.percentile(measured, 99))], goal=goal,
                 details={"calls": len(measured), "median": float(np.median(measured))})
        )  # fmt: skip
    return [*lines, *_ranked(context, paths, signatures["mmoe"], requests[_CANDIDATES])]


def _ranked(
    context: Context, paths: dict[str, str], flat: Callable[..., object], rows: list
) -> list[Line]:
    """CPU of `rank_ids` beside that of MMoE's flat rows, and what a request of it executes."""
    ids = _requests(context.data_dir(), len(rows))
    served_ids, served_rows = _arrays(ids), _arrays(rows)
    measures = {
        ("called", "flat"): _cpu_of_calls(flat, rows),
        ("served", "flat"): _cpu_of_calls(served(paths["mmoe"], "serving_default"), served_rows),
    }
    for name in _MODELS:
        for state in NODE_STATES:
            path = paths[name]
            if state == "none":
                path = exported(context.sized(name), context.data_dir(), state)
            measures["called", f"{name} {state}"] = _cpu_of_calls(called(path, "rank_ids"), ids)
            measures["served", f"{name} {state}"] = _cpu_of_calls(
                served(path, "rank_ids"), served_ids
            )
    samples = alternate(measures, context.scale.rounds, warm_ups=1)
    goal = Goal("ratio", at_most=1)
    lines = [
        Line(f"{name}: CPU of rank_ids, {_CANDIDATES} candidates, node state {state}, {way}", "ms",
             samples[way, f"{name} {state}"], samples[way, "flat"],
             f"{_CANDIDATES} flat rows of MMoE",
             goal if (name, state) == ("mgoe", "full") else None)
        for way in ("called", "served") for name in _MODELS for state in NODE_STATES
    ]  # fmt: skip
    for name in _MODELS:
        inputs = {key: value.numpy() for key, value in ids[0].items()}
        parts = executed(paths[name], "rank_ids", inputs)
        lines += [
            Line(f"{name}: operations of a rank_ids, {part}", "1", [float(of.operations)],
                 details={"bytes written": of.bytes, "microseconds": of.microseconds})
            for part, of in parts.items()
        ]  # fmt: skip
    return lines


def _requests(data_dir: str, count: int) -> list[dict[str, tf.Tensor]]:
    """A random user with random candidates each."""
    snapshot, random = GraphSnapshot(data_dir), np.random.default_rng(0)
    users, items = (as_array(snapshot.known_ids(owner)) for owner in ("user", "item"))
    return [
        {
            "user_id": tf.constant(random.choice(users, 1)),
            "item_id": tf.constant(random.choice(items, (1, _CANDIDATES))),
        }
        for _ in range(count)
    ]


def exported(name: str, data_dir: str, node_state: str = "full") -> str:
    """A new export of an initialized model, named as in `Run.of`."""
    run = Run.of(name, data_dir)
    return export(
        ExportOptions(
            model_dir=run.model_dir,
            export_base=filesystem.join(f"{run.model_dir}-exports-{node_state}"),
            model_name=name.partition("-")[0],
            data_dir=data_dir,
            node_state=node_state,
        )
    )


def called(path: str, name: str) -> Callable[..., object]:
    """A signature of an export, of inputs of which it takes its own."""
    loaded = tf.saved_model.load(path)
    signature = loaded.signatures[name]
    names = set(signature.structured_input_signature[1])

    def call(rows: dict[str, tf.Tensor]) -> object:
        return signature(**{key: value for key, value in rows.items() if key in names})

    # the signature does not keep its model alive
    call.loaded = loaded  # type: ignore[attr-defined]
    return call


def served(path: str, name: str) -> Callable[..., object]:
    """A signature of an export as the embedded server runs it on a CPU, of arrays by name."""
    servable = Servable(1, path, Runtime(intra_op_threads=1, inter_op_threads=-1))
    inputs = sorted(servable.signatures[name].inputs)
    outputs = tuple(sorted(servable.signatures[name].outputs))

    def call(rows: dict[str, NDArray[Any]]) -> object:
        return servable.run(name, [rows[key] for key in inputs], outputs)

    return call


def _arrays(requests: list[dict[str, tf.Tensor]]) -> list[dict[str, NDArray[Any]]]:
    return [{key: value.numpy() for key, value in rows.items()} for rows in requests]


def _cpu_of_calls(signature: Callable[..., object], requests: list) -> Callable[[], float]:
    """What calls with every request and returns the mean CPU of a call, in milliseconds."""

    def measure() -> float:
        start = time.process_time()
        for rows in requests:
            signature(rows)
        return (time.process_time() - start) * 1000 / len(requests)

    return measure


def _mean_of_calls(
    signature: Callable[..., object], batches: list, times: list[float]
) -> Callable[[], float]:
    """What calls with every batch, adds the milliseconds of each call, and returns their mean."""

    def measure() -> float:
        for rows in batches:
            start = time.perf_counter()
            signature(rows)
            times.append((time.perf_counter() - start) * 1000)
        return float(np.mean(times[-len(batches) :]))

    return measure

"""Suite `infer`: the exported `serving_default`, called in process."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from export.savedmodel import ExportOptions, export
from input_pipeline.files import filesystem
from tests.benchmarks.context import Context
from tests.benchmarks.line import Goal, Line
from tests.benchmarks.measure import alternate
from tests.benchmarks.runs import Run, parsed_batches

_BATCH_SIZES = (100, 1024)


def run(context: Context) -> list[Line]:
    """Milliseconds of a call by model and batch size, and the 99th percentile of them."""
    data_dir = context.data_dir()
    signatures = {name: exported(name, data_dir) for name in ("mgoe", "mmoe")}
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
             samples[f"mmoe {size}"], "our MMoE", Goal("ratio", at_most=2))
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
    return lines


def exported(name: str, data_dir: str) -> Callable[..., object]:
    """`serving_default` of a new export of an initialized model."""
    run = Run.of(name, data_dir)
    base = filesystem.join(f"{run.model_dir}-exports")
    path = export(
        ExportOptions(model_dir=run.model_dir, export_base=base, model_name=name, data_dir=data_dir)
    )
    loaded = tf.saved_model.load(path)
    signature = loaded.signatures["serving_default"]
    names = set(signature.structured_input_signature[1])

    def call(rows: dict[str, tf.Tensor]) -> object:
        return signature(**{key: value for key, value in rows.items() if key in names})

    # the signature does not keep its model alive
    call.loaded = loaded  # type: ignore[attr-defined]
    return call


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

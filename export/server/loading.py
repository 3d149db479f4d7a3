"""Loads a version so that its first request is as quick as the others."""

from __future__ import annotations

import time

from tensorflow_serving.apis import prediction_log_pb2

from export import warmup
from export.server import errors, inference
from export.server.servable import Runtime, Servable

_MOST_RECORDS = 1000  # of a warm-up file, as for the real server


def load_servable(
    version: int, path: str, runtime: Runtime | None = None, warmup_iterations: int = 1
) -> Servable:
    """Loads a version and replays its warm-up requests, since the first runs are slow.

    Args:
      version, path, runtime: see `Servable`.
      warmup_iterations: how often each request is replayed; 0: not at all.

    Raises:
      What `Servable` raises; ServingError or tf.errors.OpError for a request that is not answered.
    """
    start = time.perf_counter()
    servable = Servable(version, path, runtime)
    metrics = servable.runtime.metrics
    metrics.load_latency.add(path, count=round((time.perf_counter() - start) * 1e6))
    start, records = time.perf_counter(), 0
    try:
        if warmup_iterations:
            for records, log in enumerate(warmup.read(path), 1):
                if records > _MOST_RECORDS:
                    raise errors.invalid_argument(
                        f"Number of warmup records exceeds the maximum ({_MOST_RECORDS}) at {path}"
                    )
                for _ in range(warmup_iterations):
                    _replay(servable, log)
    except BaseException:
        servable.unload()
        raise
    if records:
        metrics.warmup_latency.add((time.perf_counter() - start) * 1e6, path, "OK")
    return servable


def _replay(servable: Servable, log: prediction_log_pb2.PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "session_run_log":
        number = log.DESCRIPTOR.fields_by_name[kind].number
        raise errors.unimplemented(f"Unsupported log_type for warmup: {number}")
    if kind == "multi_inference_log":
        inference.multi_inference(servable, log.multi_inference_log.request)
        return
    if kind not in ("predict_log", "classify_log", "regress_log"):
        return
    request = getattr(log, kind).request
    spec = request.model_spec
    if kind == "predict_log":
        servable.predict(
            spec.signature_name, request.inputs, request.output_filter, model=spec.name
        )
    elif kind == "classify_log":
        inference.classify(servable, spec.signature_name, request.input, spec.name)
    else:
        inference.regress(servable, spec.signature_name, request.input, spec.name)

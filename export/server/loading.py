"""Loads a version so that its first request is as quick as the others."""

from __future__ import annotations

from tensorflow_serving.apis import prediction_log_pb2

from export import warmup
from export.server import errors, inference
from export.server.servable import Runtime, Servable


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
    servable = Servable(version, path, runtime)
    try:
        if warmup_iterations:
            for log in warmup.read(path):
                for _ in range(warmup_iterations):
                    _replay(servable, log)
    except BaseException:
        servable.unload()
        raise
    return servable


def _replay(servable: Servable, log: prediction_log_pb2.PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "multi_inference_log":
        inference.multi_inference(servable, log.multi_inference_log.request)
        return
    if kind not in ("predict_log", "classify_log", "regress_log"):
        raise errors.unimplemented(f"Unsupported log_type for warmup: {kind}")
    request = getattr(log, kind).request
    name = request.model_spec.signature_name
    if kind == "predict_log":
        servable.predict(name, request.inputs, request.output_filter)
    elif kind == "classify_log":
        inference.classify(servable, name, request.input)
    else:
        inference.regress(servable, name, request.input)

"""Warm-up requests of an export, which a server replays before a version answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from export import tensors
from input_pipeline import filesystem
from input_pipeline.spec import Feature

FILE = "tf_serving_warmup_requests"
BATCH_SIZES = (1, 16, 128)
_NUMPY = {"int64": np.int64, "bytes": np.object_, "float": np.float32}


def cold_rows(features: Sequence[Feature], batch: int) -> dict[str, np.ndarray]:
    """Features of `batch` rows of nobody: unknown ids, no edges, no neighbours."""
    rows = {}
    for feature in features:
        shape = (batch,) if feature.length is None else (batch, feature.length)
        empty = b"" if feature.dtype == "bytes" else -1 if feature.name.endswith("_macro") else 0
        rows[feature.name] = np.full(shape, empty, _NUMPY[feature.dtype])
    return rows


def to_examples(rows: Mapping[str, np.ndarray], features: Sequence[Feature]) -> np.ndarray:
    """The same rows as serialized tf.train.Example: object [B]."""
    fields = {"int64": "int64_list", "bytes": "bytes_list", "float": "float_list"}
    serialized = []
    for row in range(len(rows[features[0].name])):
        example = tf.train.Example()
        for feature in features:
            values = getattr(example.features.feature[feature.name], fields[feature.dtype])
            values.value.extend(np.ravel(rows[feature.name][row]).tolist())
        serialized.append(example.SerializeToString())
    return np.array(serialized, dtype=object)


def write(
    path: str, model_name: str, rows: Mapping[str, np.ndarray], features: Sequence[Feature]
) -> None:
    """Writes a request of each signature at each of BATCH_SIZES, of `rows`, repeated."""
    size = len(rows[features[0].name])
    with tf.io.TFRecordWriter(path) as writer:
        for batch in BATCH_SIZES:
            index = np.arange(batch) % size
            flat = {name: value[index] for name, value in rows.items()}
            for signature, inputs in (
                ("serving_default", flat),
                ("examples", {"examples": to_examples(flat, features)}),
            ):
                log = prediction_log_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.name = model_name
                request.model_spec.signature_name = signature
                for name, array in inputs.items():
                    tensors.encode(array, request.inputs[name])
                writer.write(log.SerializeToString())


def read(export_dir: str) -> Iterator[prediction_log_pb2.PredictionLog]:
    """The warm-up requests of an export, none where it has no file of them."""
    path = filesystem.join(export_dir, "assets.extra", FILE)
    if filesystem.exists(path):
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            yield prediction_log_pb2.PredictionLog.FromString(record)

"""Warm-up requests of an export, which a server replays before a version answers.

Axes: B batch, N candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow_serving.apis import input_pb2, prediction_log_pb2

from export.client import tensors
from export.client.batch_sizes import ALLOWED_BATCH_SIZES, MAX_BATCH_SIZE
from export.signatures import is_asked
from input_pipeline.feature import Feature
from input_pipeline.files import filesystem

FILE = "tf_serving_warmup_requests"
_MOST_CANDIDATES = 100
_NUMPY = {"int64": np.int64, "bytes": np.object_, "float": np.float32}


def cold_rows(features: Sequence[Feature], batch: int) -> dict[str, NDArray[Any]]:
    """Features of `batch` rows of nobody: each as it reads where there is none."""
    rows = {}
    for feature in features:
        shape = (batch, *feature.shape)
        rows[feature.name] = np.full(shape, feature.filler, _NUMPY[feature.dtype])
    return rows


def to_examples(rows: Mapping[str, NDArray[Any]], features: Sequence[Feature]) -> NDArray[Any]:
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


class WarmupRequests:
    """A request of each signature at each of ALLOWED_BATCH_SIZES.

    Args:
      model_name: the model's name on servers.
      rows: raw features of flat rows, one or more; they are repeated.
      features: of the model.
      signatures: names of those that the export has.
    """

    def __init__(
        self,
        model_name: str,
        rows: Mapping[str, NDArray[Any]],
        features: Sequence[Feature],
        signatures: Sequence[str],
    ) -> None:
        self._model_name = model_name
        self._rows = rows
        self._features = features
        self._signatures = signatures
        self._examples = to_examples(rows, features)
        self._makers = {
            "serving_default": self._flat,
            "examples": lambda batch: {"examples": self._examples[self._index(batch)]},
            "rank": self._lists,
            "rank_ids": self._ids,
            "known_ids": self._pairs,
            "explain": self._ids,
        }

    def write(self, path: str) -> None:
        """Writes the requests as a TFRecord of PredictionLog."""
        with tf.io.TFRecordWriter(path) as writer:
            for batch in ALLOWED_BATCH_SIZES:
                for signature in self._signatures:
                    writer.write(self._log(signature, batch).SerializeToString())

    def _index(self, count: int) -> NDArray[Any]:
        return np.arange(count) % len(self._examples)

    def _flat(self, batch: int) -> dict[str, NDArray[Any]]:
        return {name: value[self._index(batch)] for name, value in self._rows.items()}

    def _lists(self, batch: int) -> dict[str, NDArray[Any]]:
        """Users [B, ...] with as many candidates [B, N, ...] as a largest request has rows."""
        candidates = min(_MOST_CANDIDATES, MAX_BATCH_SIZE // batch)
        index = self._index(batch * candidates).reshape(batch, candidates)
        return {
            f.name: self._rows[f.name][index if f.owner == "item" else index[:, 0]]
            for f in self._features
        }

    def _ids(self, batch: int) -> dict[str, NDArray[Any]]:
        lists = self._lists(batch)
        return {f.name: lists[f.name] for f in self._features if is_asked(f)}

    def _pairs(self, batch: int) -> dict[str, NDArray[Any]]:
        return {name: self._rows[name][self._index(batch)] for name in ("user_id", "item_id")}

    def _log(self, signature: str, batch: int) -> prediction_log_pb2.PredictionLog:
        log = prediction_log_pb2.PredictionLog()
        inferences = {"classify": log.classify_log, "regress": log.regress_log}
        if signature in inferences:
            request = inferences[signature].request
            _write_examples(self._examples[self._index(batch)], request.input)
        else:
            request = log.predict_log.request
            for name, array in self._makers[signature](batch).items():
                tensors.encode(array, request.inputs[name])
        request.model_spec.name = self._model_name
        request.model_spec.signature_name = signature
        return log


def _write_examples(serialized: NDArray[Any], message: input_pb2.Input) -> None:
    for example in serialized:
        message.example_list.examples.add().ParseFromString(example)


def read(export_dir: str) -> Iterator[prediction_log_pb2.PredictionLog]:
    """The warm-up requests of an export, none where it has no file of them."""
    path = filesystem.join(export_dir, "assets.extra", FILE)
    if filesystem.exists(path):
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            yield prediction_log_pb2.PredictionLog.FromString(record)

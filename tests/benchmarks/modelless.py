"""The embedded server's listener without a model: what gRPC in Python alone makes of requests.

python -m tests.benchmarks.modelless COLUMNS answers every Predict with a `score` and four tasks of
that many columns, and prints its address first.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export.client import tensors
from export.server.listener import Listener

_OUTPUTS = ("click", "fav", "cart", "buy", "score")


class _OneAnswer(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, columns: int) -> None:
        self._answer = predict_pb2.PredictResponse()
        for name in _OUTPUTS:
            tensors.encode_values(
                np.full((1, columns), 0.5, np.float32), self._answer.outputs[name]
            )

    def Predict(self, request: Any, context: Any) -> predict_pb2.PredictResponse:  # noqa: N802
        return self._answer


def main() -> None:
    listener = Listener(
        prediction_service=_OneAnswer(int(sys.argv[1])),
        model_service=model_service_pb2_grpc.ModelServiceServicer(),
        max_threads=64,
        arguments=[],
    )
    print(f"127.0.0.1:{listener.start(['127.0.0.1:0'])}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()

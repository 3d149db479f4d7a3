"""A small SavedModel, the embedded server over it, and calls to both of its ports."""

import contextlib
import json
import socket
import time
import urllib.error
import urllib.request

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from export.server.model_server import Server
from export.server.options import ServeOptions

ROWS = {
    "user_id": np.array([1, 2], np.int64),
    "name": np.array([b"a", b"bc"], object),
    "edges": np.array([[1, 2, 3], [4, 5, 6]], np.float32),
}
INSTANCES = [
    {"user_id": 1, "name": "a", "edges": [1, 2, 3]},
    {"user_id": 2, "name": {"b64": "YmM="}, "edges": [4, 5.5, 6]},  # b64 of "bc"
]


def save_version(base_path, version, add):
    """A model whose `score` is sum of edges + id + length of name + `add`."""
    module = tf.Module()
    module.add = tf.Variable(float(add))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int64, "user_id"),
            tf.TensorSpec([None], tf.string, "name"),
            tf.TensorSpec([None, 3], tf.float32, "edges"),
        ]
    )
    def serve(user_id, name, edges):
        length = tf.cast(tf.strings.length(name), tf.float32)
        score = tf.reduce_sum(edges, axis=1) + tf.cast(user_id, tf.float32) + length + module.add
        return {"score": score, "echo": name}

    temporary = base_path.parent / f"tmp-{version}"
    tf.saved_model.save(module, str(temporary), signatures={"serving_default": serve})
    base_path.mkdir(exist_ok=True)
    temporary.rename(base_path / str(version))


@contextlib.contextmanager
def serving(base_path, **flags):
    server = Server(
        ServeOptions(
            model_name="small",
            model_base_path=str(base_path),
            port=0,
            file_system_poll_wait_seconds=0.05,
            grpc_max_threads=4,
            **flags,
        )
    )
    server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.stop(0)


def request_for(rows, model="small", signature="", version=None):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    for name, value in rows.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def call(url, body=None):
    """(HTTP status, answer); bodies that are no text are sent as JSON."""
    if body is not None and not isinstance(body, str):
        body = json.dumps(body)
    data = None if body is None else body.encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def wait(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)

"""The embedded server under load: swaps, overload, mixed faults for a while, fuzzed requests."""

import concurrent.futures
import contextlib
import random
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from export.server.model_server import Server
from export.server.options import ServeOptions
from tests.export.server.small_model import ROWS, request_for, save_version, wait
from tests.export.server.test_services import FAULTS

_SWAPS = 60  # during the soak
_BATCHING = (
    "max_batch_size { value: 64 } batch_timeout_micros { value: 500 } "
    "max_enqueued_batches { value: 4 } num_batch_threads { value: 2 } "
    "pad_variable_length_inputs: true"
)


@contextlib.contextmanager
def batching_server(base_path, tmp_path, **flags):
    (tmp_path / "batching.txt").write_text(_BATCHING)
    server = Server(
        ServeOptions(
            model_name="small",
            model_base_path=str(base_path),
            port=0,
            file_system_poll_wait_seconds=0.05,
            enable_batching=True,
            batching_parameters_file=str(tmp_path / "batching.txt"),
            **{"grpc_max_threads": 32, **flags},
        )
    )
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield server, prediction_service_pb2_grpc.PredictionServiceStub(channel)
    finally:
        server.stop(0)


@contextlib.contextmanager
def askers(stub, count, answered):
    """Threads that ask without a pause and hand every answer or error to `answered`."""
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            try:
                answered(stub.Predict(request_for(ROWS), timeout=20))
            except grpc.RpcError as error:
                answered(error)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("swaps", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_versions_swap_under_load_without_a_failed_or_mixed_answer(tmp_path, swaps):
    base_path = tmp_path / "small"
    save_version(base_path, 1, add=100.0)
    wrong, seen = [], set()

    def answered(answer):
        if isinstance(answer, grpc.RpcError):
            wrong.append(answer)
            return
        version = answer.model_spec.version.value
        seen.add(version)
        # 1+2+3 + id 1 + one letter, and 4+5+6 + id 2 + two letters, of that version
        if list(answer.outputs["score"].float_val) != [8 + 100 * version, 19 + 100 * version]:
            wrong.append(answer)

    with batching_server(base_path, tmp_path) as (_, stub), askers(stub, 4, answered):
        for version in range(2, swaps + 2):
            save_version(base_path, version, add=100.0 * version)
            wait(lambda newest=version: newest in seen)
    assert not wrong
    assert seen == set(range(1, swaps + 2))


def test_overload_is_refused_in_time_and_recovered_from(tmp_path):
    base_path = tmp_path / "small"
    save_version(base_path, 1, add=0.0)
    with batching_server(base_path, tmp_path, grpc_max_threads=4) as (server, stub):
        real = server._models.in_use

        @contextlib.contextmanager
        def slow(request):
            with real(request) as servable:
                time.sleep(0.05)
                yield servable

        server._models.in_use = slow  # 4 threads of 50 ms each: 80 requests a second
        begin = time.monotonic()
        futures = [stub.Predict.future(request_for(ROWS), timeout=5) for _ in range(400)]
        codes = [future.code().name for future in futures]
        assert time.monotonic() - begin < 5.0
        assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"}
        answer = stub.Predict(request_for(ROWS), timeout=5)  # and right afterwards
        assert answer.outputs["score"].float_val[0] == 8.0


def _mutations(rng, request):
    """A request with something wrong, or perhaps not, in one of its inputs."""
    name = rng.choice(sorted(request.inputs))
    tensor = request.inputs[name]
    kind = rng.randrange(10)
    if kind == 0:
        del request.inputs[name]
    elif kind == 1:
        request.inputs[rng.choice(["", "label", "user", "x" * 100])].CopyFrom(tensor)
    elif kind == 2:
        tensor.dtype = rng.randrange(1, 24)
    elif kind == 3:
        tensor.tensor_shape.dim.add(size=rng.choice([-1, 0, 1, 3, 2**40]))
    elif kind == 4:
        tensor.tensor_shape.dim[0].size = rng.choice([-1, -(2**62), 0, 1, 5, 100, 2**31, 2**62])
    elif kind == 5:
        tensor.tensor_content = rng.randbytes(rng.randrange(40))
    elif kind == 6:
        tensor.float_val.extend([float("nan"), float("inf"), -1.0][: rng.randrange(1, 4)])
    elif kind == 7:
        request.model_spec.name = rng.choice(["", "smell", "\x00", "small/../x"])
    elif kind == 8:
        request.model_spec.signature_name = rng.choice(
            ["rank", "x" * 1000, "__saved_model_init_op"]
        )
    else:
        request.output_filter.append(rng.choice(["", "score", "click", "echo:0"]))


def _fuzzed(rng):
    """The bytes of a request: of nonsense, cut short, or of a request with a few mutations."""
    request = predict_pb2.PredictRequest()
    request.CopyFrom(request_for(ROWS))
    for _ in range(rng.randrange(3)):
        if request.inputs:
            _mutations(rng, request)
    serialized = request.SerializeToString()
    if rng.random() < 0.1:
        return rng.randbytes(rng.randrange(200))
    if rng.random() < 0.1:
        return serialized[: rng.randrange(len(serialized))]
    return serialized


class _RealServer:
    """The status that TensorFlow Serving gives, after its sources; the runtime is TensorFlow's own.

    Args:
      path: of the model `small`, which is also run by itself here.
      max_batch_size: rows of a batch.
    """

    def __init__(self, path, max_batch_size):
        self._max_batch_size = max_batch_size
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            free = {
                f"serving_default_{name}:0": tf.compat.v1.placeholder(dtype)
                for name, dtype in (("user_id", "int64"), ("name", "string"), ("edges", "float32"))
            }
            graph = tf.compat.v1.saved_model.load(self._session, ["serve"], path, input_map=free)
        self._placeholders = free
        self._signatures = graph.signature_def

    def status(self, serialized):
        try:
            request = predict_pb2.PredictRequest.FromString(serialized)
        except DecodeError:
            return "INTERNAL"  # of gRPC itself
        spec = request.model_spec
        if not request.HasField("model_spec") or not spec.name:
            return "INVALID_ARGUMENT"
        if spec.name != "small" or spec.version.value not in (0, 1):
            return "NOT_FOUND"
        signature = self._signatures.get(spec.signature_name or "serving_default")
        if signature is None:
            return "FAILED_PRECONDITION"
        filters = list(request.output_filter)
        if (
            set(request.inputs) != set(signature.inputs)
            or not all(map(_is_tensor, request.inputs.values()))
            or not set(filters) <= set(signature.outputs)
            or len(filters) > len(set(filters))
        ):
            return "INVALID_ARGUMENT"
        shapes = [message.tensor_shape.dim for message in request.inputs.values()]
        sizes = {shape[0].size if shape else -1 for shape in shapes}
        if len(sizes) > 1 or not 0 <= min(sizes) <= self._max_batch_size:
            return "INVALID_ARGUMENT"
        # batches are merged before a type is looked at, which these two kinds cannot be
        if {types_pb2.DT_RESOURCE, types_pb2.DT_VARIANT} & {
            message.dtype for message in request.inputs.values()
        }:
            return "INTERNAL"
        if any(request.inputs[n].dtype != i.dtype for n, i in signature.inputs.items()):
            return "INVALID_ARGUMENT"
        arrays = {
            info.name: tf.io.parse_tensor(request.inputs[name].SerializeToString(), info.dtype)
            for name, info in signature.inputs.items()
        }
        return self._run(signature, arrays, filters or list(signature.outputs), sizes)

    def _run(self, signature, arrays, names, sizes):
        feed = {self._placeholders[name]: array.numpy() for name, array in arrays.items()}
        fetches = [signature.outputs[name].name for name in names]
        try:
            outputs = self._session.run(fetches, feed)
        except tf.errors.OpError as error:
            return {3: "INVALID_ARGUMENT"}.get(error.error_code, str(error.error_code))
        if any(not np.ndim(output) or {len(output)} != sizes for output in outputs):
            return "FAILED_PRECONDITION"
        return "OK"


def _is_tensor(message):
    """Whether TensorFlow can parse it; claims of more than the embedded server takes cannot."""
    if np.prod([max(dim.size, 1) for dim in message.tensor_shape.dim], dtype=float) > 1 << 26:
        return False
    try:
        tf.io.parse_tensor(message.SerializeToString(), message.dtype)
    except (tf.errors.OpError, TypeError, ValueError):
        return False
    return True


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_fuzzed_requests_get_the_real_servers_status_and_the_server_lives(tmp_path, count):
    base_path = tmp_path / "small"
    save_version(base_path, 1, add=0.0)
    rng = random.Random(5)
    real = _RealServer(str(base_path / "1"), max_batch_size=64)
    statuses = {}
    with batching_server(base_path, tmp_path) as (server, stub):
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            for number in range(count):
                serialized = _fuzzed(rng)
                try:
                    call(serialized, timeout=20)
                    status = "OK"
                except grpc.RpcError as error:
                    status = error.code().name
                    details = error.details()
                else:
                    details = ""
                expected = real.status(serialized)
                assert status == expected, (number, status, expected, details, serialized)
                statuses[status] = statuses.get(status, 0) + 1
        assert stub.Predict(request_for(ROWS), timeout=5).outputs["score"].float_val[0] == 8.0
    assert set(statuses) == {
        *("OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "INTERNAL")
    }


def _resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.slow
def test_memory_does_not_grow_under_mixed_requests_bad_input_and_swaps(tmp_path, pytestconfig):
    """After a fifth of the time, resident memory grows by at most 2 % of what it is."""
    seconds = 60 * pytestconfig.getoption("--soak_minutes")
    base_path, made = tmp_path / "small", tmp_path / "made"
    save_version(base_path, 1, add=0.0)
    for version in range(2, _SWAPS + 2):  # beforehand: making a model takes memory of its own
        save_version(made, version, add=0.0)
    faults = [request for request, _, _ in FAULTS.values()]
    stop = threading.Event()
    samples = []

    def ask(stub, seed):
        own = random.Random(seed)
        while not stop.is_set():
            with contextlib.suppress(grpc.RpcError):
                good = own.random() < 0.7
                stub.Predict(request_for(ROWS) if good else own.choice(faults), timeout=20)

    with (
        batching_server(base_path, tmp_path) as (_, stub),
        concurrent.futures.ThreadPoolExecutor(4) as pool,
    ):
        for seed in range(4):
            pool.submit(ask, stub, seed)
        begin = time.monotonic()
        for version in range(2, _SWAPS + 2):
            (made / str(version)).rename(base_path / str(version))
            time.sleep(seconds / _SWAPS)
            samples.append((time.monotonic() - begin, _resident_bytes()))
        stop.set()
    warm = [size for when, size in samples if 0.2 <= when / seconds < 0.4]
    late = [size for when, size in samples if when >= 0.8 * seconds]
    assert np.median(late) <= 1.02 * np.median(warm)

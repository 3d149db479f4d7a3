"""One loaded version of a model."""

from __future__ import annotations

import dataclasses
import functools
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import (
    config_pb2,
    meta_graph_pb2,
    rewriter_config_pb2,
    saved_model_pb2,
)

from export import publication
from export.server import errors, unusual
from export.server.batching import Arrays, BatchQueue
from export.server.batching_options import BatchingOptions
from export.server.inputs import Inputs, names_text
from export.server.monitoring import Metrics
from input_pipeline.files import filesystem
from input_pipeline.files.literal_path import literal_path

DEFAULT_SIGNATURE = "serving_default"
_TAG = "serve"
_METHODS = ("predict", "classify", "regress")


class _Runner(Protocol):
    """Runs a signature: arrays by name of the input -> the outputs, in the order wanted."""

    def __call__(
        self, arrays: Arrays, seconds: float | None = None, alone: bool = ...
    ) -> Arrays: ...


@dataclasses.dataclass(frozen=True)
class Runtime:
    """What all versions of a server share.

    Attributes:
      batching: how requests are merged; None: each runs alone.
      batch_threads: as many as `batching.num_batch_threads`, which all versions share.
      intra_op_threads, inter_op_threads: of TensorFlow, for all servers of the process; 0: one a
        core. -1 between operations: the thread that calls runs them.
      check_methods: whether a signature's method name must be that of the call.
      metrics: to count in.
    """

    batching: BatchingOptions | None = None
    batch_threads: threading.Semaphore = dataclasses.field(default_factory=threading.Semaphore)
    intra_op_threads: int = 0
    inter_op_threads: int = 0
    check_methods: bool = False
    metrics: Metrics = dataclasses.field(default_factory=Metrics)

    def session_config(self) -> tf.compat.v1.ConfigProto:
        """Of the session of a version."""
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=self.intra_op_threads,
            inter_op_parallelism_threads=self.inter_op_threads,
        )
        # It has nothing to do in graphs of this size, and logs each softmax of unknown shape.
        rewrites = config.graph_options.rewrite_options
        rewrites.memory_optimization = rewriter_config_pb2.RewriterConfig.NO_MEM_OPT
        return config


def _shapeless(path: str) -> dict[str, tf.Tensor]:
    """Placeholders of any shape for the inputs of a SavedModel's signatures.

    Session.run checks shapes before it feeds; the real server leaves that to the graph.
    """
    marker = filesystem.join(path, publication.MARKER)
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(filesystem.read_bytes(marker))
    except DecodeError:
        raise tf.errors.DataLossError(None, None, f"Can't parse {marker} as binary proto") from None
    return {
        info.name: tf.compat.v1.placeholder(info.dtype, name=f"any_{info.name.replace(':', '_')}")
        for meta_graph in saved_model.meta_graphs
        if list(meta_graph.meta_info_def.tags) == [_TAG]
        for signature in meta_graph.signature_def.values()
        for info in signature.inputs.values()
        if info.name
    }


class Servable:
    """A SavedModel in a session of its own, so that unloading it frees its memory.

    Args:
      version: the number of its directory.
      path: that directory. Any SavedModel with the tag `serve` will do; a broken one raises
        tf.errors.OpError or OSError.
      runtime: see `Runtime`.
    """

    def __init__(self, version: int, path: str, runtime: Runtime | None = None) -> None:
        self.version = version
        self.runtime = runtime or Runtime()
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=self.runtime.session_config())
        try:
            with self._session.graph.as_default():
                self._placeholders = _shapeless(path)
                meta_graph = tf.compat.v1.saved_model.load(
                    self._session, [_TAG], literal_path(path), input_map=self._placeholders
                )
        except BaseException:
            self._session.close()
            raise
        self.signatures: dict[str, meta_graph_pb2.SignatureDef] = dict(meta_graph.signature_def)
        self._run_unusual = unusual.Runner(self._session, meta_graph.graph_def)
        self._runner = functools.lru_cache(maxsize=64)(self._make_runner)
        self._inputs = {
            name: Inputs(signature.inputs) for name, signature in self.signatures.items()
        }
        self._users = 0
        self._idle = threading.Condition()

    def acquire(self) -> None:
        """Keeps the version loaded until `release`; not to be called once `unload` was."""
        with self._idle:
            self._users += 1

    def release(self) -> None:
        """Ends what `acquire` began."""
        with self._idle:
            self._users -= 1
            if not self._users:
                self._idle.notify_all()

    def unload(self) -> None:
        """Waits for the requests under way, then frees the version's memory."""
        with self._idle:
            self._idle.wait_for(lambda: self._users == 0)
        self._runner.cache_clear()
        self._session.close()

    def _make_call(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> _Runner:
        """(arrays of the tensors `feeds`, seconds left) -> the tensors `fetches`."""
        options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
        # As Keras calls its graphs. Session.run handles feeds and fetches anew with every call,
        # which took a fifth of the time of a small request.
        call = self._session._make_callable_from_options(options)

        def run(arrays: Arrays, seconds: float | None = None, alone: bool = True) -> Arrays:
            start = time.monotonic()
            try:
                outputs: Arrays = call(*arrays)
            except UnicodeDecodeError as error:
                raise errors.quoting(error.object, arrays) from None
            if seconds is not None and time.monotonic() - start > seconds:
                raise errors.deadline_exceeded("Timed out waiting for notification")
            return outputs

        return run

    def _make_runner(
        self, feeds: tuple[str, ...], fetches: tuple[str, ...], names: tuple[str, ...]
    ) -> _Runner:
        """As `_make_call`, for tensors of signatures, and batched where the server does that."""
        run = self._make_call(tuple(self._placeholders[feed].name for feed in feeds), fetches)
        if self.runtime.batching is None:
            return run
        return BatchQueue(
            run=run,
            names=names,
            tensors=feeds,
            options=self.runtime.batching,
            threads=self.runtime.batch_threads,
            metrics=self.runtime.metrics,
        )

    def _runner_of(self, signature_name: str, outputs: tuple[str, ...]) -> _Runner:
        """(arrays by name of the input, seconds left, alone) -> the outputs, perhaps batched."""
        signature = self.signatures[signature_name]
        names = tuple(sorted(signature.inputs))
        return self._runner(
            tuple(signature.inputs[name].name for name in names),
            tuple(signature.outputs[name].name for name in outputs),
            names,
        )

    def run(
        self,
        signature_name: str,
        arrays: Arrays,
        outputs: tuple[str, ...],
        seconds: float | None = None,
        alone: bool = False,
    ) -> Arrays:
        """Runs a signature that there is.

        Args:
          signature_name: its name.
          arrays: of its inputs, in the order of their names.
          outputs: names of those to compute, in order of names where all are wanted.
          seconds: a run that takes longer is answered with DEADLINE_EXCEEDED; None: none is.
          alone: whether not to merge it with other requests.
        """
        # Requests for the same outputs run together, in whatever order they name them.
        ordered = tuple(sorted(outputs))
        found = self._runner_of(signature_name, ordered)(arrays, seconds, alone)
        return [found[ordered.index(output)] for output in outputs]

    def run_tensors(
        self,
        feeds: tuple[str, ...],
        array: NDArray[Any],
        fetches: tuple[str, ...],
        seconds: float | None,
    ) -> Arrays:
        """Feeds one array to several inputs of signatures, in one run, perhaps batched."""
        return self._runner(feeds, fetches, feeds)([array] * len(feeds), seconds)

    def predict(
        self,
        signature_name: str,
        inputs: Mapping[str, tensor_pb2.TensorProto],
        output_filter: Sequence[str] = (),
        timeout_seconds: float | None = None,
        model: str = "",
    ) -> dict[str, NDArray[Any] | tensor_pb2.TensorProto]:
        """Runs a signature on a request's tensors.

        As on the real server, only their names and types are checked here; tensors of a wrong shape
        reach the graph, and what becomes of them is up to its operations.

        Args:
          signature_name: `serving_default` where it is empty.
          inputs: a TensorProto for each input of the signature.
          output_filter: the outputs to compute; empty: all.
          timeout_seconds: see `run`.
          model: whose run time this is.

        Raises:
          ServingError: INVALID_ARGUMENT naming the input or output at fault, FAILED_PRECONDITION
            for an unknown signature, or as `BatchQueue` says.
          tf.errors.OpError: what the graph itself refused.
        """
        signature_name = signature_name or DEFAULT_SIGNATURE
        if signature_name not in self.signatures:
            raise errors.failed_precondition(f'Serving signature key "{signature_name}" not found.')
        signature, expected = self.signatures[signature_name], self._inputs[signature_name]
        known = [f"tensorflow/serving/{method}" for method in _METHODS]
        if self.runtime.check_methods and signature.method_name not in known:
            raise errors.internal(
                "Expected prediction signature method_name to be one of {"
                + f"{', '.join(known)}}}. Was: {signature.method_name}"
            )
        parsed = expected.read(inputs)
        names = _check_filter(signature, output_filter)
        misfits = expected.misfits(parsed)
        arrays = [tensor for tensor in parsed if not isinstance(tensor, unusual.Unusual)]
        usual = len(arrays) == len(parsed) and expected.have_types(inputs)
        if not usual and self.runtime.batching is not None:
            queue = self._runner_of(signature_name, tuple(sorted(names)))
            assert isinstance(queue, BatchQueue)
            types = [inputs[name].dtype for name in sorted(inputs)]
            unusual.check_batch(queue, parsed, types)
        expected.check_types(inputs)
        start = time.perf_counter()
        try:
            values = (
                self.run(signature_name, arrays, names, timeout_seconds, alone=bool(misfits))
                if usual
                else self._run_unusual(signature, parsed, names)
            )
        except tf.errors.OpError as error:
            failure = errors.of_operation(error)
            message = failure.message if usual else unusual.without_copy(failure.message)
            raise errors.ServingError(failure.code, message, misfits) from None
        micros = (time.perf_counter() - start) * 1e6
        self.runtime.metrics.runtime_latency.add(micros, model, "Predict", "TF1")
        return dict(zip(names, values, strict=True))


def _check_filter(
    signature: meta_graph_pb2.SignatureDef, output_filter: Sequence[str]
) -> tuple[str, ...]:
    for position, name in enumerate(output_filter):
        if name not in signature.outputs:
            raise errors.invalid_argument(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the "
                f"set {names_text(signature.outputs)}."
            )
        if name in output_filter[:position]:
            raise errors.invalid_argument(f"duplicate output tensor alias: {name}")
    return tuple(output_filter) or tuple(sorted(signature.outputs))

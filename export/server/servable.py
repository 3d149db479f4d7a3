"""One loaded version of a model."""

from __future__ import annotations

import dataclasses
import functools
import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from export import tensors
from export.server import errors
from export.server.batching import BatchingOptions, BatchQueue

DEFAULT_SIGNATURE = "serving_default"
_LONGEST_TIMEOUT_SECONDS = 24 * 3600.0


@dataclasses.dataclass(frozen=True)
class Runtime:
    """What all versions of a server share.

    Attributes:
      batching: how requests are merged; None: each runs alone.
      batch_threads: as many as `batching.num_batch_threads`.
      intra_op_threads, inter_op_threads: of TensorFlow; 0: one a core.
    """

    batching: BatchingOptions | None = None
    batch_threads: threading.Semaphore = dataclasses.field(default_factory=threading.Semaphore)
    intra_op_threads: int = 0
    inter_op_threads: int = 0

    @classmethod
    def of(cls, batching: BatchingOptions | None, intra_op: int = 0, inter_op: int = 0) -> Runtime:
        threads = threading.Semaphore(batching.num_batch_threads if batching else 1)
        return cls(batching, threads, intra_op, inter_op)

    def session_config(self) -> tf.compat.v1.ConfigProto:
        return tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=self.intra_op_threads,
            inter_op_parallelism_threads=self.inter_op_threads,
            use_per_session_threads=bool(self.intra_op_threads or self.inter_op_threads),
        )


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
        self._runtime = runtime or Runtime()
        self._session = tf.compat.v1.Session(
            graph=tf.Graph(), config=self._runtime.session_config()
        )
        try:
            with self._session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, ["serve"], path)
        except BaseException:
            self._session.close()
            raise
        self.signatures: dict[str, Any] = dict(meta_graph.signature_def)
        self._runner = functools.lru_cache(maxsize=64)(self._make_runner)
        self._inputs = {
            name: {key: _Expected.of(info) for key, info in sorted(signature.inputs.items())}
            for name, signature in self.signatures.items()
        }
        self._users = 0
        self._idle = threading.Condition()

    def acquire(self) -> None:
        """Keeps the version loaded until `release`; not to be called once `unload` was."""
        with self._idle:
            self._users += 1

    def release(self) -> None:
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

    def _make_runner(self, signature_name: str, outputs: tuple[str, ...]) -> Any:
        """(arrays by name of the input, seconds left) -> the outputs; batched if all are wanted."""
        signature = self.signatures[signature_name]
        names = sorted(signature.inputs)
        call = self._session.make_callable(
            [signature.outputs[name].name for name in outputs],
            feed_list=[signature.inputs[name].name for name in names],
            accept_options=True,
        )

        def run(arrays: Sequence[np.ndarray], seconds: float | None) -> Sequence[np.ndarray]:
            if seconds is None:
                return call(*arrays)
            milliseconds = max(1, math.ceil(min(seconds, _LONGEST_TIMEOUT_SECONDS) * 1000))
            return call(*arrays, options=tf.compat.v1.RunOptions(timeout_in_ms=milliseconds))

        # As on the real server, a request for some of the outputs passes the batcher by.
        if self._runtime.batching is None or set(outputs) != set(signature.outputs):
            return run
        return BatchQueue(
            run=run,
            names=names,
            options=self._runtime.batching,
            threads=self._runtime.batch_threads,
        )

    def run(
        self,
        signature_name: str,
        arrays: Sequence[np.ndarray],
        outputs: tuple[str, ...],
        seconds: float | None = None,
    ) -> Sequence[np.ndarray]:
        """Runs a signature that there is.

        Args:
          signature_name: its name.
          arrays: of its inputs, in the order of their names.
          outputs: names of those to compute, in order of names where all are wanted.
          seconds: after which the run is abandoned with DEADLINE_EXCEEDED; None: never.
        """
        return self._runner(signature_name, outputs)(arrays, seconds)

    def predict(
        self,
        signature_name: str,
        inputs: Mapping[str, Any],
        output_filter: Sequence[str] = (),
        timeout_seconds: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs a signature on a request's tensors.

        Args:
          signature_name: `serving_default` where it is empty.
          inputs: a TensorProto for each input of the signature.
          output_filter: the outputs to compute; empty: all.
          timeout_seconds: see `run`.

        Raises:
          ServingError: INVALID_ARGUMENT naming the input or output at fault, FAILED_PRECONDITION
            for an unknown signature, RESOURCE_EXHAUSTED for a tensor that claims too much, or as
            `BatchQueue` says.
          tf.errors.OpError: what the graph itself refused.
        """
        signature_name = signature_name or DEFAULT_SIGNATURE
        if signature_name not in self.signatures:
            raise errors.failed_precondition(f'Serving signature key "{signature_name}" not found.')
        arrays = _read_inputs(self._inputs[signature_name], inputs)
        names = _check_filter(self.signatures[signature_name], output_filter)
        values = self.run(signature_name, arrays, names, timeout_seconds)
        return dict(zip(names, values, strict=True))


@dataclasses.dataclass(frozen=True)
class _Expected:
    """What an input must be: its DataType number, and its shape or None for any."""

    dtype: int
    shape: tuple[int, ...] | None

    @classmethod
    def of(cls, info: Any) -> _Expected:
        dims = info.tensor_shape.dim
        shape = None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in dims)
        return cls(info.dtype, shape)

    def read(self, name: str, message: Any) -> np.ndarray:
        """The array in a TensorProto; raises where it is another one, naming the input."""
        if message.dtype != self.dtype:
            raise errors.invalid_argument(
                f"input {name}: expects {_type_name(self.dtype)} but "
                f"{_type_name(message.dtype)} is provided"
            )
        try:
            sizes = tensors.shape(message)
            if self.shape is not None and (
                len(sizes) != len(self.shape)
                or any(want not in (-1, size) for want, size in zip(self.shape, sizes, strict=True))
            ):
                raise ValueError(f"shape must be {list(self.shape)}, got {list(sizes)}")
            return tensors.decode(message)
        except ValueError as error:
            raise errors.invalid_argument(f"tensor parsing error: {name}: {error}") from None
        except OverflowError as error:
            raise errors.resource_exhausted(f"input {name}: {error}") from None


def _names(names: Any) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def _check_filter(signature: Any, output_filter: Sequence[str]) -> tuple[str, ...]:
    for position, name in enumerate(output_filter):
        if name not in signature.outputs:
            raise errors.invalid_argument(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the "
                f"set {_names(signature.outputs)}."
            )
        if name in output_filter[:position]:
            raise errors.invalid_argument(f"duplicate output tensor alias: {name}")
    return tuple(output_filter) or tuple(sorted(signature.outputs))


def _read_inputs(expected: Mapping[str, _Expected], inputs: Mapping[str, Any]) -> list[np.ndarray]:
    """The tensors in the order of their names, checked against the signature."""
    extra, missing = set(inputs) - set(expected), set(expected) - set(inputs)
    if extra or missing:
        raise errors.invalid_argument(
            f"input size does not match signature: {len(inputs)}!={len(expected)} "
            f"len({_names(inputs)}) != len({_names(expected)}). "
            f"Sent extra: {_names(extra)}. Missing but required: {_names(missing)}."
        )
    arrays = {name: want.read(name, inputs[name]) for name, want in expected.items()}
    batches = {
        name: len(arrays[name])
        for name, want in expected.items()
        if want.shape and want.shape[0] == -1
    }
    if len(set(batches.values())) > 1:
        sizes = ", ".join(f"{name} {size}" for name, size in sorted(batches.items()))
        raise errors.invalid_argument(f"inputs must have one batch size, got {sizes}")
    return list(arrays.values())


def _type_name(number: int) -> str:
    try:
        return tf.dtypes.as_dtype(number).name
    except (TypeError, KeyError):
        return f"type {number}"

"""One loaded version of a model."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from export import tensors, warmup
from export.server import errors

DEFAULT_SIGNATURE = "serving_default"
_LONGEST_TIMEOUT_SECONDS = 24 * 3600.0


class Servable:
    """A SavedModel in a session of its own, so that unloading it frees its memory.

    Args:
      version: the number of its directory.
      path: that directory. Any SavedModel with the tag `serve` will do; a broken one raises
        tf.errors.OpError or OSError, a warm-up request that is not answered ServingError.
    """

    def __init__(self, version: int, path: str) -> None:
        self.version = version
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        try:
            with self._session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, ["serve"], path)
        except BaseException:
            self._session.close()
            raise
        self.signatures: dict[str, Any] = dict(meta_graph.signature_def)
        self._callable = functools.lru_cache(maxsize=64)(self._make_callable)
        self._users = 0
        self._idle = threading.Condition()
        try:
            self._warm_up(path)
        except BaseException:
            self._session.close()
            raise

    def _warm_up(self, path: str) -> None:
        """Replays the export's warm-up requests: the first runs are slow."""
        for log in warmup.read(path):
            request = log.predict_log.request
            self.predict(request.model_spec.signature_name, request.inputs, request.output_filter)

    def acquire(self) -> None:
        """Keeps the version loaded until `release`; not to be called once `unload` was."""
        with self._idle:
            self._users += 1

    def release(self) -> None:
        with self._idle:
            self._users -= 1
            self._idle.notify_all()

    def unload(self) -> None:
        """Waits for the requests under way, then frees the version's memory."""
        with self._idle:
            self._idle.wait_for(lambda: self._users == 0)
        self._callable.cache_clear()
        self._session.close()

    def _make_callable(self, signature_name: str, outputs: tuple[str, ...]) -> Any:
        signature = self.signatures[signature_name]
        return self._session.make_callable(
            [signature.outputs[name].name for name in outputs],
            feed_list=[info.name for _, info in sorted(signature.inputs.items())],
            accept_options=True,
        )

    def _signature(self, name: str) -> Any:
        if name not in self.signatures:
            raise errors.failed_precondition(f'Serving signature key "{name}" not found.')
        return self.signatures[name]

    def predict(
        self,
        signature_name: str,
        inputs: Mapping[str, Any],
        output_filter: Sequence[str] = (),
        timeout_seconds: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
          signature_name: `serving_default` where it is empty.
          inputs: a TensorProto for each input of the signature.
          output_filter: the outputs to compute; empty: all.
          timeout_seconds: after which the run is abandoned with DEADLINE_EXCEEDED.

        Raises:
          ServingError: INVALID_ARGUMENT naming the input or output at fault, FAILED_PRECONDITION
            for an unknown signature, RESOURCE_EXHAUSTED for a tensor that claims too much.
          tf.errors.OpError: what the graph itself refused.
        """
        signature_name = signature_name or DEFAULT_SIGNATURE
        signature = self._signature(signature_name)
        arrays = _read_inputs(signature, inputs)
        names = _check_filter(signature, output_filter)
        seconds = min(timeout_seconds or _LONGEST_TIMEOUT_SECONDS, _LONGEST_TIMEOUT_SECONDS)
        options = tf.compat.v1.RunOptions(timeout_in_ms=max(1, math.ceil(seconds * 1000)))
        values = self._callable(signature_name, names)(*arrays, options=options)
        return dict(zip(names, values, strict=True))


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


def _read_inputs(signature: Any, inputs: Mapping[str, Any]) -> list[np.ndarray]:
    """The tensors in the order of their names, checked against the signature."""
    extra, missing = set(inputs) - set(signature.inputs), set(signature.inputs) - set(inputs)
    if extra or missing:
        raise errors.invalid_argument(
            f"input size does not match signature: {len(inputs)}!={len(signature.inputs)} "
            f"len({_names(inputs)}) != len({_names(signature.inputs)}). "
            f"Sent extra: {_names(extra)}. Missing but required: {_names(missing)}."
        )
    arrays = {
        name: _read_input(name, info, inputs[name])
        for name, info in sorted(signature.inputs.items())
    }
    batches = {
        name: len(arrays[name])
        for name, info in signature.inputs.items()
        if info.tensor_shape.dim and info.tensor_shape.dim[0].size == -1
    }
    if len(set(batches.values())) > 1:
        sizes = ", ".join(f"{name} {size}" for name, size in sorted(batches.items()))
        raise errors.invalid_argument(f"inputs must have one batch size, got {sizes}")
    return list(arrays.values())


def _read_input(name: str, info: Any, message: Any) -> np.ndarray:
    if message.dtype != info.dtype:
        raise errors.invalid_argument(
            f"input {name}: expects {_type_name(info.dtype)} but {_type_name(message.dtype)} is "
            "provided"
        )
    try:
        sizes = tensors.shape(message)
        if not info.tensor_shape.unknown_rank:
            expected = [dim.size for dim in info.tensor_shape.dim]
            if len(sizes) != len(expected) or any(
                want not in (-1, size) for want, size in zip(expected, sizes, strict=True)
            ):
                raise ValueError(f"shape must be {expected}, got {list(sizes)}")
        return tensors.decode(message)
    except ValueError as error:
        raise errors.invalid_argument(f"tensor parsing error: {name}: {error}") from None
    except OverflowError as error:
        raise errors.resource_exhausted(f"input {name}: {error}") from None


def _type_name(number: int) -> str:
    try:
        return tf.dtypes.as_dtype(number).name
    except (TypeError, KeyError):
        return f"type {number}"

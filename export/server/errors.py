"""The errors that become gRPC statuses, as TensorFlow Serving words and codes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
import tensorflow as tf
from absl import logging
from numpy.typing import NDArray

_HINT_LENGTH = 500
_QUOTES = b"Could not parse example input, value: '"


class ServingError(Exception):
    """An answer other than OK.

    Attributes:
      code: the gRPC status.
      message: for the caller, in the words of TensorFlow Serving. Bytes of a request that are no
        text are kept as `surrogateescape` keeps them.
      hint: what the message leaves open, such as which input is at fault; told beside it.
    """

    def __init__(self, code: grpc.StatusCode, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def header_hint(self) -> str:
        """The hint as a header can hold it: one line of ASCII, not too long."""
        line = " ".join(self.hint.split())[:_HINT_LENGTH]
        return line.encode("ascii", "backslashreplace").decode()


def invalid_argument(message: str, hint: str = "") -> ServingError:
    """INVALID_ARGUMENT: the request is wrong whatever the server holds."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message, hint)


def not_found(message: str) -> ServingError:
    """NOT_FOUND: there is no such model or version."""
    return ServingError(grpc.StatusCode.NOT_FOUND, message)


def failed_precondition(message: str) -> ServingError:
    """FAILED_PRECONDITION: the model or its state does not allow the request."""
    return ServingError(grpc.StatusCode.FAILED_PRECONDITION, message)


def resource_exhausted(message: str) -> ServingError:
    """RESOURCE_EXHAUSTED: memory or time ran out before it ran."""
    return ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def deadline_exceeded(message: str) -> ServingError:
    """DEADLINE_EXCEEDED: it ran for too long."""
    return ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, message)


def unavailable(message: str) -> ServingError:
    """UNAVAILABLE: too much waits; it may be tried again."""
    return ServingError(grpc.StatusCode.UNAVAILABLE, message)


def internal(message: str) -> ServingError:
    """INTERNAL: a fault of the server or of the model's export."""
    return ServingError(grpc.StatusCode.INTERNAL, message)


def unknown(message: str) -> ServingError:
    """UNKNOWN: models that did not load."""
    return ServingError(grpc.StatusCode.UNKNOWN, message)


def unimplemented(message: str) -> ServingError:
    """UNIMPLEMENTED: a method that this server does not have."""
    return ServingError(grpc.StatusCode.UNIMPLEMENTED, message)


def code_of(number: int) -> grpc.StatusCode:
    """The status of that canonical number (TensorFlow's error codes are gRPC's)."""
    for code in grpc.StatusCode:
        if code.value[0] == number:
            return code
    return grpc.StatusCode.UNKNOWN


def of_operation(error: tf.errors.OpError) -> ServingError:
    """What the runtime said."""
    return ServingError(code_of(error.error_code), error.message)


def quoting(content: bytes, arrays: Iterable[NDArray[Any]]) -> tf.errors.OpError:
    """The error that TensorFlow could not raise, since its message quotes bytes of the request.

    The message ends at the first zero byte of the serialized example that it quotes. What stands
    behind a long example is not known, and is beyond what is sent of a message.

    Args:
      content: the message.
      arrays: what was fed, the example included.
    """
    prefix, _, begun = content.partition(_QUOTES)
    if begun and not prefix and not begun.endswith(b"]]"):
        strings = (item for array in arrays if array.dtype == object for item in array.ravel())
        found = next((item for item in strings if item.startswith(begun + b"\0")), begun)
        content = _QUOTES + found
    return tf.errors.InvalidArgumentError(None, None, content.decode("utf-8", "surrogateescape"))


def as_serving_error(error: Exception) -> ServingError:
    """Any exception of a call as the status and message to answer it with."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        return of_operation(error)
    if isinstance(error, MemoryError):
        return resource_exhausted("out of memory")
    logging.exception("a request failed")
    return internal(f"{type(error).__name__}: {error}")

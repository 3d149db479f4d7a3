"""The errors that become gRPC statuses, as TensorFlow Serving words and codes them."""

from __future__ import annotations

import grpc
import tensorflow as tf

_HINT_LENGTH = 500


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

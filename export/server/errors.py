"""The errors that become gRPC statuses, as TensorFlow Serving words and codes them."""

from __future__ import annotations

import grpc
import tensorflow as tf


class ServingError(Exception):
    """An answer other than OK: a gRPC status and a message for the caller."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid_argument(message: str) -> ServingError:
    """INVALID_ARGUMENT: the request is wrong whatever the server holds."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


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

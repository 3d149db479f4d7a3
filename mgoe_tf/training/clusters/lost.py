"""Noticing that processes of a cluster are gone."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Iterator

import tensorflow as tf

from input_pipeline.files.failures import FileError
from mgoe_tf.training.clusters.place import ClusterLost, Place
from mgoe_tf.training.stopping import Interrupted, StopRequest

_POLL_SECONDS = 0.5
_CONNECT_SECONDS = 2.0
_TOLD_SECONDS = 60.0
# What a call to a process that is gone, or to one that was started again in its place, comes to.
_ERRORS = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)


def wait_for_servers(place: Place, stop: StopRequest) -> None:
    """Waits until servers and workers can be reached: calls fail at once where they cannot.

    Raises:
      Interrupted: there was a request to stop.
    """
    begun = told = time.monotonic()
    waiting = {
        f"{role} {index}": address
        for role in ("ps", "worker")
        for index, address in enumerate(place.addresses.get(role, ()))
    }
    while waiting:
        if stop.number is not None:
            raise Interrupted(stop.number)
        waiting = {name: address for name, address in waiting.items() if not _answers(address)}
        now = time.monotonic()
        if waiting and now - told >= _TOLD_SECONDS:
            told = now
            names = ", ".join(f"{name} at {address}" for name, address in waiting.items())
            print(f"waiting for {names} for {now - begun:.0f} s", file=sys.stderr, flush=True)
        if waiting:
            time.sleep(_POLL_SECONDS)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def noticing_loss(kind: str) -> Iterator[None]:
    """Tells that processes of a kind are gone, and ends this one with a status that says so.

    Raises:
      ClusterLost: in the place of TensorFlow's errors.
    """
    try:
        yield
    except _ERRORS as error:
        raise _told(kind, error) from error
    except FileError as error:  # of a checkpoint, which the servers write
        if isinstance(error.__cause__, _ERRORS):
            raise _told(kind, error.__cause__) from error
        raise


def _told(kind: str, error: tf.errors.OpError) -> ClusterLost:
    first = str(error.message).strip().splitlines()[0] if error.message else ""
    print(
        f"{kind} was lost, and what it held: start all processes again with --resume, which goes "
        f"on from the latest checkpoint ({type(error).__name__}: {first})",
        file=sys.stderr,
        flush=True,
    )
    return ClusterLost()

"""Clients that load a server, each in a process of its own, without TensorFlow."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time

import grpc
import numpy as np

from export.client import protocol, tensors


@dataclasses.dataclass(frozen=True)
class Target:
    """What is asked.

    Attributes:
      address: host:port of gRPC.
      model_name, signature: of the request.
      requests: inputs of requests, sent in turn.
      timeout_seconds: of a call.
    """

    address: str
    model_name: str
    signature: str
    requests: tuple[dict[str, np.ndarray], ...]
    timeout_seconds: float = 10.0

    def messages(self) -> list[bytes]:
        """The requests as bytes."""
        serialized = []
        for inputs in self.requests:
            request = protocol.PredictRequest()
            request.model_spec.name = self.model_name
            request.model_spec.signature_name = self.signature
            for name, array in inputs.items():
                tensors.encode(array, request.inputs[name])
            serialized.append(request.SerializeToString())
        return serialized


@dataclasses.dataclass
class Heard:
    """The milliseconds and the statuses of the calls of a client."""

    milliseconds: list[float] = dataclasses.field(default_factory=list)
    statuses: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def add(self, milliseconds: float, status: str) -> None:
        self.milliseconds.append(milliseconds)
        self.statuses[status] += 1


def _stub(channel: grpc.Channel) -> grpc.UnaryUnaryMultiCallable:
    return channel.unary_unary(
        protocol.PREDICT, response_deserializer=protocol.PredictResponse.FromString
    )


def closed_loop(target: Target, start: float, seconds: float) -> Heard:
    """Calls one after the other, from a time of the clock on, for so many seconds."""
    heard, messages = Heard(), target.messages()
    with grpc.insecure_channel(target.address) as channel:
        call = _stub(channel)
        call(messages[0], timeout=target.timeout_seconds)  # connects
        time.sleep(max(0.0, start - time.time()))
        end, number = time.perf_counter() + seconds, 0
        while (begin := time.perf_counter()) < end:
            status = "OK"
            try:
                response = call(messages[number % len(messages)], timeout=target.timeout_seconds)
                tensors.decode(response.outputs["score"])
            except grpc.RpcError as error:
                status = error.code().name
            heard.add((time.perf_counter() - begin) * 1000, status)
            number += 1
    return heard


def open_loop(target: Target, per_second: float, seconds: float) -> Heard:
    """Calls at a steady rate, answered or not; milliseconds are from when a call was due."""
    heard, messages, lock = Heard(), target.messages(), threading.Lock()
    done = threading.Semaphore(0)
    with grpc.insecure_channel(target.address) as channel:
        call = _stub(channel)
        call(messages[0], timeout=target.timeout_seconds, wait_for_ready=True)
        begin = time.perf_counter()
        count = max(1, int(per_second * seconds))

        def finished(future: grpc.Future, due: float) -> None:
            with lock:
                heard.add((time.perf_counter() - due) * 1000, future.code().name)
            done.release()

        for number in range(count):
            due = begin + number / per_second
            time.sleep(max(0.0, due - time.perf_counter()))
            future = call.future(messages[number % len(messages)], timeout=target.timeout_seconds)
            future.add_done_callback(lambda future, due=due: finished(future, due))
        for _ in range(count):
            done.acquire()
    return heard

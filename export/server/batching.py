"""Dynamic batching: requests that wait together run together, merged along dimension 0.

The rules, the parameters and the statuses are those of TensorFlow Serving's batching sessions.
"""

from __future__ import annotations

import bisect
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.server import errors
from export.server.batching_options import BatchingOptions, Shaped
from export.server.monitoring import Metrics

Arrays = Sequence[NDArray[Any]]
_MOST_PADDED_AXES = 6  # of the real server
Run = Callable[[Arrays, float | None], Arrays]


class _Task:
    """One request in a batch; `done` is locked until it has `outputs` or an `error`."""

    __slots__ = ("arrays", "deadline", "done", "error", "outputs", "size", "start")

    def __init__(self, arrays: Arrays, size: int, seconds: float | None) -> None:
        self.arrays = arrays
        self.size = size
        self.start = time.monotonic()
        self.deadline = None if seconds is None else self.start + seconds
        self.outputs: Arrays | None = None
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()


class _Batch:
    """Tasks that will run together; `closed` is locked while more may come."""

    __slots__ = ("closed", "size", "tasks")

    def __init__(self) -> None:
        self.tasks: list[_Task] = []
        self.size = 0
        self.closed = threading.Lock()
        self.closed.acquire()


class BatchQueue:
    """Merges the requests to one signature.

    The thread of the request that opens a batch runs it; the others wait for their share. So a
    request that meets no other runs in its own thread, at once if the timeout is 0.

    Args:
      run: runs merged inputs: (arrays, seconds left or None) -> output arrays.
      names: of the inputs, for hints.
      tensors: of the graph, one for each input, for messages.
      options: see `BatchingOptions`.
      threads: a semaphore of `num_batch_threads`, which all queues of a server share.
      metrics: to count in.
    """

    def __init__(
        self,
        *,
        run: Run,
        names: Sequence[str],
        tensors: Sequence[str],
        options: BatchingOptions,
        threads: threading.Semaphore,
        metrics: Metrics,
    ) -> None:
        self._run = run
        self._names = tuple(names)
        self._tensors = tuple(tensors)
        self._options = options
        self._threads = threads
        self._metrics = metrics
        self._lock = threading.Lock()  # guards the two below
        self._open: _Batch | None = None
        self._enqueued = 0

    def __call__(self, arrays: Arrays, seconds: float | None = None, alone: bool = False) -> Arrays:
        """The outputs of one request, as if it had run alone.

        Args:
          arrays: the inputs.
          seconds: until it is given up; None: never.
          alone: keeps it out of the batches of others, where it could not be merged.

        Raises:
          ServingError: INVALID_ARGUMENT for a size that cannot be batched, UNAVAILABLE where too
            many wait, RESOURCE_EXHAUSTED where it waited too long, FAILED_PRECONDITION for lists
            that differ from those of others, or as `check_padding` says.
        """
        size, largest = self.size_of(arrays), self._options.max_execution_batch_size
        self.check_padding([array.ndim for array in arrays])
        if size > largest:
            cuts = range(largest, size, largest)
            parts = zip(*(np.split(array, cuts) for array in arrays), strict=True)
            answers = [self._answer(_Task(part, len(part[0]), seconds), alone) for part in parts]
            return [np.concatenate(outputs) for outputs in zip(*answers, strict=True)]
        return self._answer(_Task(arrays, size, seconds), alone)

    def _answer(self, task: _Task, alone: bool) -> Arrays:
        if alone:
            batch, leads = _Batch(), True
            batch.tasks.append(task)
            batch.size = task.size
            with self._threads:
                self._process(batch)
        else:
            batch, leads = self._enqueue(task)
            self._wait(task, batch, leads)
        if task.error is not None:
            raise task.error
        assert task.outputs is not None
        return task.outputs

    def _wait(self, task: _Task, batch: _Batch, leads: bool) -> None:
        """Returns when the task is done; whoever opened the batch runs it."""
        if not leads:
            task.done.acquire()
            return
        # Whoever has joined by now: the batch waits until its timeout, or until it is full.
        if self._options.batch_timeout_micros:
            end = task.start + self._options.batch_timeout_micros / 1e6
            left = min(max(end - time.monotonic(), 0.0), threading.TIMEOUT_MAX)
            batch.closed.acquire(timeout=left)
        with self._threads:
            self._close(batch)
            self._process(batch)

    def size_of(self, arrays: Sequence[Shaped]) -> int:
        """The rows of a request; INVALID_ARGUMENT where they cannot be batched."""
        if not arrays:
            raise errors.invalid_argument("Batching Run() must have at least one input tensor")
        if any(array.ndim == 0 for array in arrays):
            raise errors.invalid_argument(
                "Batching Run() input tensors must have at least one dimension",
                f"got {self._shapes(arrays)}",
            )
        size = arrays[0].shape[0]
        if any(array.shape[0] != size for array in arrays):
            raise errors.invalid_argument(
                "Batching Run() input tensors must have equal 0th-dimension size",
                f"got {self._shapes(arrays)}",
            )
        # The real server counts each tensor of a request.
        self._metrics.input_batch_size.add(size, count=len(arrays))
        if size > self._options.max_batch_size:
            raise errors.invalid_argument(
                f"Task size {size} is larger than maximum input batch size "
                f"{self._options.max_batch_size}"
            )
        return size

    def check_padding(self, ranks: Sequence[int]) -> None:
        """Refuses what padding cannot handle, whether it is needed or not: more than six axes."""
        if self._options.pad_variable_length_inputs and max(ranks, default=0) > _MOST_PADDED_AXES:
            raise errors.invalid_argument("Only tensors with rank from 1 to 6 can be padded.")

    @property
    def pads(self) -> bool:
        """Whether lists of unequal length are filled up."""
        return self._options.pad_variable_length_inputs

    def _shapes(self, arrays: Sequence[Shaped]) -> str:
        pairs = zip(self._names, arrays, strict=True)
        return ", ".join(f"{name} {list(array.shape)}" for name, array in pairs)

    def _enqueue(self, task: _Task) -> tuple[_Batch, bool]:
        """Adds a task; its batch, and whether the task opened it."""
        with self._lock:
            batch, leads = self._open, False
            if batch is None or batch.size + task.size > self._options.max_execution_batch_size:
                if self._enqueued >= self._options.max_enqueued_batches:
                    raise errors.unavailable(
                        "The batch scheduling queue to which this task was submitted is full; "
                        f"currently {self._enqueued} batches enqueued and max_enqueued_batches is "
                        f"{self._options.max_enqueued_batches}"
                    )
                if batch is not None:
                    batch.closed.release()
                batch, leads = _Batch(), True
                self._open = batch
                self._enqueued += 1
            batch.tasks.append(task)
            batch.size += task.size
            if batch.size >= self._options.max_execution_batch_size:
                self._open = None
                batch.closed.release()
            return batch, leads

    def _close(self, batch: _Batch) -> None:
        with self._lock:
            if self._open is batch:
                self._open = None
            self._enqueued -= 1

    def _process(self, batch: _Batch) -> None:
        try:
            now = time.monotonic()
            for task in batch.tasks:
                self._metrics.queuing_latency.add((now - task.start) * 1e6, "")
            seconds = _seconds_left(batch.tasks)
            merged = self._merge(batch)
            outputs = self._run(merged, seconds)
            _split(outputs, len(merged[0]), batch.tasks)
        except BaseException as error:  # whatever it is, every waiting request is answered
            for task in batch.tasks:
                task.error = error
        finally:
            for task in batch.tasks[1:]:
                task.done.release()

    def _merge(self, batch: _Batch) -> Arrays:
        """The tasks' arrays one below the other, filled up to an allowed size."""
        sizes = self._options.allowed_batch_sizes
        total = sizes[bisect.bisect_left(sizes, batch.size)] if sizes else batch.size
        self._metrics.padding_size.add(total - batch.size, str(total))
        self._metrics.processed_batch_size.add(total)
        if len(batch.tasks) == 1 and total == batch.size:
            return batch.tasks[0].arrays
        merged = []
        for position, tensor in enumerate(self._tensors):
            parts = self._equal_lists(tensor, [task.arrays[position] for task in batch.tasks])
            if total > batch.size and batch.size:
                # The real server fills up with the last request's first row, which is valid.
                last = next(part for part in reversed(parts) if len(part))
                parts.append(np.repeat(last[:1], total - batch.size, axis=0))
            merged.append(np.concatenate(parts))
        return merged

    def _equal_lists(self, tensor: str, parts: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """The arrays with all dimensions but the first one made equal."""
        if all(part.shape[1:] == parts[0].shape[1:] for part in parts):
            return parts
        if not self._options.pad_variable_length_inputs:
            raise errors.failed_precondition(
                f"Tensors with name '{tensor}' from different tasks have different shapes and "
                "padding is turned off. Set pad_variable_length_inputs to true, or ensure that "
                "all tensors with the same name have equal dimensions starting with the first dim."
            )
        shape = np.max([part.shape[1:] for part in parts], axis=0)
        return [_padded(part, shape) for part in parts]


def _padded(part: NDArray[Any], shape: NDArray[Any]) -> NDArray[Any]:
    """Padded at the end of every dimension but the first, with the array's first entry."""
    wanted = (len(part), *shape)
    if part.size == math.prod(map(int, wanted)):
        return part.reshape(wanted)
    if not part.size:
        raise errors.invalid_argument("Got empty tensor in batch of non-empty tensors.")
    filled = np.full(wanted, part.flat[0], part.dtype)
    place = (slice(None), *(slice(size) for size in part.shape[1:]))
    filled[place] = part
    return filled


def _seconds_left(tasks: Sequence[_Task]) -> float | None:
    """Until the last of the deadlines; None: forever. Raises RESOURCE_EXHAUSTED after it."""
    deadlines = [task.deadline for task in tasks if task.deadline is not None]
    if len(deadlines) < len(tasks):
        return None
    left = max(deadlines) - time.monotonic()
    if left <= 0:
        raise errors.resource_exhausted("Run() timeout exceeded while waiting in batching queue")
    return left


def _split(outputs: Arrays, total: int, tasks: Sequence[_Task]) -> None:
    """Gives each task its rows of the outputs."""
    for output in outputs:
        if np.ndim(output) == 0:
            raise errors.failed_precondition("Batched output tensor has 0 dimensions")
        if len(output) != total:
            raise errors.failed_precondition(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
                "sizes of the input tensors"
            )
    start = 0
    for task in tasks:
        task.outputs = [output[start : start + task.size] for output in outputs]
        start += task.size

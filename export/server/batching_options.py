"""The parameters of batching, and what of a request matters to it."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Protocol


@dataclasses.dataclass(frozen=True)
class BatchingOptions:
    """What a batching parameters file says.

    Attributes:
      max_batch_size: rows of a request; a larger one is refused.
      batch_timeout_micros: how long the first request of a batch waits for others.
      max_enqueued_batches: batches of one signature that wait; beyond that requests are refused.
      num_batch_threads: batches that run at the same time, over all models.
      allowed_batch_sizes: a batch is filled up to the next one; ascending, the last one
        `max_execution_batch_size`; none: as large as it is.
      pad_variable_length_inputs: whether requests of unequal lists are padded, or refused.
      enable_large_batch_splitting: whether a batch may be smaller than a request.
      max_execution_batch_size: rows of a batch; 0, or without splitting: `max_batch_size`.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0

    def __post_init__(self) -> None:
        if not (self.enable_large_batch_splitting and self.max_execution_batch_size):
            object.__setattr__(self, "max_execution_batch_size", self.max_batch_size)
        counts = ("max_batch_size", "max_enqueued_batches", "num_batch_threads")
        for name in (*counts, "max_execution_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if self.batch_timeout_micros < 0:
            raise ValueError(
                f"batch_timeout_micros: must be at least 0, got {self.batch_timeout_micros}"
            )
        sizes, largest = self.allowed_batch_sizes, self.max_execution_batch_size
        if sizes and (list(sizes) != sorted(set(sizes)) or sizes[-1] != largest):
            raise ValueError(
                f"allowed_batch_sizes: must ascend to the largest batch, {largest}, "
                f"got {list(sizes)}"
            )

    @classmethod
    def from_message(cls, message: Any) -> BatchingOptions:
        """From a `BatchingParameters`; what it leaves out keeps its default."""
        wrapped = (
            *("max_batch_size", "batch_timeout_micros", "max_enqueued_batches"),
            *("num_batch_threads", "enable_large_batch_splitting", "max_execution_batch_size"),
        )
        given = {name: getattr(message, name).value for name in wrapped if message.HasField(name)}
        return cls(
            **given,
            allowed_batch_sizes=tuple(message.allowed_batch_sizes),
            pad_variable_length_inputs=message.pad_variable_length_inputs,
        )


class Shaped(Protocol):
    """What has a shape: an array, or a tensor that cannot be one."""

    @property
    def ndim(self) -> int:
        """How many axes it has."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""

"""Counters and histograms under TensorFlow Serving's names, in Prometheus' text format."""

from __future__ import annotations

import bisect
import itertools
import threading
from collections.abc import Sequence

_Labels = tuple[str, ...]


def _exponential(scale: float, growth: float, count: int) -> list[float]:
    """Upper limits of buckets."""
    return [scale * growth**power for power in range(count)]


def _label_text(names: Sequence[str], values: Sequence[str]) -> str:
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return ",".join(f'{n}="{v}"' for n, v in zip(names, escaped, strict=True))


class Counter:
    """A number by labels that only grows."""

    def __init__(self, name: str, labels: Sequence[str]) -> None:
        self.name = name
        self._label_names = tuple(labels)
        self._lock = threading.Lock()
        self._values: dict[_Labels, int] = {}

    def add(self, *labels: str, count: int = 1) -> None:
        """Counts `count` more under these labels."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + count

    def first_value(self) -> int:
        """The number under the first labels; 0 where it has none yet."""
        with self._lock:
            return self._values[min(self._values)] if self._values else 0

    def lines(self) -> list[str]:
        """The counter in Prometheus' text format, its type first."""
        with self._lock:
            values = sorted(self._values.items())
        return [f"# TYPE {self.name} counter"] + [
            f"{self.name}{{{_label_text(self._label_names, labels)}}} {value}"
            for labels, value in values
        ]


class Histogram:
    """How often values fell into each bucket, by labels."""

    def __init__(self, name: str, labels: Sequence[str], limits: Sequence[float]) -> None:
        self.name = name
        self._label_names = tuple(labels)
        self._limits = list(limits)
        self._lock = threading.Lock()
        self._counts: dict[_Labels, list[int]] = {}
        self._sums: dict[_Labels, float] = {}

    def add(self, value: float, *labels: str, count: int = 1) -> None:
        """Counts `value`, `count` times, under these labels."""
        bucket = bisect.bisect_right(self._limits, value)
        with self._lock:
            counts = self._counts.get(labels)
            if counts is None:
                counts = self._counts[labels] = [0] * (len(self._limits) + 1)
                self._sums[labels] = 0.0
            counts[bucket] += count
            self._sums[labels] += value * count

    def lines(self) -> list[str]:
        """The buckets, cumulative, sum and count in Prometheus' text format."""
        with self._lock:
            found = [(key, list(c), self._sums[key]) for key, c in sorted(self._counts.items())]
        lines = [f"# TYPE {self.name} histogram"]
        limits = [f"{limit:.6g}" for limit in self._limits] + ["+Inf"]
        for labels, counts, total in found:
            text = _label_text(self._label_names, labels)
            prefix = f"{text}," if text else ""
            cumulative = list(itertools.accumulate(counts))
            lines += [
                f'{self.name}_bucket{{{prefix}le="{limit}"}} {count}'
                for limit, count in zip(limits, cumulative, strict=True)
            ]
            lines.append(f"{self.name}_sum{{{text}}} {total:.6g}")
            lines.append(f"{self.name}_count{{{text}}} {cumulative[-1]}")
        return lines


class Metrics:
    """What a server counts. Latencies are in microseconds, as in TensorFlow Serving."""

    def __init__(self) -> None:
        latencies = _exponential(10, 1.8, 33)
        self.request_count = Counter(":tensorflow:serving:request_count", ("model_name", "status"))
        self.request_latency = Histogram(
            ":tensorflow:serving:request_latency", ("model_name", "API", "entrypoint"), latencies
        )
        self.runtime_latency = Histogram(
            ":tensorflow:serving:runtime_latency", ("model_name", "API", "runtime"), latencies
        )
        self.example_counts = Histogram(
            ":tensorflow:serving:request_example_counts", ("model",), _exponential(1, 2, 15)
        )
        self.example_count_total = Counter(
            ":tensorflow:serving:request_example_count_total", ("model",)
        )
        self.load_attempts = Counter(
            ":tensorflow:cc:saved_model:load_attempt_count", ("model_path", "status")
        )
        self.load_latency = Counter(":tensorflow:cc:saved_model:load_latency", ("model_path",))
        self.warmup_latency = Histogram(
            ":tensorflow:serving:model_warmup_latency", ("model_path", "status"), latencies
        )
        batching, rows = ":tensorflow:serving:batching_session", _exponential(1, 2, 14)
        self.queuing_latency = Histogram(
            f"{batching}:queuing_latency", ("thread_pool_name",), _exponential(100, 1.2, 52)
        )
        self.input_batch_size = Histogram(f"{batching}:input_batch_size", (), rows)
        self.processed_batch_size = Histogram(f"{batching}:processed_batch_size", (), rows)
        self.padding_size = Histogram(f"{batching}:padding_size", ("execution_batch_size",), rows)

    def count_examples(self, model: str, count: int) -> None:
        """Counts the examples of a Classify, Regress or MultiInference call."""
        self.example_counts.add(count, model)
        self.example_count_total.add(model, count=count)

    def first_value(self, name: str) -> int:
        """Of a counter's first labels, under TensorFlow's name for it; 0 where there is none."""
        for metric in vars(self).values():
            if metric.name.replace(":", "/") == name and isinstance(metric, Counter):
                return metric.first_value()
        return 0

    def page(self) -> str:
        """All metrics as text."""
        return "\n".join(line for metric in vars(self).values() for line in metric.lines()) + "\n"

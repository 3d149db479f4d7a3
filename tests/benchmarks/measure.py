"""Rounds in which everyone takes a turn, and the memory that a stage needs."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping


def seconds(work: Callable[[], object]) -> Callable[[], float]:
    """What runs `work` once and returns the wall-clock seconds that it took."""

    def measure() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return measure


def alternate(
    measures: Mapping[str, Callable[[], float]], rounds: int, warm_ups: int = 0
) -> dict[str, list[float]]:
    """Calls all measures in turn (A B A B ...), so that they meet the same state of the machine.

    Args:
      measures: by name; each returns one sample.
      rounds: how often each is called.
      warm_ups: rounds before these whose samples are thrown away.

    Returns:
      The samples by name, one a round.
    """
    samples: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(warm_ups + rounds):
        for name, measure in measures.items():
            sample = measure()
            if number >= warm_ups:
                samples[name].append(sample)
    return samples


@dataclasses.dataclass
class Peak:
    """Resident memory of this process, in gigabytes (1e9 bytes)."""

    before_gigabytes: float
    gigabytes: float = float("nan")


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measures the largest resident memory of this process while the block runs; Linux only."""
    # https://www.kernel.org/doc/Documentation/filesystems/proc.txt: 5 resets the high-water mark
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    peak = Peak(_resident("VmRSS"))
    yield peak
    peak.gigabytes = _resident("VmHWM")


def _resident(field: str) -> float:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e9
    raise OSError(f"/proc/self/status has no {field}")

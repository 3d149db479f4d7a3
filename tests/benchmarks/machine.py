"""What a figure was measured on."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
from typing import Any

_PACKAGES = (
    "numpy", "scipy", "scikit-learn", "pyarrow", "isal", "tensorflow", "tf_keras",
    "tensorflow-recommenders", "torch", "torch-rechub", "deepctr",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Processor, cores, memory, load and versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gigabytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        "load_of_the_last_minute": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

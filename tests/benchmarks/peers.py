"""The MMoE of other libraries, by name; the extra `bench` installs them.

A peer is made of (ids by column, tasks, learning rate) and has the methods of `step.Ours`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from typing import Any

from absl import logging

# Which package has to be there, the class, and further arguments. PyTorch is often faster on one
# thread for networks as small as these, and may show it.
_PEERS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "torch-rechub": (
        "torch_rechub",
        "tests.benchmarks.torch_rechub_mmoe",
        "TorchRechubMMoE",
        {"threads": len(os.sched_getaffinity(0))},
    ),
    "torch-rechub, one thread": (
        "torch_rechub",
        "tests.benchmarks.torch_rechub_mmoe",
        "TorchRechubMMoE",
        {"threads": 1},
    ),
    "DeepCTR": ("deepctr", "tests.benchmarks.deepctr_mmoe", "DeepctrMMoE", {}),
}
# Sizes that all parties share: those of this project's defaults.
EXPERTS, EXPERT_UNITS, TOWER_UNITS, EMBEDDING_DIM = 4, (64, 32), (32,), 10


def installed_peers() -> dict[str, Any]:
    """What makes those that are installed."""
    found = {}
    for name, (package, module, class_name, arguments) in _PEERS.items():
        if importlib.util.find_spec(package) is None:
            logging.warning("%s is not installed, so it is left out: pip install '.[bench]'", name)
        else:
            peer = getattr(importlib.import_module(module), class_name)
            found[name] = functools.partial(peer, **arguments)
    return found

"""The MMoE of other libraries, by name; the extra `bench` installs them.

A peer is made of (ids by column, tasks, learning rate) and has the methods of `step.Ours`.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from absl import logging

# Which package has to be there, and the class.
_PEERS = {
    "torch-rechub": ("torch_rechub", "tests.benchmarks.torch_rechub_mmoe", "TorchRechubMMoE"),
    "DeepCTR": ("deepctr", "tests.benchmarks.deepctr_mmoe", "DeepctrMMoE"),
}
# Sizes that all parties share: those of this project's defaults.
EXPERTS, EXPERT_UNITS, TOWER_UNITS, EMBEDDING_DIM = 4, (64, 32), (32,), 10


def installed_peers() -> dict[str, Any]:
    """The classes of those that are installed."""
    found = {}
    for name, (package, module, class_name) in _PEERS.items():
        if importlib.util.find_spec(package) is None:
            logging.warning("%s is not installed, so it is left out: pip install '.[bench]'", name)
        else:
            found[name] = getattr(importlib.import_module(module), class_name)
    return found

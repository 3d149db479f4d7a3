"""Which process of a cluster this one is, as the environment's TF_CONFIG tells.

    {"cluster": {"chief": [address], "worker": [address, ...], "ps": [address, ...]},
     "task": {"type": "worker", "index": 0}}

An `evaluator` among the roles of the cluster says that there is one; it is none of those that speak
to each other. Clusters of workers alone have no `ps`; their chief is the first worker where no
`chief` is named.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping

VARIABLE = "TF_CONFIG"
# Of a process that others were lost to: it is to be started again, and goes on with --resume.
EXIT_STATUS = 75


class ClusterLost(SystemExit):
    """Processes of the cluster are gone, and with them what this one needs to go on."""

    def __init__(self) -> None:
        super().__init__(EXIT_STATUS)


@dataclasses.dataclass(frozen=True)
class Place:
    """A process among others.

    Attributes:
      role: `chief`, `worker`, `ps` or `evaluator`.
      index: which one of its role, from 0.
      addresses: of those that speak to each other, by role.
      has_evaluator: whether a process beside them evaluates checkpoints.
    """

    role: str
    index: int
    addresses: Mapping[str, tuple[str, ...]]
    has_evaluator: bool

    @property
    def is_chief(self) -> bool:
        """Whether it writes the model directory while others train."""
        if self.role == "worker" and self.index == 0:
            return not self.addresses.get("chief")
        return self.role == "chief"

    def count(self, role: str) -> int:
        return len(self.addresses.get(role, ()))


def read_place(distribution: str) -> Place | None:
    """Reads TF_CONFIG; None without it: this process is alone.

    Args:
      distribution: `parameter_server` or `multi_worker`.

    Raises:
      ValueError: it is no such cluster as the distribution needs.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return None
    try:
        config = json.loads(text)
        task = config["task"]
        role, index = str(task["type"]), int(task["index"])
        addresses = {str(name): tuple(map(str, of)) for name, of in config["cluster"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f'{VARIABLE}: must be {{"cluster": {{role: [address, ..]}}, "task": {{"type": role, '
            f'"index": number}}}}, got {text!r}'
        ) from None
    has_evaluator = bool(addresses.pop("evaluator", ())) or role == "evaluator"
    place = Place(role, index, addresses, has_evaluator)
    _require_roles(place, distribution)
    return place


def _require_roles(place: Place, distribution: str) -> None:
    if distribution == "parameter_server":
        needed, allowed = {"chief", "worker", "ps"}, {"chief", "worker", "ps"}
    else:
        needed, allowed = {"worker"}, {"chief", "worker"}
    there = {role for role, of in place.addresses.items() if of}
    if not needed <= there <= allowed or place.count("chief") > 1:
        raise ValueError(
            f"{VARIABLE}: --distribution={distribution} needs the roles {sorted(needed)}, with one "
            f"chief at most, got {sorted(there)}"
        )
    last = place.count(place.role) - 1
    if place.role == "evaluator" and distribution == "parameter_server":
        return
    if not 0 <= place.index <= last:
        raise ValueError(
            f"{VARIABLE}: the task must be one of the cluster's, got {place.role} {place.index}"
        )

"""Which ids a model knows, and what to say of those that it does not.

A model scores an id that it does not know as a cold node, without an error. An export with a graph
inside answers by its signature `known_ids` whether it knows an id: whether the graph has it, or
training gave it an embedding of its own.

Axes: N ids, T tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.client.batch_sizes import MAX_BATCH_SIZE
from export.client.client import Input
from export.client.snapshot import GraphSnapshot

SIGNATURE = "known_ids"
_SHOWN = 5

# From `user` or `item` and ids [N] to bool [N].
Knows = Callable[[str, NDArray[Any]], NDArray[np.bool_]]


class ModelIds:
    """What a model tells by `known_ids`.

    Args:
      ask: the signature, from inputs to outputs.
      wanted: its inputs.
    """

    def __init__(
        self,
        ask: Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]],
        wanted: Mapping[str, Input],
    ) -> None:
        self._ask = ask
        self._wanted = wanted

    def knows(self, owner: str, ids: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether it knows each user, or each item, of raw ids [N]: bool [N]."""
        parts = [
            self._answer(owner, ids[start : start + MAX_BATCH_SIZE])[f"known_{owner}"]
            for start in range(0, len(ids), MAX_BATCH_SIZE)
        ]
        return np.concatenate([np.zeros(0, bool), *parts])

    def tasks(self) -> tuple[str, ...]:
        """The tasks in their order, from the least to the most important."""
        nobody = np.array([self._wanted["user_id"].missing], object)
        named = self._answer("user", nobody)["tasks"][0]
        return tuple(name.decode() for name in named.tolist())

    def _answer(self, owner: str, ids: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        rows = {}
        for name, wanted in self._wanted.items():
            found = ids if name == f"{owner}_id" else np.full(len(ids), wanted.missing, object)
            rows[name] = found.astype(np.object_ if isinstance(wanted.missing, bytes) else np.int64)
        return self._ask(rows)


def known_to_graph(snapshot: GraphSnapshot) -> Knows:
    """The same of a graph in a data set."""
    return lambda owner, ids: np.asarray(snapshot.rows(owner, ids) >= 0)


def text(value: Any) -> str:
    """An id as it is shown: what is no UTF-8 in it is escaped."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def of_unknown(knows: Knows, owner: str, ids: NDArray[Any]) -> str | None:
    """What to say of the ids among `ids` [N] that nobody knows; None: all are known."""
    unknown = ids[~knows(owner, ids)]
    if not len(unknown):
        return None
    shown = ", ".join(_with_alike(knows, owner, one) for one in unknown[:_SHOWN])
    rest = f" and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else ""
    share = f"{len(unknown):,} of {len(ids):,} " if len(ids) > 1 else ""
    return f"{owner}_id: {share}unknown to the model, scored as cold: {shown}{rest}"


def _with_alike(knows: Knows, owner: str, one: Any) -> str:
    """An unknown id, with one that is known and may have been meant."""
    if not isinstance(one, bytes):
        return text(one)
    # tables write whole numbers as 1.0 where a column has gaps; and ids are pasted with spaces
    stripped = one.strip()
    alike = dict.fromkeys([stripped, stripped + b".0", stripped.removesuffix(b".0")])
    alike.pop(one, None)
    wanted = np.empty(len(alike), object)
    wanted[:] = list(alike)
    found = wanted[knows(owner, wanted)]
    return f"{text(one)} (did you mean {text(found[0])}?)" if len(found) else text(one)

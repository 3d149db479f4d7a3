"""Ranks candidates of a user through a client, by any of the signatures that can.

Axes: N candidates.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.client.batch_sizes import MAX_BATCH_SIZE
from export.client.client import Client, Input
from export.client.snapshot import GraphSnapshot
from export.client.tensors import DT_STRING
from input_pipeline.files import filesystem

Rows = dict[str, NDArray[Any]]
Ask = Callable[[Client, NDArray[Any], NDArray[Any]], Rows]


def join(
    snapshot: GraphSnapshot,
    user_id: NDArray[Any],
    item_ids: NDArray[Any],
    wanted: Mapping[str, Input],
    context: Mapping[str, NDArray[Any]] | None = None,
) -> dict[str, NDArray[Any]]:
    """The features of one user [1] with each of N candidates [N], as `serving_default` wants them.

    Those of `context`, [1, ...], are the request's own; what it leaves out is missing.

    Raises:
      ValueError: where the data set is not of the kind that the model was trained on: a feature
        that it does not have, or one of another width.
    """
    names = list(wanted)
    user = snapshot.features("user", user_id, names)
    item = snapshot.features("item", item_ids, names)
    once = snapshot.missing("context", names) | dict(context or {}) | user
    rows = {name: np.repeat(value, len(item_ids), axis=0) for name, value in once.items()} | item
    for name, spec in wanted.items():
        if name not in rows:
            raise ValueError(f"data_dir: the model reads {name}, which the data set does not have")
        shape = [-1, *rows[name].shape[1:]]
        if list(spec.shape) != shape:
            raise ValueError(
                f"data_dir: the model reads {name} with shape {list(spec.shape)}, the data set has "
                f"{shape}: another data set, or prepared with other flags, than the model's"
            )
    return rows


def parse_ids(
    texts: Sequence[str | bytes], wanted: Input, where: Callable[[int], str] = lambda _: "ids"
) -> NDArray[Any]:
    """Ids as text to an array of the type that an input wants, [N]: int64, or object of bytes.

    Args:
      texts: N of them.
      wanted: the input.
      where: from the number of a text, from 0, to what a message calls it.

    Raises:
      ValueError: naming the first text that is no such id.
    """
    if wanted.dtype == DT_STRING:
        ids: NDArray[Any] = np.empty(len(texts), object)
        ids[:] = [t if isinstance(t, bytes) else os.fsencode(t) for t in texts]
        return ids
    numbers = np.empty(len(texts), np.int64)
    for place, text in enumerate(texts):
        try:
            numbers[place] = int(text)
        except (ValueError, OverflowError):
            shown = text.decode(errors="backslashreplace") if isinstance(text, bytes) else text
            raise ValueError(
                f"{where(place)}: must be an integer within int64, as the model wants it, got "
                f"{shown!r}"
            ) from None
    return numbers


def read_candidates(path: str, wanted: Input) -> NDArray[Any]:
    """The ids in a file, one a line, [N]; empty lines are left out.

    Raises:
      ValueError: there is none, or a line is no id; names the first such line.
      OSError: the file cannot be read.
    """
    lines = filesystem.read_bytes(path).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    lines = [line.removesuffix(b"\r") for line in lines]
    numbers = [number for number, line in enumerate(lines, 1) if line.strip()]
    if not numbers:
        raise ValueError(f"--candidates: {path} is empty")
    return parse_ids(
        [lines[number - 1] for number in numbers],
        wanted,
        lambda place: f"--candidates: {path}, line {numbers[place]}",
    )


def by_ids(
    client: Client,
    user_id: NDArray[Any],
    item_ids: NDArray[Any],
    context: Mapping[str, NDArray[Any]] | None = None,
) -> Rows:
    """Answers of `rank_ids`, [N] each, for a user [1] and candidates [N].

    `context` is the request's own, [1, ...]: all that the model reads.
    """
    ids = {"user_id": user_id, "item_id": item_ids[np.newaxis]}
    outputs = client.predict({**ids, **(context or {})}, "rank_ids")
    return {name: output[0] for name, output in outputs.items()}


class ByFeatures:
    """Asks `rank` or `serving_default`, with features joined from a snapshot.

    Args:
      snapshot: of the data set that the model was trained on.
      signature: which of the two.
      wanted: its inputs, from `Client.inputs`.
      context: features of the request itself, [1, ...]; what it leaves out is missing.
    """

    def __init__(
        self,
        snapshot: GraphSnapshot,
        signature: str,
        wanted: Mapping[str, Input],
        context: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._context = context
        self._signature = signature
        self._listed = {name for name, spec in wanted.items() if spec.shape[1:2] == (-1,)}
        self._flat = {
            name: Input(spec.dtype, (-1, *spec.shape[2:])) if name in self._listed else spec
            for name, spec in wanted.items()
        }

    def __call__(self, client: Client, user_id: NDArray[Any], item_ids: NDArray[Any]) -> Rows:
        """Answers, [N] each, for a user [1] and candidates [N]."""
        rows = join(self._snapshot, user_id, item_ids, self._flat, self._context)
        if not self._listed:
            return client.predict(rows, self._signature)
        inputs = {
            name: value[np.newaxis] if name in self._listed else value[:1]
            for name, value in rows.items()
        }
        outputs = client.predict(inputs, self._signature)
        return {name: output[0] for name, output in outputs.items()}


def rank(client: Client, ask: Ask, user_id: NDArray[Any], item_ids: NDArray[Any]) -> Rows:
    """Scores of N candidates, best first: `item_id`, `score` and one array a task, [N] each.

    Args:
      client: of the model.
      ask: `by_ids`, or a `ByFeatures`.
      user_id, item_ids: [1] and [N]; more than a server takes go in several requests.

    Raises:
      ValueError: there are no candidates.
    """
    if not len(item_ids):
        raise ValueError("item_ids: must have at least one candidate, got none")
    answers = [
        ask(client, user_id, item_ids[start : start + MAX_BATCH_SIZE])
        for start in range(0, len(item_ids), MAX_BATCH_SIZE)
    ]
    outputs = {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
    order = np.argsort(-outputs["score"], kind="stable")
    return {"item_id": item_ids[order]} | {name: out[order] for name, out in outputs.items()}

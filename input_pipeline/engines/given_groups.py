"""The macro nodes of another data set, taken instead of grouping anew (`--grouping_from`)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from input_pipeline.engines.grouping_checksum import grouping_checksum
from input_pipeline.files import filesystem, stored
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.spec import DatasetSpec, read_spec

# What decides on places, beside the pairs.
_FLAGS = ("grouping", "grouping_scale", "grouping_power", "preference", "beta")


class GivenGroups:
    """The grouping of a data set that is there.

    Args:
      preparation: the options of the one that takes it.
      spec: of that one.
      data_dir: of that one, which has its vocabularies already.

    Raises:
      ValueError: it groups by other flags, or other nodes, or has grouped again since history.
    """

    def __init__(self, preparation: PreparationOptions, spec: DatasetSpec, data_dir: str):
        self._folder = filesystem.join(preparation.grouping_from, "graph")
        given = read_spec(preparation.grouping_from)
        for flag in _FLAGS:
            ours = getattr(preparation, flag)
            if given.flags[flag] != ours:
                raise ValueError(
                    f"--grouping_from: {preparation.grouping_from} has --{flag}="
                    f"{given.flags[flag]}, got {ours}"
                )
        for owner in ("user", "item"):
            name, number = f"{owner}_id", f"num_{owner}_macro_nodes"
            if getattr(given, number) != getattr(spec, number):
                raise ValueError(
                    f"--grouping_from: {preparation.grouping_from} has --{number}="
                    f"{getattr(given, number)}, got {getattr(spec, number)}"
                )
            known = spec.vocabulary(name).known[0]
            theirs = given.vocabulary(name).known[0]
            digests = {
                _digest(filesystem.join(folder, "vocabulary", f"{name}.txt"), known)
                for folder in (data_dir, preparation.grouping_from)
            }
            if theirs != known or len(digests) != 1:
                raise ValueError(
                    f"--grouping_from: {preparation.grouping_from} must know the same {owner}s at "
                    f"the end of history: {theirs} are known there, and {known} here"
                )
        if given.grouping != grouping_checksum(given, preparation.grouping_from):
            raise ValueError(
                f"--grouping_from: {preparation.grouping_from} has macro nodes of later than "
                "history (input_pipeline.refresh --regroup); take one that it goes on from"
            )

    def path(self, *names: str) -> str:
        """Of a file of the other data set's `graph/`."""
        return filesystem.join(self._folder, *names)

    def description(self, owner: str) -> dict[str, Any]:
        """What its `graph.json` tells of a side at the first cut."""
        told: dict[str, Any] = json.loads(filesystem.read_text(self.path("1", "graph.json")))[owner]
        return told


def _digest(path: str, lines: int) -> str:
    """SHA-256 of the first lines of a file."""
    digest = hashlib.sha256()
    for block in stored.pieces(path):
        found = block.count(b"\n")
        if found > lines:
            block = b"\n".join(block.split(b"\n", lines)[:lines]) + b"\n"
        digest.update(block)
        lines -= found
        if lines <= 0:
            break
    return digest.hexdigest()

"""Versions under a model's base path: numbered, published whole or not at all, pruned."""

from __future__ import annotations

import re
import time

from absl import logging

from input_pipeline.files import filesystem

MARKER = "saved_model.pb"  # without it a version is not complete
_VERSION = re.compile(r"[0-9]{1,18}")


def numbers(base_path: str) -> list[int]:
    """The version numbers that are taken under a base path, ascending.

    Those of versions that are being copied are among them, or whose copying was broken off.
    """
    if not filesystem.exists(base_path):
        return []
    return sorted(int(name) for name in filesystem.listdir(base_path) if _VERSION.fullmatch(name))


def versions(base_path: str) -> list[int]:
    """The complete versions under a base path, ascending; none where it does not exist."""
    return [
        version
        for version in numbers(base_path)
        if filesystem.exists(filesystem.join(base_path, str(version), MARKER))
    ]


def choose_version(base_path: str, wanted: int | None) -> int:
    """`wanted`, or the time in seconds, or one more than the newest version where that is later.

    Raises:
      ValueError: `wanted` is not positive, or it exists.
    """
    existing = numbers(base_path)
    if wanted is None:
        return max(int(time.time()), *(version + 1 for version in existing), 1)
    if wanted < 1:
        raise ValueError(f"--version: must be at least 1, got {wanted}")
    if wanted in existing:
        raise ValueError(
            f"--version: {wanted} exists under {base_path} and is never overwritten; the newest is "
            f"{existing[-1]}"
        )
    return wanted


def publish(temporary: str, base_path: str, wanted: int | None) -> int:
    """Gives a finished export, a local directory, its place, and returns its version.

    To a local base path it is renamed. To a remote one it is copied, MARKER last, so that no server
    loads a part of it. Another exporter may take a version number first: the next one is tried
    then, unless it was `wanted`.

    Raises:
      ValueError: `wanted` exists.
      OSError, tf.errors.OpError: it cannot be moved or copied; nothing of it is left there.
    """
    filesystem.make_dirs(base_path)
    while True:
        version = choose_version(base_path, wanted)
        try:
            filesystem.publish(temporary, filesystem.join(base_path, str(version)))
            return version
        except FileExistsError:
            logging.info("version %d was taken meanwhile", version)


def prune(base_path: str, keep: int) -> list[int]:
    """Removes all but the `keep` newest versions (0: none is removed) and returns those removed.

    Each is taken away from servers first: renamed out of the base path, or robbed of the file that
    makes it complete. What is not complete is left alone: it may be on its way.
    """
    old = versions(base_path)[:-keep] if keep else []
    for version in old:
        path = filesystem.join(base_path, str(version))
        try:
            if filesystem.is_remote(path):
                filesystem.remove(filesystem.join(path, MARKER))
            else:
                path, found = filesystem.temporary_sibling(base_path), path
                filesystem.rename(found, path)
        except FileNotFoundError:
            continue  # another exporter is removing it
        filesystem.remove_tree(path)
    return old

"""Files of the data set that a model needs, kept beside its checkpoints.

A model class names them (`RankingModel.assets`) by their paths below the data set directory;
`<model_dir>/assets/` holds copies under the same paths, and config.json their SHA-256; `made/`
among them is what the model made of the others (`RankingModel.made_assets`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from input_pipeline.files import filesystem, stored
from mgoe_tf.models.base import MADE

ASSETS_DIR = "assets"
_BLOCK_BYTES = 1 << 24


def copy_assets(data_dir: str, model_dir: str, names: Sequence[str]) -> dict[str, str]:
    """Copies files of a data set into a model directory.

    Args:
      data_dir, model_dir: local or remote.
      names: paths below `data_dir`.

    Returns:
      The SHA-256 of each, by name.

    Raises:
      ValueError: the data set has no such file.
    """
    _require_files(data_dir, names)
    return {
        name: _copy(filesystem.join(data_dir, name), filesystem.join(model_dir, ASSETS_DIR, name))
        for name in names
    }


def write_made(model_dir: str, made: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Writes arrays into the assets of a model directory; returns the SHA-256 of each file."""
    checksums = {}
    for name, array in made.items():
        path = filesystem.join(model_dir, ASSETS_DIR, name)
        filesystem.make_dirs(os.path.dirname(path))
        filesystem.save_array(path, array)
        checksums[name] = checksum(path)
    return checksums


def made_names(names: Iterable[str]) -> tuple[str, ...]:
    """Those of some assets that a model made itself."""
    return tuple(name for name in names if name.startswith(MADE))


def require_unchanged(folder: str, checksums: Mapping[str, str]) -> None:
    """Raises ValueError naming a file of `folder` that is gone or whose SHA-256 is another."""
    for name, expected in checksums.items():
        path = filesystem.join(folder, name)
        found = checksum(path) if filesystem.exists(path) else "no file"
        if found != expected:
            raise ValueError(f"{path}: must have the SHA-256 {expected}, got {found}")


def checksum(path: str) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with filesystem.open_binary(path) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def local_assets(folder: str, names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Local paths of files of a folder by name, for as long as the context lasts.

    Raises:
      ValueError: the folder has no such file.
    """
    _require_files(folder, names)
    whole = all(filesystem.exists(filesystem.join(folder, name)) for name in names)
    if whole and not filesystem.is_remote(folder):
        yield {name: filesystem.join(folder, name) for name in names}
        return
    with tempfile.TemporaryDirectory() as temporary:
        paths = {name: os.path.join(temporary, name) for name in names}
        for name, path in paths.items():
            _copy(filesystem.join(folder, name), path)
        yield paths


def _require_files(folder: str, names: Sequence[str]) -> None:
    missing = [name for name in names if not stored.exists(filesystem.join(folder, name))]
    if missing:
        raise ValueError(f"{folder} has not the files {missing}, which the model needs")


def _copy(source: str, target: str) -> str:
    """Copies a file, whole where it lies in parts; returns the SHA-256 of what was written."""
    filesystem.make_dirs(os.path.dirname(target))
    digest = hashlib.sha256()
    with filesystem.open_binary(target, "wb") as writer:
        for block in stored.pieces(source):
            digest.update(block)
            writer.write(block)
    return digest.hexdigest()

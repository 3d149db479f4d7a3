"""Files and directories, local or remote: the only module that knows tensorflow-io.

Local paths go through Python alone, so importing this module and using it on local paths needs no
TensorFlow. A path `scheme://...` is remote and goes through `tf.io.gfile`: `gs://` natively, every
other scheme after tensorflow-io, which registers `s3://`, `hdfs://`, `az://` and `http://`, was
imported. Object stores have no directories and no atomic rename of many objects; `publish` says
what takes their place. A little long, to stay the only module of its kind.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from input_pipeline.files import local_walk
from input_pipeline.files.failures import doing
from input_pipeline.files.remote_file import RemoteFile

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")
_NATIVE_SCHEMES = frozenset({"gs", "file", "ram"})
_COPY_BYTES = 1 << 24
_BUFFER_BYTES = 1 << 20
_TEMPORARY = ".tmp-"

# A directory is complete when it has one of these at its top, so `publish` copies them last.
_MARKERS = frozenset({"dataset_spec.json", "saved_model.pb", "features.json"})


def _scheme(path: str) -> str | None:
    match = _SCHEME.match(path)
    return match.group(1) if match else None


def is_remote(path: str) -> bool:
    """Whether `path` is of the form scheme://..."""
    return _scheme(path) is not None


def prepare_remote(path: str) -> None:
    """Makes TensorFlow able to open `path`; for paths handed to tf.data or a checkpoint.

    Raises:
      ImportError: tensorflow-io is needed and does not work with the TensorFlow that is installed.
      ValueError: no file system is known for the scheme.
    """
    scheme = _scheme(path)
    if scheme is None or scheme in _NATIVE_SCHEMES:
        return
    import tensorflow as tf

    if scheme in tf.io.gfile.get_registered_schemes():
        return
    try:
        import tensorflow_io  # noqa: F401
    except Exception as error:  # Built for another TensorFlow, it fails in several ways.
        raise ImportError(
            f"{path}: {scheme}:// needs a tensorflow-io built for TensorFlow {tf.__version__}, "
            f"which cannot be imported: {error}"
        ) from error
    known = sorted(filter(None, tf.io.gfile.get_registered_schemes()))
    if scheme not in known:
        raise ValueError(
            f"{path}: no file system for {scheme}://, only {known}; if it should be there, "
            f"tensorflow-io was built for another TensorFlow than {tf.__version__}"
        )


def _gfile(path: str) -> Any:
    """`tf.io.gfile`, once the scheme of `path` can be opened."""
    prepare_remote(path)
    import tensorflow as tf

    return tf.io.gfile


def open_binary(path: str, mode: str = "rb") -> BinaryIO:
    """Opens `path` for reading (`rb`) or writing (`wb`)."""
    if mode not in ("rb", "wb"):
        raise ValueError(f"mode must be rb or wb, got {mode!r}")
    if not is_remote(path):
        if mode == "rb":
            return open(path, mode)  # type: ignore[return-value]
        with doing("writing", path):
            return io.BufferedWriter(_WrittenFile(path, mode), _BUFFER_BYTES)
    file = RemoteFile(path, _gfile(path).GFile(path, mode), mode)
    if mode == "rb":
        return io.BufferedReader(file, _BUFFER_BYTES)
    return io.BufferedWriter(file, _BUFFER_BYTES)


class _WrittenFile(io.FileIO):
    """A local file whose path is named where it cannot be written, on a full disk, say."""

    def write(self, data: Any) -> int:
        with doing("writing", str(self.name)):
            return super().write(data)


def read_bytes(path: str) -> bytes:
    """The contents of a file."""
    with open_binary(path) as file:
        return file.read()


def read_text(path: str) -> str:
    """The text of a UTF-8 file; ValueError where it is none."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be text in UTF-8: {error}") from None


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file whole: a reader finds the old content or the new one, never a part of it."""
    if is_remote(path):  # an object appears when it is closed
        with open_binary(path, "wb") as file:
            file.write(content)
        return
    temporary = temporary_sibling(path)
    try:
        with open_binary(temporary, "wb") as file:
            file.write(content)
        with doing("writing", path):
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise


def write_text(path: str, text: str) -> None:
    """Writes a UTF-8 file whole, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


def load_array(path: str) -> NDArray[Any]:
    """Reads one array of a .npy file."""
    if is_remote(path):
        return np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
    return np.load(path, allow_pickle=False)


def save_array(path: str, array: NDArray[Any]) -> None:
    """Writes one array as a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def load_arrays(path: str) -> dict[str, NDArray[Any]]:
    """Reads all arrays of a .npz file by name."""
    with np.load(io.BytesIO(read_bytes(path)), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def save_arrays(path: str, arrays: Mapping[str, NDArray[Any]], *, compressed: bool = False) -> None:
    """Writes arrays by name as an .npz file."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def exists(path: str) -> bool:
    """Whether there is a file or directory; on object stores: an object, or any below `path`/."""
    return _gfile(path).exists(path) if is_remote(path) else os.path.exists(path)


def is_directory(path: str) -> bool:
    """Whether there is a directory of that path; in an object store, anything below it."""
    return _gfile(path).isdir(path) if is_remote(path) else os.path.isdir(path)


def size_bytes(path: str) -> int:
    """The size of a file."""
    return _gfile(path).stat(path).length if is_remote(path) else os.path.getsize(path)


def remote_glob(pattern: str) -> list[str]:
    """The remote paths that match a pattern as their file system reads it; see `patterns.glob`."""
    return _gfile(pattern).glob(pattern)


def listdir(path: str) -> list[str]:
    """The names in a directory, sorted."""
    names = _gfile(path).listdir(path) if is_remote(path) else os.listdir(path)
    return sorted(name.rstrip("/") for name in names)


def make_dirs(path: str) -> None:
    """Makes a directory and those above it where they do not exist."""
    if not is_remote(path):
        with doing("making the directory", path):
            os.makedirs(path, exist_ok=True)
    elif "/" in path.partition("://")[2].rstrip("/"):  # else a bucket, which is there or is not
        _gfile(path).makedirs(path)


def join(path: str, *names: str) -> str:
    """Joins parts of a path; remote paths always use `/`."""
    if is_remote(path):
        return "/".join([path.rstrip("/"), *names])
    return os.path.join(path, *names)


def remove(path: str) -> None:
    """Removes one file."""
    if is_remote(path):
        _gfile(path).remove(path)
    else:
        os.remove(path)


def remove_tree(path: str) -> None:
    """Removes a directory and all that it holds, or a file, if it exists."""
    if not exists(path):
        return
    if not is_directory(path):
        remove(path)
    elif is_remote(path):
        _gfile(path).rmtree(path)
    else:
        shutil.rmtree(path)


def remove_tree_quietly(path: str) -> None:
    """As `remove_tree`, as well as it can be: for what is left behind by another error."""
    with contextlib.suppress(Exception):  # what went wrong first is told
        remove_tree(path)


def copy(source: str, target: str) -> None:
    """Copies one file; either side may be remote."""
    with open_binary(source) as reader, open_binary(target, "wb") as writer:
        while block := reader.read(_COPY_BYTES):
            writer.write(block)


def link(source: str, target: str) -> None:
    """Gives a file that is never written to again a second name, or copies it where none can be.

    Raises:
      FileExistsError: the name is taken; what has it may be the file itself, and is left alone.
    """
    if not is_remote(source) and not is_remote(target):
        try:
            os.link(source, target)
            return
        except FileExistsError:
            raise
        except OSError:  # across file systems, or where there are no links
            pass
    copy(source, target)


def rename(source: str, target: str) -> None:
    """Renames a file or a local directory; for remote directories see `publish`."""
    if not is_remote(source) and not is_remote(target):
        os.replace(source, target)
        return
    if is_directory(source):
        raise ValueError(f"rename: the source must be a file or local, got directory {source}")
    copy(
        source, target
    )  # An object store renames by copying too, and S3 refuses to rename empty objects.
    remove(source)


def temporary_sibling(path: str) -> str:
    """A fresh hidden name beside `path`, to write to before `rename`.

    For directories see `temporary_directory`.
    """
    head, separator, name = path.rstrip("/").rpartition("/")
    return f"{head}{separator}.{name}{_TEMPORARY}{secrets.token_hex(4)}"


def temporary_siblings(path: str) -> list[str]:
    """The names that `temporary_sibling` has given beside a local `path` and that are there."""
    head, separator, name = path.rstrip("/").rpartition("/")
    folder = head + separator
    names = listdir(folder or ".") if exists(folder or ".") else []
    return [folder + found for found in names if found.startswith(f".{name}{_TEMPORARY}")]


def files_below(path: str) -> list[str]:
    """The paths of all files below a directory, relative to it and sorted.

    Links to directories are followed, and no directory is met twice.

    Raises:
      OSError: a directory cannot be read.
    """
    walk = _gfile(path).walk(path) if is_remote(path) else local_walk.walk(path)
    root = path.rstrip("/") + "/"
    return sorted(join(folder, name)[len(root) :] for folder, _, names in walk for name in names)


def publish(temporary: str, final: str) -> None:
    """Gives a finished directory its final name, so that no reader ever accepts a part of it.

    Locally this is one rename. To an object store a directory is copied file by file: the file that
    readers require (one of `_MARKERS`) comes last, and the temporary directory
    is removed after it. Where copying fails, what was copied is removed again; a process that is
    killed meanwhile leaves a directory without that file, which nothing accepts. An object store
    does not tell two writers apart that publish to one name at the same moment.

    Raises:
      FileExistsError: `final` exists.
    """
    taken = FileExistsError(f"{final}: exists already and is never overwritten")
    if exists(final):
        raise taken
    if not is_remote(temporary) and not is_remote(final):
        try:
            os.rename(temporary, final)
        except OSError as error:  # somebody else was quicker
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise taken from None
            with doing("writing", final):
                raise
        return
    try:
        for name in sorted(files_below(temporary), key=lambda name: (name in _MARKERS, name)):
            target = join(final, name)
            make_dirs(target.rpartition("/")[0])
            copy(join(temporary, name), target)
    except BaseException:
        remove_tree_quietly(final)
        raise
    remove_tree(temporary)

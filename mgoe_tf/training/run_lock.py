"""One run at a time in a model directory, one search in a study directory.

The operating system holds the lock for a process and lets it go with the process, however that
ends: nothing has to be removed after a kill. On a network file system it holds as far as that
passes locks on (NFS 4 does, between machines; some ask for it when they are mounted). An object
store has no locks: there two runs of one directory are refused only once the first has saved a
checkpoint, and whoever starts them has to keep them apart.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
from collections.abc import Iterator

from absl import logging

from input_pipeline.files import filesystem
from input_pipeline.files.failures import doing
from mgoe_tf.training.run_card import now

LOCK_FILE = "run.lock"
_UNSUPPORTED = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})


@contextlib.contextmanager
def run_lock(directory: str, *, flag: str = "model_dir", kind: str = "run") -> Iterator[None]:
    """Keeps other runs out of a local directory, which is made where it is missing.

    Args:
      directory: a model directory, or what else belongs to one process at a time.
      flag: which names it, without hyphens.
      kind: what the process does.

    Raises:
      ValueError: another run is writing there; names its process, its host and when it began.
    """
    if filesystem.is_remote(directory):
        yield
        return
    filesystem.make_dirs(directory)
    path = os.path.join(directory, LOCK_FILE)
    descriptor = _locked(path, f"--{flag}={directory}: another {kind} is writing there")
    try:
        yield
    finally:
        # while it is held: whoever has opened it meanwhile sees that it is another file by then
        with contextlib.suppress(OSError):
            os.remove(path)
        os.close(descriptor)


def _locked(path: str, refusal: str) -> int:
    """The descriptor of the file, locked and with who holds it; what is refused begins so."""
    while True:
        with doing("writing", path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 4096).decode("utf-8", "replace")
            os.close(descriptor)
            raise ValueError(
                f"{refusal}, {_told(holder)}. Wait until it has ended, end it, or name another "
                "directory"
            ) from None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                os.close(descriptor)
                with doing("locking", path):
                    raise
            logging.warning("%s: no locks here, so that a second run would not be noticed", path)
        if _is_still(path, descriptor):
            break
        os.close(descriptor)  # the run before removed it after it was opened here
    held = {"process": os.getpid(), "host": platform.node(), "begun": now()}
    try:
        with doing("writing", path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, (json.dumps(held) + "\n").encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_still(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _told(holder: str) -> str:
    try:
        held = json.loads(holder)
        return f"process {held['process']} on {held['host']} since {held['begun']}"
    except (ValueError, KeyError, TypeError):
        return "which has not said yet who it is"

"""The versions of one model: found by polling, loaded, swapped, unloaded."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf
from absl import logging

from export import publication
from export.server import errors
from export.server.loading import load_servable
from export.server.servable import Servable
from input_pipeline.files import filesystem

LOADING, AVAILABLE, UNLOADING, END = 20, 30, 40, 50  # ModelVersionStatus.State
_UNKNOWN = 2  # the canonical code
_NUMBER = re.compile(r"[0-9]+")  # zeros at the start do not count: 040 is version 40


@dataclasses.dataclass(frozen=True)
class VersionState:
    """Where a version is in its life, and the canonical code and text of what ended it."""

    state: int
    code: int = 0
    message: str = ""


@dataclasses.dataclass
class _Failure:
    tries: int
    next_try: float


Policy = Callable[[Sequence[int]], list[int]]


def newest(versions: Sequence[int], count: int = 1) -> list[int]:
    """The default policy: the `count` newest of ascending versions."""
    return list(versions)[-count:]


class ModelVersions:
    """Serves versions under a base path; a new one answers before an old one is unloaded.

    Args:
      name: the model's name in requests.
      base_path: the directory of version directories, local or remote.
      policy: which of the versions that there are, ascending, to serve.
      max_load_retries, retry_interval_seconds: how often, and how far apart, a version that failed
        to load is tried again.
      load: makes a servable of a version and its directory.
    """

    def __init__(
        self,
        name: str,
        base_path: str,
        policy: Policy = newest,
        max_load_retries: int = 5,
        retry_interval_seconds: float = 60.0,
        load: Callable[[int, str], Servable] = load_servable,
    ) -> None:
        self.name = name
        self.base_path = base_path
        self.policy = policy
        self._max_load_retries = max_load_retries
        self._retry_interval_seconds = retry_interval_seconds
        self._load = load
        self._lock = threading.Lock()  # guards the two below, never held while loading
        self._live: dict[int, Servable] = {}
        self._states: dict[int, VersionState] = {}
        self._failures: dict[int, _Failure] = {}
        self._polling = threading.Lock()
        self._closed = False

    def _find(self) -> dict[int, str]:
        """Paths of the complete versions by number; ValueError where the base path is missing."""
        if not filesystem.exists(self.base_path):
            raise ValueError(f"Could not find base path {self.base_path} for servable {self.name}")
        found = {}
        for name in sorted(filesystem.listdir(self.base_path)):  # of two names, the last one counts
            path = filesystem.join(self.base_path, name)
            is_number = _NUMBER.fullmatch(name) and int(name) < 2**63
            if is_number and filesystem.exists(filesystem.join(path, publication.MARKER)):
                found[int(name)] = path
        return dict(sorted(found.items()))

    def poll(self) -> None:
        """Looks once for versions and loads those wanted; failures become states, no exceptions."""
        with self._polling:
            if self._closed:
                return
            try:
                found = self._find()
            except (ValueError, OSError, tf.errors.OpError) as error:
                logging.error(
                    "FileSystemStoragePathSource encountered a filesystem access error: %s", error
                )
                return
            wanted = [version for version in self.policy(list(found)) if version in found]
            if not wanted:
                logging.log_every_n_seconds(
                    logging.WARNING,
                    "No versions of servable %s found under base path %s. Did you forget to name "
                    "your leaf directory as a number (eg. '/1/')?",
                    60,
                    self.name,
                    self.base_path,
                )
            for version in set(self._failures) - set(wanted):
                if self._states[version].state != END:  # it would have been tried again
                    self._set_state(version, VersionState(END, 1, "Load cancelled"))
                del self._failures[version]
            for version in wanted:
                if version not in self._live:
                    self._try_load(version, found[version])
            if wanted and not any(version in self._live for version in wanted):
                return  # the old versions go on answering
            for version in [version for version in self._live if version not in wanted]:
                self._unload(version)

    def _try_load(self, version: int, path: str) -> None:
        failure = self._failures.get(version)
        if failure and (
            failure.tries > self._max_load_retries or time.monotonic() < failure.next_try
        ):
            return
        self._set_state(version, VersionState(LOADING))
        try:
            servable = self._load(version, path)
        except Exception as error:  # whatever a broken export raises, the server goes on
            self._failed(version, error, failure.tries + 1 if failure else 1)
            return
        self._failures.pop(version, None)
        with self._lock:
            self._live[version] = servable
            self._states[version] = VersionState(AVAILABLE)
        logging.info(
            "Successfully loaded servable version {name: %s version: %d}", self.name, version
        )

    def _failed(self, version: int, error: Exception, tries: int) -> None:
        """The version is still LOADING until its last try, as on the real server."""
        logging.error(
            "Loading servable: {name: %s version: %d} failed: %s", self.name, version, error
        )
        retry = time.monotonic() + self._retry_interval_seconds
        self._failures[version] = _Failure(tries, retry)
        if tries > self._max_load_retries:
            code, message = _UNKNOWN, f"{type(error).__name__}: {error}"
            if isinstance(error, tf.errors.OpError):
                code, message = error.error_code, error.message
            self._set_state(version, VersionState(END, code, message))

    def _unload(self, version: int) -> None:
        with self._lock:
            servable = self._live.pop(version)
            self._states[version] = VersionState(UNLOADING)
        servable.unload()
        del servable
        # A loaded graph lies in reference cycles: its memory would wait for the collector, which
        # passes over everything rarely where much is alive.
        gc.collect()
        self._set_state(version, VersionState(END))
        logging.info("Done unloading servable version {name: %s version: %d}", self.name, version)

    def _set_state(self, version: int, state: VersionState) -> None:
        with self._lock:
            self._states[version] = state

    def states(self) -> dict[int, VersionState]:
        """Every version seen so far, newest first as the real server lists them."""
        with self._lock:
            return dict(sorted(self._states.items(), reverse=True))

    def available(self) -> list[int]:
        """The versions that answer, ascending."""
        with self._lock:
            return sorted(self._live)

    @contextlib.contextmanager
    def in_use(self, version: int | None = None) -> Iterator[Servable]:
        """The live version of that number, or the newest, kept loaded; raises NOT_FOUND."""
        with self._lock:
            chosen = max(self._live, default=None) if version is None else version
            servable = self._live.get(chosen)  # type: ignore[arg-type]
            if servable is not None:
                servable.acquire()  # under the lock: unloading takes a version out of `_live` first
        if servable is None:
            wanted = (
                f"Latest({self.name})" if version is None else f"Specific({self.name}, {version})"
            )
            raise errors.not_found(f"Servable not found for request: {wanted}")
        try:
            yield servable
        finally:
            servable.release()

    def close(self) -> None:
        """Unloads every version, after the requests under way, and loads no more."""
        with self._polling:
            self._closed = True
            for version in list(self._live):
                self._unload(version)

"""run.json: what a run was made of, for whoever finds its directory later."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import time
from importlib import metadata
from typing import Any

import tensorflow as tf

import mgoe_tf
from input_pipeline.files import filesystem
from input_pipeline.files.json_file import read_json
from input_pipeline.spec import DatasetSpec
from mgoe_tf.training import checkpoints
from mgoe_tf.training.loop import Hook, Run

RUN_FILE = "run.json"
_PACKAGES = ("tensorflow", "tf_keras", "tensorflow-recommenders", "numpy")


class RunCard(Hook):
    """Writes run.json at the beginning, and the end of each part of the run that a process trained.

    Args:
      model_dir: where it is written.
      spec: of the data set.
      flags: options by name.
      weights: how many the model has.
    """

    def __init__(
        self, model_dir: str, spec: DatasetSpec, flags: dict[str, Any], *, weights: int
    ) -> None:
        self._path = filesystem.join(model_dir, RUN_FILE)
        self._spec = spec
        self._flags = flags
        self._weights = weights

    def begin(self, run: Run) -> None:
        sessions = []
        if run.position.step and filesystem.exists(self._path):
            advice = "It is for people alone: delete it, and the run goes on without what it told"
            sessions = read_json(self._path, advice)["sessions"]
        self._session: dict[str, Any] = {
            "host": platform.node(),
            "process": os.getpid(),
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "devices": [device.name for device in tf.config.list_logical_devices()],
            "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
            "versions": versions(),
            "begun": now(),
            "begun_at_step": run.position.step,
        }
        self._sessions = [*sessions, self._session]
        self._write()

    def after_epoch(self, run: Run) -> None:
        self._tell(run)

    def end(self, run: Run) -> None:
        self._tell(run)

    def _tell(self, run: Run) -> None:
        self._session |= {
            "ended": now(),
            "ended_at_step": run.position.step,
            "epochs_finished": run.position.epoch,
            "seconds_waited_for_input": round(run.waited_seconds, 3),
        }
        self._write()

    def _write(self) -> None:
        checkpoints.write_json(
            self._path,
            {
                "seed": self._flags.get("seed"),
                "flags": self._flags,
                "weights": self._weights,
                "data": {
                    "checksum": data_checksum(self._spec),
                    "fingerprint": self._spec.fingerprint(),
                    "rows": self._spec.counts.get("rows"),
                },
                "sessions": self._sessions,
            },
        )


def data_checksum(spec: DatasetSpec) -> str:
    """SHA-256 of the spec, which holds those of the log and of the vocabularies.

    Whether a model hashes the ids does not count.
    """
    return hashlib.sha256(spec.with_hashed_ids(0).to_json().encode()).hexdigest()


def versions() -> dict[str, str]:
    """Of Python, this package and those that training computes with."""
    return {
        "python": platform.python_version(),
        "mgoe_tf": mgoe_tf.__version__,
        **{name: metadata.version(name) for name in _PACKAGES},
    }


def flags_of(*options: Any) -> dict[str, Any]:
    """The fields of some options together."""
    return {name: value for part in options for name, value in dataclasses.asdict(part).items()}


def now() -> str:
    """The time in UTC, to the second, in ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())

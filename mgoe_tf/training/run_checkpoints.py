"""The checkpoints that a run goes on from, and the one of its best epoch.

<model_dir>/checkpoints/
  latest/ckpt-<n>...         model, optimizer, weighting and mean losses so far
  latest/position-<n>.json   where the run stood (`Position`)
  best/ckpt-<epoch>...       the model alone; its moving average where there is one
"""

from __future__ import annotations

import contextlib
import re

import tensorflow as tf

from input_pipeline.files import filesystem
from input_pipeline.files.failures import doing
from mgoe_tf.training import checkpoints
from mgoe_tf.training.position import Position
from mgoe_tf.training.step import TrainingStep

_POSITION = re.compile(r"position-(\d+)\.json")


class RunCheckpoints:
    """Saves and restores a run.

    Args:
      model_dir: the model directory.
      step: whose model, optimizer, weighting and losses are saved.
      keep: how many of the latest checkpoints are kept.
    """

    def __init__(self, model_dir: str, step: TrainingStep, *, keep: int = 1) -> None:
        self._folder = filesystem.join(model_dir, "checkpoints", "latest")
        self._state = tf.train.Checkpoint(
            model=step.model, optimizer=step.optimizer, task=step.task, weighting=step.weighting
        )
        self._latest = checkpoints.manager(self._state, model_dir, "latest", keep=keep)
        best = tf.train.Checkpoint(model=step.model)
        self._best = checkpoints.manager(best, model_dir, "best")

    def restore(self) -> Position:
        """Restores the latest checkpoint, if there is one; returns where the run stands.

        Raises:
          ValueError: it is damaged, or of another version.
        """
        path = self._latest.latest_checkpoint
        if path is None:
            return Position()
        position = Position.read(self._position_file(_number(path)))
        checkpoints.restore(self._state, path)
        return position

    def save(self, position: Position) -> None:
        """Saves the run. Whoever is killed meanwhile finds the checkpoint before this one."""
        last = self._latest.latest_checkpoint
        number = _number(last) + 1 if last else 1
        filesystem.make_dirs(self._folder)
        position.write(self._position_file(number))
        _save(self._latest, self._folder, number)
        kept = {_number(path) for path in self._latest.checkpoints}
        for name in filesystem.listdir(self._folder):
            match = _POSITION.fullmatch(name)
            if match and int(match[1]) not in kept:
                filesystem.remove(filesystem.join(self._folder, name))

    def save_best(self, epoch: int) -> None:
        """Saves the model as it is after an epoch, counted from 1."""
        _save(self._best, self._best.directory, epoch)

    def _position_file(self, number: int) -> str:
        return filesystem.join(self._folder, f"position-{number}.json")


def best_epoch(model_dir: str) -> int | None:
    """The epoch, counted from 1, whose model is kept as the best; None before there is one."""
    folder = filesystem.join(model_dir, "checkpoints", "best")
    path = tf.train.latest_checkpoint(folder) if filesystem.exists(folder) else None
    return None if path is None else _number(path)


def _save(manager: tf.train.CheckpointManager, folder: str, number: int) -> None:
    """Saves a checkpoint, or leaves nothing of it.

    Raises:
      FileError: it cannot be written; names the folder and why.
    """
    with doing(f"saving checkpoint {number} in", folder):
        try:
            manager.save(number)
        except BaseException:
            saved = tf.train.latest_checkpoint(folder)
            if saved is None or _number(saved) != number:
                _remove_parts(folder, number)
            raise


def _remove_parts(folder: str, number: int) -> None:
    parts = re.compile(rf"(ckpt-{number}[._].*|position-{number}\.json)")
    with contextlib.suppress(OSError, tf.errors.OpError):  # why it cannot be written is told
        for name in filesystem.listdir(folder):
            if parts.fullmatch(name):
                filesystem.remove_tree(filesystem.join(folder, name))


def _number(path: str) -> int:
    return int(path.rpartition("-")[2])

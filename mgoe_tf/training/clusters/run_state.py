"""What the processes of a parameter-server run tell each other: files of the model directory.

<model_dir>/checkpoints/
  latest/             as of any run, and the order of the rows of id tables (`row_order.py`)
  best/               rows in the order of their indices, as of any run
  validated.json      the latest evaluated epoch and the best one's score, a `Position`
  finished.json       how many epochs the run has come to, of those that were asked for
"""

from __future__ import annotations

import math
import re
import time

import tensorflow as tf

from input_pipeline.files import filesystem
from input_pipeline.files.json_file import read_json
from mgoe_tf.layers.row_order import RowOrders, to_index_order
from mgoe_tf.models.base import RankingModel
from mgoe_tf.training import checkpoints
from mgoe_tf.training.optimizers import inner_optimizer
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.position import Position
from mgoe_tf.training.run_checkpoints import RunCheckpoints
from mgoe_tf.training.step import TrainingStep
from mgoe_tf.training.stopping import StopRequest

_POSITION = re.compile(r"position-(\d+)\.json")
POLL_SECONDS = 1.0
# For how long a process that was told to end waits for the evaluator.
_EXIT_SECONDS = 20.0
# Options that tell where a run ends, and that --resume may change.
_ENDS = ("epochs", "patience")


def row_orders(model: RankingModel) -> RowOrders:
    """Those of the id tables of a model; ids that are hashed lie apart already."""
    embeddings = model.embeddings
    sizes = {n: size for n, size in embeddings.sizes.items() if n not in embeddings.hashed}
    return RowOrders({name: size + 1 for name, size in sizes.items()})


class ClusterCheckpoints(RunCheckpoints):
    """Saves and restores a run whose rows lie apart, and evaluates its epochs beside it.

    A checkpoint of a finished epoch is kept until that was evaluated.

    Args:
      model_dir: the model directory.
      step: as of `RunCheckpoints`.
      orders: of the rows.
      keep: how many of the latest checkpoints are kept, at least 2.
      stop: a request not to wait for long.
    """

    def __init__(
        self,
        model_dir: str,
        step: TrainingStep,
        orders: RowOrders,
        *,
        keep: int = 2,
        stop: StopRequest | None = None,
    ) -> None:
        self._stop = StopRequest() if stop is None else stop
        self._keep = max(2, keep)
        super().__init__(model_dir, step, keep=self._keep)
        self._state.row_orders = orders
        self._orders = orders
        self._expected = orders.by_table()
        self._model_dir = model_dir

    def restore(self) -> Position:
        position = super().restore()
        self._require_order()
        return position

    def _require_order(self) -> None:
        found = self._orders.by_table()
        if found != self._expected:
            raise ValueError(
                f"{self._model_dir}: the checkpoint is of another version: rows lie in the order "
                f"{found}, expected {self._expected}"
            )

    def epochs(self) -> dict[int, int]:
        """The checkpoints of finished epochs that are there: from the epoch to their number."""
        latest = tf.train.latest_checkpoint(self._folder)
        if latest is None:
            return {}
        found: dict[int, int] = {}
        for name in filesystem.listdir(self._folder):
            match = _POSITION.fullmatch(name)
            if not match or int(match[1]) > int(latest.rpartition("-")[2]):
                continue
            path = self._position_file(int(match[1]))
            try:
                position = Position.read(path)
            except (ValueError, OSError):
                if filesystem.exists(path):
                    raise
                continue  # the chief has removed it meanwhile
            if position.epoch and not position.batch:
                found.setdefault(position.epoch, int(match[1]))
        return found

    def restore_epoch(self, number: int) -> Position:
        """Restores a checkpoint of `epochs`."""
        path = filesystem.join(self._folder, f"ckpt-{number}")
        checkpoints.restore(self._state, path)
        self._require_order()
        return Position.read(self._position_file(number))

    def save(self, position: Position) -> None:
        """Saves the run, once the checkpoint that makes room for it needs no evaluation."""
        kept = self._latest.checkpoints
        if len(kept) == self._keep:
            oldest = int(kept[0].rpartition("-")[2])
            for epoch, number in self.epochs().items():
                if number == oldest:
                    self.wait_for(epoch)
        super().save(position)

    def validated(self) -> Position:
        """What was last evaluated."""
        path = filesystem.join(self._model_dir, "checkpoints", "validated.json")
        return Position.read(path) if filesystem.exists(path) else Position()

    def write_validated(self, position: Position) -> None:
        position.write(filesystem.join(self._model_dir, "checkpoints", "validated.json"))

    def wait_for(self, epoch: int) -> None:
        """Waits until an epoch was evaluated, as long as its checkpoint is there to be.

        Not for long once there was a request to stop: the evaluator may have heard it, too.
        """
        last = math.inf
        while self.validated().epoch < epoch and epoch in self.epochs():
            now = time.monotonic()
            if self._stop.number is not None:
                last = min(last, now + _EXIT_SECONDS)
            if now >= last:
                return
            time.sleep(POLL_SECONDS)

    def finished(self, options: TrainOptions) -> int | None:
        """The epochs of the run, once it has come to the end that the options ask for.

        What an earlier process wrote, which had been asked for less, does not count.
        """
        path = self._finished_file
        if not filesystem.exists(path):
            return None
        found = read_json(path, "Delete it, and go on with --resume")
        epochs: int = found["epochs"]
        return epochs if found.get("asked") == _asked(options) else None

    def write_finished(self, epochs: int, options: TrainOptions) -> None:
        """Says that the run has come to the end that the options ask for."""
        contents = {"epochs": epochs, "asked": _asked(options)}
        checkpoints.write_json(self._finished_file, contents)

    def remove_finished(self) -> None:
        """Says that the run goes on."""
        if filesystem.exists(self._finished_file):
            filesystem.remove(self._finished_file)

    @property
    def _finished_file(self) -> str:
        return filesystem.join(self._model_dir, "checkpoints", "finished.json")


def _asked(options: TrainOptions) -> dict[str, int]:
    return {name: getattr(options, name) for name in _ENDS}


def put_in_index_order(step: TrainingStep, orders: RowOrders) -> None:
    """Puts the rows of whole tables, and what the optimizer keeps of them, in their order."""
    tables = step.model.embeddings.tables
    for name, a in orders.by_table().items():
        for variable in (tables[name], *inner_optimizer(step.optimizer).slots(tables[name])):
            to_index_order(variable, a)

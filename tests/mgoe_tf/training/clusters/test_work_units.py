"""Units: the rows of a shard each, every one of them."""

import dataclasses
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.dataset import open_examples
from input_pipeline.records.bad_records import BadRecord
from input_pipeline.spec import read_spec
from mgoe_tf.layers.id_lookup import IdLookup
from mgoe_tf.training.batches import TrainingBatches
from mgoe_tf.training.clusters.coordinator import ThisProcess, UnitRun
from mgoe_tf.training.clusters.work_units import Done, WorkUnits
from mgoe_tf.training.loop import Hook, Run
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.position import Position
from mgoe_tf.training.stopping import StopRequest

OPTIONS = TrainOptions(batch_size=64, oov_rate=0.0, distribution="parameter_server")
NAMES = ("user_id", "item_id", "category_id")


def make(data_dir: str, options: TrainOptions = OPTIONS):
    spec = read_spec(data_dir)
    examples = open_examples(data_dir, spec, ("history", "train"), NAMES)
    folder = str(pathlib.Path(data_dir) / "vocabulary")
    lookup = IdLookup(spec=spec, vocabulary_dir=folder, names=NAMES)
    return WorkUnits(examples, options), TrainingBatches(examples, lookup, spec, options)


def rows_of(units: WorkUnits, source: TrainingBatches, epoch: int, number: int):
    """(user, item, click) of each row, in order, and the sizes of the batches."""
    read = tf.function(lambda *unit: units.batches(type(units.unit(0, 0))(*unit), source))
    rows, sizes = [], []
    for features, labels in read(*units.unit(epoch, number)):
        users = features["user_id"].numpy()
        if "user_row" in features:
            users = users[features["user_row"].numpy()]
        items, clicks = features["item_id"].numpy(), labels["click"].numpy()
        rows += zip(users.tolist(), items.tolist(), clicks.tolist(), strict=True)
        sizes.append(len(items))
    return rows, sizes


def expected_rows(source: TrainingBatches):
    found = []
    for columns in source.examples.ordered_batches(512, encode=source.encode):
        users = columns["user_id"].numpy()
        if "user_row" in columns:
            users = users[columns["user_row"].numpy()]
        items, clicks = columns["item_id"].numpy(), columns["label_click"].numpy()
        found += zip(users.tolist(), items.tolist(), clicks.tolist(), strict=True)
    return sorted(found)


@pytest.mark.parametrize("layout", ["data_dir", "request_data_dir"])
def test_an_epoch_has_every_row_once(layout: str, request: pytest.FixtureRequest) -> None:
    units, source = make(request.getfixturevalue(layout))
    assert sorted(units.order(0).tolist()) == list(range(len(units)))
    found = [rows_of(units, source, 0, number) for number in range(len(units))]
    assert sorted(row for rows, _ in found for row in rows) == expected_rows(source)
    assert all(0 < size <= 64 for _, sizes in found for size in sizes)
    assert [len(sizes) for _, sizes in found] == pytest.approx(units.steps, abs=2)
    full = [size for _, sizes in found for size in sizes[:-1]]
    assert np.mean(full) > 48  # few batches are much smaller than they may be


def test_a_user_has_few_rows_of_a_batch(request_data_dir: str) -> None:
    units, source = make(request_data_dir)
    for features, _ in units.batches(units.unit(0, 0), source).take(3):
        rows = features["user_row"].numpy()
        # 60 users: were requests whole, a batch would have some five
        assert len(np.unique(features["user_id"].numpy()[rows])) > 12


def test_order_depends_on_epoch_and_unit_alone(data_dir: str) -> None:
    units, source = make(data_dir)
    again, other_source = make(data_dir)
    first = rows_of(units, source, 3, 1)
    assert first == rows_of(again, other_source, 3, 1)
    other = rows_of(units, source, 4, 1)
    assert first != other
    assert sorted(first[0]) == sorted(other[0])
    assert units.order(3).tolist() == again.order(3).tolist() != units.order(4).tolist()


def test_bad_records_are_left_out(data_dir: str) -> None:
    units, source = make(data_dir)
    path = source.examples.files[0]
    bad = (BadRecord(path, 5, "tried"), BadRecord(path, 40, "cut", is_readable=False))
    examples = dataclasses.replace(source.examples, bad_records=bad)
    source = dataclasses.replace(source, examples=examples)
    units = WorkUnits(examples, OPTIONS)
    rows, _ = rows_of(units, source, 0, 0)
    assert len(rows) == 39


class _Seen(Hook):
    def __init__(self, stop: StopRequest | None = None, after: int = 0) -> None:
        self.units: list[int] = []
        self._stop, self._after = stop, after

    def after_step(self, run: Run, losses) -> None:
        self.units.append(int(losses["rows"]))
        if self._stop and len(self.units) == self._after:
            self._stop.number = 15


class _LateWorkers(ThisProcess):
    """Three units under way: none is done before it is asked for."""

    ahead = 3

    def schedule(self, function, unit):
        return lambda: function(*unit)


def a_run(data_dir: str, position: Position, stop: StopRequest, hook: Hook, block_steps: int = 0):
    units, _ = make(data_dir)
    shards = {units.unit(0, n).path: n for n in range(len(units))}

    def function(path, length, left_out, seed) -> Done:
        return Done(shards[path], units.steps[shards[path]], None, None)

    run = Run(position, len(units), 1)
    return units, UnitRun(units, function, _LateWorkers(), run, [hook], block_steps, stop)


def test_a_block_has_the_units_that_come_next(data_dir: str) -> None:
    hook = _Seen()
    units, run = a_run(data_dir, Position(batch=1), StopRequest(), hook)
    run.train_block()
    assert hook.units == units.order(0)[1:].tolist()
    assert run.run.position.batch == len(units)
    assert run.run.position.step == sum(units.steps[n] for n in hook.units)


def test_blocks_end_with_so_many_steps(data_dir: str) -> None:
    hook = _Seen()
    units, run = a_run(data_dir, Position(), StopRequest(), hook, block_steps=1)
    run.train_block()
    assert hook.units == units.order(0)[:1].tolist()


def test_a_request_to_stop_lets_units_under_way_end(data_dir: str) -> None:
    stop = StopRequest()
    hook = _Seen(stop, after=1)
    units, run = a_run(data_dir, Position(), stop, hook)
    run.train_block()
    # the first is asked for with two more under way
    assert hook.units == units.order(0)[:3].tolist()
    assert run.run.position.batch == 3


def test_a_run_on_one_machine_imports_nothing_of_it() -> None:
    code = (
        "import sys, mgoe_tf.train, mgoe_tf.evaluate, export.savedmodel; "
        "print([m for m in sys.modules if 'training.clusters' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

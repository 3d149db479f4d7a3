"""A chief that trains the same units on a cluster and in its own process, and prints differences.

python -m tests.mgoe_tf.training.clusters.parity_chief DATA_DIR MODEL_DIR, with TF_CONFIG; MODEL_DIR
holds a run, whose vocabulary is read.
"""

import dataclasses
import json
import sys

import numpy as np
import tensorflow as tf

from input_pipeline.dataset import open_examples
from input_pipeline.spec import read_spec
from mgoe_tf.models.registry import build_model
from mgoe_tf.training import checkpoints
from mgoe_tf.training.batches import TrainingBatches
from mgoe_tf.training.clusters.coordinator import ThisProcess
from mgoe_tf.training.clusters.lost import wait_for_servers
from mgoe_tf.training.clusters.parameter_server import UncountedTask, make_cluster
from mgoe_tf.training.clusters.place import read_place
from mgoe_tf.training.clusters.run_state import put_in_index_order, row_orders
from mgoe_tf.training.clusters.servers import prepare_process
from mgoe_tf.training.clusters.work_units import WorkUnits, unit_function
from mgoe_tf.training.optimizers import LazyAdam
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.step import TrainingStep
from mgoe_tf.training.stopping import StopRequest
from tests.model_options import OPTIONS


class PlainSGD(tf.keras.optimizers.SGD):
    """Takes what `TrainingStep` says of weights, and needs none of it."""

    def add_tables(self, variables) -> None:
        del variables

    def exempt(self, variables) -> None:
        del variables


OPTIMIZERS = {"sgd": lambda: PlainSGD(0.05), "lazy_adam": lambda: LazyAdam(0.01, l2=1e-4)}


def whole(table) -> np.ndarray:
    return tf.concat(list(getattr(table, "variables", [table])), axis=0).numpy()


def weights_of(model) -> dict[str, np.ndarray]:
    """By name; tables as one array each."""
    tables = model.embeddings.tables
    of_tables = {id(v) for table in tables.values() for v in getattr(table, "variables", [table])}
    dense = [v for v in model.trainable_variables if id(v) not in of_tables]
    return {f"table/{name}": whole(table) for name, table in tables.items()} | {
        f"dense/{number}": v.numpy() for number, v in enumerate(dense)
    }


def run(name: str, options: TrainOptions, strategy, workers, begin=None):
    spec = read_spec(options.data_dir)
    tf.keras.utils.set_random_seed(1)
    with strategy.scope():
        model = build_model("mmoe", spec, dataclasses.replace(OPTIONS["mmoe"], embedding_dim=16))
    orders = row_orders(model)
    model.embeddings.row_orders = orders.by_table()
    if begin is not None:
        for variable, value in zip(model.trainable_variables, begin, strict=True):
            variable.assign(value)
    initial = weights_of(model)
    examples = open_examples(options.data_dir, spec, ("history", "train"), model.feature_names)
    units = WorkUnits(examples, options)
    with strategy.scope():
        task = UncountedTask(task_names=spec.task_names)
        step = TrainingStep(model, OPTIMIZERS[name](), task=task)
        lookup = checkpoints.make_lookup(options.model_dir, spec, model)
    function = unit_function(
        step, units, TrainingBatches(examples, lookup, spec, options), strategy
    )
    waiting = [workers.schedule(function, units.unit(0, n)) for n in units.order(0)]
    done = [fetch() for fetch in waiting]
    workers.join()
    trained = weights_of(model)
    shards = {n: len(getattr(t, "variables", [t])) for n, t in model.embeddings.tables.items()}
    if strategy is tf.distribute.get_strategy():
        before = {key: value.copy() for key, value in trained.items()}
        if name == "lazy_adam":
            put_in_index_order(step, orders)
            a = orders.by_table()["user_id"]
            table = before["table/user_id"]
            rows = np.arange(len(table)) * a % len(table)
            np.testing.assert_array_equal(weights_of(model)["table/user_id"], table[rows])
        trained = before
    return initial, trained, done, shards


def main() -> None:
    place = read_place("parameter_server")
    assert place is not None
    prepare_process(place)
    wait_for_servers(place, StopRequest())
    strategy, workers = make_cluster(place, min_shard_bytes=1024)
    options = TrainOptions(
        data_dir=sys.argv[1], model_dir=sys.argv[2], batch_size=256, distribution="parameter_server"
    )
    found = {}
    for name in OPTIMIZERS:
        initial, trained, done, shards = run(name, options, strategy, workers)
        single = run(
            name,
            options,
            tf.distribute.get_strategy(),
            ThisProcess(),
            [*initial.values()],  # tables come first
        )
        for key, value in single[0].items():
            np.testing.assert_array_equal(initial[key], value)
        found[name] = {
            "difference": max(float(np.abs(trained[k] - v).max()) for k, v in single[1].items()),
            "moved": max(float(np.abs(trained[k] - v).max()) for k, v in initial.items()),
            "rows": sum(int(one.rows) for one in done),
            "shards": shards,
        }
    print("FOUND " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

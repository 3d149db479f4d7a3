"""Clusters of real processes on the loopback interface."""

import dataclasses
import json
import pathlib
import re
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.spec import read_spec
from mgoe_tf.evaluation.evaluator import Evaluator
from mgoe_tf.layers.row_order import multiplier, recorded
from mgoe_tf.training import checkpoints
from mgoe_tf.training.clusters.local_process import LocalProcess, free_addresses
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.position import Position
from tests.data_sets import write_small_data_set
from tests.mgoe_tf.conftest import train_small
from tests.mgoe_tf.training.clusters.processes import Command
from tests.model_options import OPTIONS

pytestmark = pytest.mark.slow

EPOCHS = 4


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> TrainOptions:
    """Of a finished run in this process alone, as all others begin; MMoE with its test sizes."""
    folder = tmp_path_factory.mktemp("clusters")
    write_small_data_set(str(folder / "data"), num_shards=4, record_layout="request")
    made = TrainOptions(
        data_dir=str(folder / "data"),
        model_dir=str(folder / "alone"),
        model="mmoe",
        epochs=EPOCHS,
        batch_size=128,
        distribution="parameter_server",
        min_shard_bytes=256,
        patience=0,
        report=False,
    )
    train_small(made)
    return made


def flags(options: TrainOptions, name: str, **changes: object) -> list[str]:
    """Of `mgoe_tf.train` into another directory."""
    path = pathlib.Path(options.model_dir).parent / name
    given = {
        "data_dir": options.data_dir,
        "model_dir": path,
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "patience": 0,
        "report": False,
        **changes,
    }
    model = dataclasses.asdict(OPTIONS["mmoe"])
    units = {k: ",".join(map(str, v)) if isinstance(v, tuple) else v for k, v in model.items()}
    lines = [f"--{key}={value}" for key, value in {**given, **units}.items() if value != ""]
    return ["--model=mmoe", *lines]


def rows_of_epochs(output: str) -> list[int]:
    found = re.findall(r"training loss in epoch \d+, ([\d,]+) rows", output)
    return [int(rows.replace(",", "")) for rows in found]


def test_the_latest_checkpoint_is_read_in_the_order_of_indices(options: TrainOptions) -> None:
    latest = tf.train.latest_checkpoint(str(pathlib.Path(options.model_dir) / "checkpoints/latest"))
    size = read_spec(options.data_dir).vocabulary("user_id").embedded + 1
    assert recorded(latest, ["user_id"]) == {"user_id": multiplier(size)}
    loaded = checkpoints.load_model(options.model_dir, best=False)
    evaluator = Evaluator(
        options.data_dir, loaded.spec, "validation", model=loaded.model, lookup=loaded.lookup
    )
    # rows of other users and items would come to 0.5
    assert evaluator.evaluate()["average"]["auc"] > 0.8


def test_one_worker_is_exactly_a_process_alone(options: TrainOptions, tmp_path) -> None:
    addresses = free_addresses({"ps": 2, "worker": 1, "chief": 1})
    train = ["--data_dir=" + options.data_dir, "--model_dir=x", "--distribution=parameter_server"]
    command = ["-m", "mgoe_tf.train", *train]
    servers = [
        LocalProcess(role, index, addresses, [sys.executable, *command], str(tmp_path))
        for role, index in (("ps", 0), ("ps", 1), ("worker", 0))
    ]
    config = json.dumps({"cluster": addresses, "task": {"type": "chief", "index": 0}})
    module = "tests.mgoe_tf.training.clusters.parity_chief"
    arguments = (module, options.data_dir, options.model_dir)
    try:
        with Command(tmp_path / "chief.log", *arguments, TF_CONFIG=config) as chief:
            found = json.loads(chief.wait_for(r"FOUND (.*)\n")[1])
    finally:
        for server in servers:
            server.end(10.0)
    rows = sum(read_spec(options.data_dir).counts["rows"][name] for name in ("history", "train"))
    for name in ("sgd", "lazy_adam"):
        assert found[name]["difference"] == 0.0
        assert found[name]["moved"] > 1e-3
        assert found[name]["rows"] == rows
        assert found[name]["shards"]["user_id"] == found[name]["shards"]["item_id"] == 2


def test_a_killed_worker_is_survived_and_two_learn_as_well_as_one(options, tmp_path) -> None:
    launch = ["mgoe_tf.launch", "--workers=2", "--parameter_servers=2", "--restarts=1"]
    given = flags(options, "two_workers", min_shard_bytes=256)
    with Command(tmp_path / "log", *launch, *given) as cluster:
        cluster.wait_for("training loss in epoch 1")
        cluster.kill_role("worker 1")
        assert cluster.wait() == 0, cluster.output
        output = cluster.output
    assert "worker 1 is started again; restarts left: 0" in output
    counts = read_spec(options.data_dir).counts["rows"]
    assert rows_of_epochs(output) == [counts["history"] + counts["train"]] * EPOCHS
    path = str(pathlib.Path(options.model_dir).parent / "two_workers")
    metrics, alone = (
        checkpoints.read_metrics(folder, "test") for folder in (path, options.model_dir)
    )
    assert metrics is not None
    assert alone is not None
    # two seeds of one process differ by some hundredths on so few rows
    assert metrics["average"]["auc"] == pytest.approx(alone["average"]["auc"], abs=0.05)
    assert metrics["average"]["auc"] > 0.8
    # what was written is whole, its rows in their order: it scores the same out of the cluster
    loaded = checkpoints.load_model(path)
    evaluator = Evaluator(
        options.data_dir, loaded.spec, "test", model=loaded.model, lookup=loaded.lookup
    )
    assert evaluator.evaluate()["average"] == metrics["average"]


def test_a_killed_server_ends_the_job_which_goes_on_elsewhere(options, tmp_path) -> None:
    rows = read_spec(options.data_dir).counts["rows"]
    launch = ["mgoe_tf.launch", "--workers=1", "--noevaluator"]
    given = flags(options, "killed", min_shard_bytes=256, epochs=200, checkpoint_steps=16)
    with Command(tmp_path / "first", *launch, "--parameter_servers=1", *given) as cluster:
        cluster.wait_for("training loss in epoch 1")
        cluster.kill_role("ps 0")
        assert cluster.wait() == 75, cluster.output
        assert "a parameter server was lost" in cluster.output
        assert "start all processes again with --resume" in cluster.output
    path = pathlib.Path(options.model_dir).parent / "killed"
    before = _position(path)
    with Command(
        tmp_path / "again", *launch, "--parameter_servers=2", *given, "--resume"
    ) as cluster:
        cluster.wait_for(rf"going on after step {before.step}, in epoch {before.epoch + 1}\b")
        cluster.wait_for("training loss in epoch")
        cluster.terminate()
        assert cluster.wait() == 143, cluster.output
        saved = cluster.wait_for(r"SIGTERM: saved after step (\d+)")[1]
    after = _position(path)
    assert after.step == int(saved) > before.step
    done = dataclasses.replace(
        options, model_dir=str(path), epochs=after.epoch + 1, checkpoint_steps=0, resume=True
    )
    train_small(done)
    assert _position(path).epoch == after.epoch + 1
    assert rows_of_epochs((tmp_path / "first").read_text())[0] == rows["history"] + rows["train"]


def _position(path: pathlib.Path) -> Position:
    latest = tf.train.latest_checkpoint(str(path / "checkpoints" / "latest"))
    assert latest is not None
    return Position.read(latest.replace("ckpt-", "position-") + ".json")


def test_workers_in_step_are_one_with_the_whole_batch(options: TrainOptions, tmp_path) -> None:
    given = {"epochs": 1, "batch_size": 1001, "oov_rate": 0.2}
    with Command(
        tmp_path / "log", "mgoe_tf.launch", "--workers=2", *flags(options, "in_step", **given)
    ) as cluster:
        assert cluster.wait() == 0, cluster.output
    path = pathlib.Path(options.model_dir).parent / "in_step"
    one = dataclasses.replace(
        options, distribution="one_device", model_dir=str(path) + "_one", **given
    )
    train_small(one)
    ours, expected = (
        checkpoints.load_model(folder, best=False).model.get_weights()
        for folder in (str(path), one.model_dir)
    )
    for found, weight in zip(ours, expected, strict=True):
        np.testing.assert_allclose(found, weight, rtol=0, atol=1e-6)
    shutil.rmtree(path)

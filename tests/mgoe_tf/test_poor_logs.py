"""Logs from which less can be learnt or compared than from others: prepared, trained, exported."""

import dataclasses
import json
import types
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from export.options import ExportOptions
from export.savedmodel import export
from export.score_weights import weights_of_trained
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.prepare import prepare
from input_pipeline.spec import read_spec
from mgoe_tf.evaluate import EvaluateOptions, evaluate
from mgoe_tf.evaluation import tables
from mgoe_tf.reports.run_history import RunHistory
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.trained_tasks import require_trained_tasks, trained_tasks
from tests.mgoe_tf.conftest import train_small

_LINES = 100


def _prepared(
    folder: Path, tasks: dict[str, list[str]], users: Mapping[int, str] = types.MappingProxyType({})
) -> str:
    """A data set of exposures, one a second, of which history and train are 60, validation 20.

    `users` are others than the usual ones in some seconds.
    """
    lines = [f"user,item,time,{','.join(tasks)}"]
    for second in range(_LINES):
        labels = ",".join(cells[second] for cells in tasks.values())
        user = users.get(second, f"u{second * 7 % 11}")
        lines.append(f"{user},i{second * 5 % 13},{second},{labels}")
    (folder / "log.csv").write_text("\n".join(lines) + "\n")
    prepare(
        PreparationOptions(
            source="csv",
            input=(str(folder / "log.csv"),),
            data_dir=str(folder / "data"),
            user_column="user",
            item_column="item",
            timestamp_column="time",
            task_columns=tuple(tasks),
            cuts=(0.3, 0.6, 0.8),
            num_user_macro_nodes=3,
            num_item_macro_nodes=3,
            num_shards=2,
        )
    )
    return str(folder / "data")


def _clicks(without: range = range(0)) -> list[str]:
    return [str(int(second % 3 == 0 and second not in without)) for second in range(_LINES)]


def _options(data_dir: str, folder: Path, **changes) -> TrainOptions:
    return TrainOptions(
        data_dir=data_dir, model_dir=str(folder / "model"), model="mmoe", batch_size=16, **changes
    )


def test_one_class_in_validation_is_compared_by_logloss(tmp_path, capsys, caplog) -> None:
    data_dir = _prepared(tmp_path, {"click": _clicks(without=range(60, 80))})
    options = _options(data_dir, tmp_path, epochs=5, patience=2)
    train_small(options)
    out = capsys.readouterr().out
    assert out.count("the mean logloss decides which epoch is the best") == 1
    lines = [line for line in out.splitlines() if line.startswith("epoch")]
    losses = [float(line.split("validation logloss ")[1].split()[0]) for line in lines]
    best = int(np.argmin(losses)) + 1
    # no click comes in validation, and training rows have a third: the loss falls for some epochs
    assert best > 1
    assert "best so far" in lines[best - 1]
    kept = tf.train.latest_checkpoint(f"{options.model_dir}/checkpoints/best")
    assert kept.endswith(f"ckpt-{best}")
    metrics = json.loads((tmp_path / "model/metrics_validation.json").read_text())
    assert metrics["average"]["auc"] is None
    assert metrics["average"]["logloss"] == pytest.approx(min(losses), abs=1e-4)
    with caplog.at_level("WARNING", "absl"):
        export(ExportOptions(model_dir=options.model_dir, export_base=str(tmp_path / "exports")))
    assert "the exported epoch: the validation window has one class in every task" in caplog.text
    assert RunHistory.read(options.model_dir).best_epoch == best


def test_validation_without_labels_keeps_the_latest_epoch(tmp_path, capsys) -> None:
    clicks = _clicks()
    clicks[60:80] = [""] * 20
    options = _options(_prepared(tmp_path, {"click": clicks}), tmp_path, epochs=3, patience=1)
    train_small(options)
    assert "the latest epoch is taken for the best" in capsys.readouterr().out
    kept = tf.train.latest_checkpoint(f"{options.model_dir}/checkpoints/best")
    assert kept.endswith("ckpt-3")
    assert RunHistory.read(options.model_dir).best_epoch == 3


def test_a_task_without_positives_is_refused_or_left_out_of_score_and_averages(
    tmp_path, capsys, caplog
) -> None:
    # it is bought in the test window alone
    buys = ["0"] * 85 + ["1", "0", "1"] + ["0"] * 12
    data_dir = _prepared(tmp_path, {"click": _clicks(), "buy": buys})
    options = _options(data_dir, tmp_path, epochs=1)
    message = (
        r"--data_dir=.*/data: buy must have a positive label .* none in 60 training rows: .*--"
    )
    with pytest.raises(ValueError, match=message):
        train_small(options)
    assert not Path(options.model_dir).exists()
    options = dataclasses.replace(options, allow_empty_tasks=True)
    metrics = train_small(options)
    assert "warning: no positive label of buy in the training rows" in capsys.readouterr().out
    assert metrics["averaged_tasks"] == ["click"]
    assert metrics["tasks"]["buy"]["auc"] is not None
    for name in ("auc", "logloss"):
        assert metrics["average"][name] == metrics["tasks"]["click"][name]
    assert evaluate(EvaluateOptions(options.model_dir, data_dir)) == metrics

    export_options = ExportOptions(
        model_dir=options.model_dir, export_base=str(tmp_path / "exports"), data_dir=data_dir
    )
    with caplog.at_level("WARNING", "absl"):
        path = export(export_options)
    assert "buy: no positive label in the training rows, served but left out" in caplog.text
    answer = tf.saved_model.load(path).signatures["rank_ids"](
        user_id=tf.constant([b"u1"]), item_id=tf.constant([[b"i1", b"i2"]])
    )
    np.testing.assert_allclose(answer["score"], answer["click"], rtol=1e-6)
    assert (np.abs(answer["buy"] - answer["click"]) > 1e-3).all()
    with pytest.raises(ValueError, match=r"--score_weights: must be 0 for buy, .*got \[1.0, 2.0\]"):
        export(dataclasses.replace(export_options, score_weights=(1.0, 2.0)))


def test_users_that_the_model_does_not_know_are_counted_and_named(tmp_path) -> None:
    new = {85: "café", 90: "café", 95: "new", 70: "later"}
    data_dir = _prepared(tmp_path, {"click": _clicks()}, new)
    options = _options(data_dir, tmp_path, epochs=1)
    metrics = train_small(options)
    # `later` came in validation, before the graph of the test window; it is in no test row
    test_users = {new.get(second, f"u{second * 7 % 11}") for second in range(80, 100)}
    assert metrics["unknown_ids"]["user_id"] == {
        "rows": 3,
        "ids": 2,
        "of": len(test_users),
        "examples": ["café", "new"],
    }
    assert metrics["unknown_ids"]["item_id"] == {"rows": 0, "ids": 0, "of": 13, "examples": []}
    line = f"user_id: 2 of {len(test_users)} unknown to the model, in 3 rows: café, new"
    assert tables.of_metrics(metrics).endswith(f"\n\n{line}")
    assert f"<p>{line}.</p>" in Path(options.model_dir, "report.html").read_text()


def test_without_any_positive_there_is_nothing_to_train(tmp_path) -> None:
    data_dir = _prepared(tmp_path, {"click": _clicks(without=range(30, 100))})
    options = _options(data_dir, tmp_path, allow_empty_tasks=True, train_rows="windows")
    spec = read_spec(data_dir)
    assert trained_tasks(spec, options) == ()
    assert trained_tasks(spec, dataclasses.replace(options, train_rows="all")) == ("click",)
    with pytest.raises(ValueError, match=r"click must .* in 30 training rows: .* data without it$"):
        require_trained_tasks(spec, options)


@pytest.mark.parametrize(
    ("weights", "trained", "expected"),
    [
        (None, "ab", None),
        ((1.0, 2.0), "ab", (1.0, 2.0)),
        (None, "a", (1.0, 0.0)),
        ((3.0, 0.0), "a", (3.0, 0.0)),
        # of another number: told by `score_weights`
        ((1.0,), "a", (1.0,)),
    ],
)
def test_weights_of_trained_tasks(weights, trained, expected) -> None:
    assert weights_of_trained(weights, ("a", "b"), trained) == expected

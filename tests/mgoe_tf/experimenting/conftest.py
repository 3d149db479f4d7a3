"""Runs whose metrics are written by hand, for tables whose numbers can be worked by hand."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping

import pytest

from input_pipeline.spec import SourceFile, read_spec
from mgoe_tf.experimenting.data_sets import DataSet
from mgoe_tf.experimenting.options import ExperimentOptions
from mgoe_tf.experimenting.runs import Run
from mgoe_tf.experimenting.schedule import Schedule

TASKS = ("click", "buy")


def metrics_of(click: float, buy: float | None) -> dict:
    """metrics_test.json of two tasks: AUCs, and what follows from them in an easy way."""

    def of_task(auc: float | None) -> dict:
        if auc is None:
            return dict.fromkeys(("auc", "gauc", "logloss", "calibration", "auprc"))
        return {
            "auc": auc,
            "gauc": auc - 0.1,
            "logloss": 1 - auc,
            "calibration": 1.25,
            "auprc": auc / 2,
        }

    tasks = {"click": of_task(click), "buy": of_task(buy)}
    part = {name: {"auc": of["auc"], "logloss": of["logloss"]} for name, of in tasks.items()}
    slices = ("warm", "cold_user", "cold_item", "new_pairs", "repeated_pairs")
    return {
        "rows": 100,
        "tasks": tasks,
        "averaged_tasks": list(TASKS),
        "slices": {name: {"rows": 10, "tasks": part} for name in slices},
    }


def write_run(run: Run, click: float, buy: float | None) -> None:
    """A model directory of which the metrics alone are there."""
    folder = pathlib.Path(run.model_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "metrics_test.json").write_text(json.dumps(metrics_of(click, buy)))


@pytest.fixture
def recorded(data_dir, tmp_path) -> DataSet:
    """The small data set, of a file of which it knows the checksum."""
    log = tmp_path / "log.csv"
    log.write_text("abc")
    # SHA-256 of "abc", as FIPS 180-2 has it
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    spec = dataclasses.replace(read_spec(data_dir), source_files=(SourceFile(str(log), 3, digest),))
    return DataSet("small", data_dir, spec)


@pytest.fixture
def schedule(data_dir: str, tmp_path: pathlib.Path) -> Callable[..., Schedule]:
    """Makes the schedule of two models on the small data set, with other options."""

    def make(data: DataSet | None = None, **changes) -> Schedule:
        options = {
            "output": str(tmp_path / "out"),
            "data_dirs": (f"small={data_dir}",),
            "models": ("mgoe", "mmoe"),
            "seeds": ("0-2",),
            "parts": ("none",),
            **changes,
        }
        data = data or DataSet("small", data_dir, read_spec(data_dir))
        return Schedule.of(ExperimentOptions(**options), [data])

    return make


@pytest.fixture
def written(schedule) -> Callable[..., Schedule]:
    """Writes the runs of a schedule: (AUC of click, of buy) by setting, model and seed."""

    def write(
        values: Mapping[tuple[str, str, int], tuple[float, float | None]], **changes
    ) -> Schedule:
        made = schedule(**changes)
        for run in made.runs:
            key = (run.setting, run.model, run.seed)
            if key in values:
                write_run(run, *values[key])
        return made

    return write

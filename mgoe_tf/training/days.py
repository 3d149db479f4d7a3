"""Progressive validation: how each day's model did on days that it had not been trained on.

<model_dir>/days.json of a run that goes on from another one holds what every model of the chain
reached on the window after its training rows (`validation`) and on the one after that (`test`), the
latest model last. TensorBoard shows it as curves over days.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from input_pipeline.files import filesystem
from input_pipeline.files.json_file import read_json
from input_pipeline.spec import read_spec
from mgoe_tf.training import checkpoints

FILE = "days.json"
SPLITS = ("validation", "test")


def begin(model_dir: str, warm_start: str) -> None:
    """Writes what is known of the models that a new run goes on from."""
    if warm_start:
        _write(model_dir, read(warm_start) or [_of_run(warm_start)])


def end(model_dir: str) -> None:
    """Adds a finished run, once, and draws the curves anew."""
    found = _of_run(model_dir)
    days = [day for day in read(model_dir) if day["window"] != found["window"]]
    days.append(found)
    _write(model_dir, days)
    folder = filesystem.join(model_dir, "events", "days")
    filesystem.remove_tree(folder)
    writer = tf.summary.create_file_writer(folder)
    for day in days:
        with writer.as_default(step=day["window"]):
            for split in SPLITS:
                for name, auc in (day[split] or {}).items():
                    if auc is not None:
                        tf.summary.scalar(f"days/{split}_auc/{name}", auc)
    writer.close()


def read(model_dir: str) -> list[dict[str, Any]]:
    """One entry a model of the chain, the latest last; none of a run that goes on from none."""
    path = filesystem.join(model_dir, FILE)
    if not filesystem.exists(path):
        return []
    days: list[dict[str, Any]] = read_json(path, "Delete it: the curves then begin with this run")
    return days


def _of_run(model_dir: str) -> dict[str, Any]:
    """The newest training window of a run, the time of its end, and AUC by split and task."""
    spec = read_spec(model_dir)
    found: dict[str, Any] = {"window": len(spec.cuts) - 1, "until": spec.cut_times[-2]}
    for split in SPLITS:
        metrics = checkpoints.read_metrics(model_dir, split)
        found[split] = metrics and {
            "average": metrics["average"]["auc"],
            **{task: values["auc"] for task, values in metrics["tasks"].items()},
        }
    return found


def _write(model_dir: str, days: list[dict[str, Any]]) -> None:
    checkpoints.write_json(filesystem.join(model_dir, FILE), days)

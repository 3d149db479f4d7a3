"""One day after the other; each step of a day is there whole or not at all.

<output>/
  options.json, log/day-<d>.csv   what the days are made of; day 0 holds the ten days before them
  data/day-<d>                    data sets; older than the day before are removed
  models/warm/day-<d>, anew/      models; day 0 is trained from nothing
  exports/<model>/<d + 1>         published versions
  frozen/<model>/1                the version of day 0, which is never published over
  days/day-<d>.json               what was found; a day is over when it is there
"""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from export import publication
from export.daily import log
from export.daily.frozen_version import FrozenVersion
from export.daily.options import MAY_CHANGE, DailyOptions
from export.options import ExportOptions
from export.savedmodel import export
from input_pipeline.files import filesystem
from input_pipeline.files.json_file import read_json
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.prepare import prepare
from input_pipeline.refresh import RefreshOptions, refresh
from input_pipeline.spec import read_spec
from mgoe_tf.evaluation.evaluator import Evaluator
from mgoe_tf.models.registry import model_class
from mgoe_tf.training import checkpoints
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.trainer import train

WAYS = ("never", "refreshed", "warm", "anew")


class Days:
    """Lives days in a directory.

    Args:
      options: what and where.
    """

    def __init__(self, options: DailyOptions) -> None:
        self._options = options

    def _path(self, *names: str) -> str:
        return filesystem.join(self._options.output, *names)

    def _data(self, day: int) -> str:
        return self._path("data", f"day-{day:03d}")

    def _model(self, kind: str, day: int) -> str:
        return self._path("models", kind, f"day-{day:03d}")

    def _told(self, day: int) -> str:
        return self._path("days", f"day-{day:03d}.json")

    def is_done(self, day: int) -> bool:
        """Whether a day is over."""
        return filesystem.exists(self._told(day))

    def told(self) -> list[dict[str, Any]]:
        """What was found on all days that are over, in order."""
        days = (day for day in range(1, self._options.log_days + 1) if self.is_done(day))
        advice = "Delete it, and the day is lived again"
        return [read_json(self._told(day), advice) for day in days]

    def begin(self) -> None:
        """The log, the data set and the model before the first day, and its version.

        Raises:
          ValueError: the directory was begun with other options; the first model cannot be
            published.
        """
        options = self._options
        filesystem.make_dirs(self._path("days"))
        self._require_same_options()
        log.write_log(options, self._path("log"))
        if not filesystem.exists(self._data(0)) and not self.is_done(1):
            prepare(
                PreparationOptions(
                    source="taobao",
                    input=(log.day_file(self._path("log"), 0),),
                    data_dir=self._data(0),
                    cut_times=log.first_cuts(),
                    num_shards=2,
                    seed=options.seed,
                )
            )
        self._train("warm", 0, self._data(0), epochs=options.first_epochs)
        for base in ("exports", "frozen"):
            if not self._published(base) and (refused := self._export(0, base)) is not None:
                raise ValueError(f"day 0, which all others follow: {refused}")

    def _require_same_options(self) -> None:
        path = self._path("options.json")
        fixed = {n: v for n, v in dataclasses.asdict(self._options).items() if n not in MAY_CHANGE}
        if not filesystem.exists(path):
            filesystem.write_text(path, json.dumps(fixed, indent=2) + "\n")
        begun = read_json(path, "Name another --output")
        for name, value in fixed.items():
            if begun.get(name) != value:
                raise ValueError(
                    f"--{name}={value}: the days in {self._options.output} were begun with "
                    f"{begun.get(name)}; name another --output"
                )

    def live(self, day: int) -> dict[str, Any]:
        """Refresh, train, evaluate, publish; what was done already of an interrupted day stays.

        Returns:
          What `days/day-<d>.json` holds.
        """
        options, data = self._options, self._data(day)
        tf.keras.backend.clear_session()
        if not filesystem.exists(data):
            refresh(
                RefreshOptions(
                    data_dir=data,
                    from_dir=self._data(day - 1),
                    input=(log.day_file(self._path("log"), day),),
                )
            )
        found: dict[str, Any] = {"never": self._frozen.metrics(data)}
        found["refreshed"] = _evaluated(self._model("warm", 0), data)
        latest = self._latest_good(day)
        found["warm"] = self._train(
            "warm", day, data, epochs=options.epochs, warm_start=self._model("warm", latest)
        )
        if options.anew:
            found["anew"] = self._train("anew", day, data, epochs=options.first_epochs)
        refused = self._export(day, "exports")
        told = {
            "day": day,
            "went_on_from": latest,
            "refused": refused,
            "rows": read_spec(data).counts["rows"]["test"],
            "auc": {way: _aucs(metrics) for way, metrics in found.items()},
        }
        filesystem.write_text(self._told(day), json.dumps(told, indent=2) + "\n")
        self._remove_before(day)
        return told

    def _train(
        self, kind: str, day: int, data: str, *, epochs: int, warm_start: str = ""
    ) -> dict[str, Any]:
        """A finished run; one that was broken off goes on. Returns its metrics of the day."""
        options, folder = self._options, self._model(kind, day)
        known = checkpoints.read_metrics(folder, "test")
        if known is not None:
            return known
        return train(
            model_class(options.model).options_class(),
            TrainOptions(
                data_dir=data,
                model_dir=folder,
                model=options.model,
                seed=options.seed,
                epochs=epochs,
                patience=1,
                batch_size=options.batch_size,
                warm_start=warm_start,
                resume=True,
                report=False,
                allow_empty_tasks=True,
                checkpoint_steps=200,
            ),
        )

    def _latest_good(self, day: int) -> int:
        """The latest day before whose model passed its checks; 0: the first model."""
        told = {one["day"]: one for one in self.told()}
        return next((d for d in range(day - 1, 0, -1) if told[d]["refused"] is None), 0)

    def _export(self, day: int, base: str) -> str | None:
        """Publishes the model of a day; returns why not, None where it was published."""
        options, version = self._options, day + 1
        if version in publication.versions(self._path(base, options.model)):
            return None
        try:
            export(
                ExportOptions(
                    model_dir=self._model("warm", day),
                    export_base=self._path(base),
                    model_name=options.model,
                    version=version,
                    data_dir=self._data(day),
                    min_auc=options.min_auc if day else None,
                    max_auc_drop=options.max_auc_drop,
                    keep=options.keep,
                )
            )
        except ValueError as error:
            logging.warning("day %d: %s", day, error)
            return str(error)
        return None

    def _published(self, base: str) -> bool:
        return bool(publication.versions(self._path(base, self._options.model)))

    @functools.cached_property
    def _frozen(self) -> FrozenVersion:
        return FrozenVersion(self._path("frozen", self._options.model, "1"))

    def _remove_before(self, day: int) -> None:
        """What no later day reads: earlier data sets, and models that nobody goes on from."""
        for old in range(day + 1):
            filesystem.remove_tree(self._model("anew", old))
            if old < day:
                filesystem.remove_tree(self._data(old))
        kept = {0, day, self._latest_good(day + 1)}
        for old in set(range(day)) - kept:
            filesystem.remove_tree(self._model("warm", old))


def _evaluated(model_dir: str, data_dir: str) -> dict[str, Any]:
    """The metrics of a model on the latest day of a data set that continues its own."""
    loaded, spec = checkpoints.load_model(model_dir), read_spec(data_dir)
    checkpoints.require_same_data(loaded.spec, spec, data_dir)
    evaluator = Evaluator(data_dir, spec, "test", model=loaded.model, lookup=loaded.lookup)
    return evaluator.evaluate()


def _aucs(metrics: dict[str, Any]) -> dict[str, float | None]:
    """By task, and `average`."""
    tasks = {task: values["auc"] for task, values in metrics["tasks"].items()}
    values = [auc for auc in tasks.values() if auc is not None]
    return {"average": float(np.mean(values)) if values else None, **tasks}

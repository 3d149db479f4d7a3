"""What was found: metrics, differences over users, times and sizes, with what failed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar

from input_pipeline.files import filesystem
from input_pipeline.files.json_file import read_json
from mgoe_tf.experimenting import timing
from mgoe_tf.experimenting.data_sets import DataSet
from mgoe_tf.experimenting.jobs import Failure
from mgoe_tf.experimenting.results import MEAN, Results
from mgoe_tf.experimenting.schedule import Schedule
from mgoe_tf.experimenting.sizes import Size, size_of
from mgoe_tf.experimenting.timing import Timing
from mgoe_tf.reports.differences import Difference, between
from mgoe_tf.reports.run_history import training_seconds
from mgoe_tf.reports.run_influences import RunInfluences
from mgoe_tf.training import checkpoints

_T = TypeVar("_T")
_TIMING_FILE = "timing.json"


@dataclasses.dataclass
class Findings:
    """Everything that the page tells.

    Attributes:
      schedule: what was to be done.
      results: metrics of the finished runs.
      failures: what was not done.
      over_users: by data set, rival and task, the AUC of the first seed's run of the model of
        interest less the rival's, and its 95 % interval over users.
      timings: by data set.
      machine: that they were measured on.
      sizes: by data set and model.
      seconds: of training, by data set and model, the mean of its runs.
    """

    schedule: Schedule
    results: Results
    failures: list[Failure]
    over_users: dict[str, dict[str, dict[str, Difference]]] = dataclasses.field(
        default_factory=dict
    )
    timings: dict[str, list[Timing]] = dataclasses.field(default_factory=dict)
    machine: dict[str, Any] = dataclasses.field(default_factory=dict)
    sizes: dict[str, dict[str, Size]] = dataclasses.field(default_factory=dict)
    seconds: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)

    @classmethod
    def gather(
        cls, schedule: Schedule, failures: list[Failure], report: Callable[[str], None]
    ) -> Findings:
        """Reads, scores and measures whatever was finished; what cannot be goes to `failures`.

        Args:
          schedule: whose runs have ended.
          failures: of them.
          report: takes a line of progress.
        """
        found = cls(schedule, Results.of(schedule.runs), [*schedule.refused, *failures])
        for data in schedule.data:
            report(f"{data.name}: which differences are beyond those between users")
            found.over_users[data.name] = found._compare_over_users(data)
            report(f"{data.name}: sizes of models")
            found._look_at(data)
        if "timing" in schedule.options.chosen_parts:
            found._measure(report)
        return found

    @property
    def models(self) -> tuple[str, ...]:
        """All that the first table has."""
        return self.schedule.options.chosen_models

    @property
    def subject(self) -> str:
        """The model whose lead is told."""
        return self.schedule.subject

    def ranking(self, data: str) -> list[str]:
        """Models with a finished run of the first table, the best mean AUC first."""
        return self.results.ranking(data, self.models)

    def best_rival(self, data: str, task: str = MEAN) -> str | None:
        """The best model but for the one of interest; None where there is no other."""
        found = self.results.ranking(data, self.models, task)
        return next((model for model in found if model != self.subject), None)

    def _try(self, name: str, act: Callable[[], _T]) -> _T | None:
        """What an act gives; None where it fails, which is told with the other failures."""
        try:
            return act()
        except Exception as error:  # whatever a model does wrong is told on the page
            self.failures.append(Failure(name, f"{type(error).__name__}: {error}"))
            return None

    def _compare_over_users(self, data: DataSet) -> dict[str, dict[str, Difference]]:
        known = RunInfluences("test", "auc")
        seed = self.schedule.options.chosen_seeds[0]
        models = self.ranking(data.name)
        if self.subject not in models:
            return {}
        found = {}
        for rival in (model for model in models if model != self.subject):
            pair = [self.schedule.run(data, model, seed) for model in (rival, self.subject)]
            if not all(run.is_finished() for run in pair):
                continue
            act = functools.partial(known.of_pair, *(run.model_dir for run in pair))
            influences = self._try(f"users of {data.name}: {rival}", act)
            if not influences:
                continue
            values = [
                {
                    task: self.results.by_seed(data.name, run.model, "auc", task).get(seed)
                    for task in influences
                }
                for run in pair
            ]
            found[rival] = {
                task: between([theirs], [ours], influences[task])
                for task in influences
                if (theirs := values[0][task]) is not None and (ours := values[1][task]) is not None
            }
        for pair_name, reason in known.refusals.items():
            self.failures.append(Failure(f"users of {data.name}: {pair_name}", reason))
        return found

    def _look_at(self, data: DataSet) -> None:
        """Sizes and seconds of the models of the first table."""
        sizes, seconds = {}, {}
        for model in self.ranking(data.name):
            runs = [
                run
                for seed in self.schedule.options.chosen_seeds
                if (run := self.schedule.run(data, model, seed)).is_finished()
            ]
            export = self.schedule.export_dir(data.name, model)
            act = functools.partial(size_of, runs[0].model_dir, export)
            size = self._try(f"size of {model} on {data.name}", act)
            if size is not None:
                sizes[model] = size
            spent = [training_seconds(run.model_dir) for run in runs]
            seconds[model] = sum(spent) / len(spent)
        self.sizes[data.name], self.seconds[data.name] = sizes, seconds

    def _measure(self, report: Callable[[str], None]) -> None:
        """Times of all exports; those of an earlier command with the same exports are kept."""
        options = self.schedule.options
        path = filesystem.join(options.output, _TIMING_FILE)
        kept = read_json(path, "Delete it: it is measured again") if filesystem.exists(path) else {}
        for data in self.schedule.data:
            exports = {
                model: self.schedule.export_dir(data.name, model)
                for model in self.models
                if filesystem.exists(self.schedule.export_dir(data.name, model))
            }
            known = [Timing(**entry) for entry in kept.get("timings", {}).get(data.name, [])]
            if known and list(dict.fromkeys(entry.model for entry in known)) == list(exports):
                self.timings[data.name], self.machine = known, kept["machine"]
                continue
            report(f"{data.name}: time of inference of {len(exports)} models")
            act = functools.partial(
                timing.measure, exports, data.data_dir, rounds=options.sizes.rounds
            )
            other_work = timing.OtherWork()
            measured = self._try(f"time of inference on {data.name}", act) if exports else None
            if measured:
                share = max(other_work.share(), self.machine.get("other_work", 0.0))
                self.timings[data.name] = measured
                self.machine = {**timing.machine(), "other_work": round(share, 3)}
        told = {
            "machine": self.machine,
            "timings": {
                name: [dataclasses.asdict(entry) for entry in entries]
                for name, entries in self.timings.items()
            },
        }
        checkpoints.write_json(path, told)

    def milliseconds(self, data: str, signature: str, rows: int) -> dict[str, float]:
        """Median of a call by model."""
        return {
            entry.model: entry.median_ms
            for entry in self.timings.get(data, [])
            if (entry.signature, entry.rows) == (signature, rows)
        }

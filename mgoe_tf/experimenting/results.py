"""The metrics of all runs that were finished, and what tables are made of."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterable, Sequence

from mgoe_tf.experimenting.runs import Run
from mgoe_tf.experimenting.statistics import Paired, Spread, paired
from mgoe_tf.reports.run_groups import SLICE_METRICS, metrics_of

METRICS = ("auc", "gauc", "logloss", "auprc", "calibration")
SMALLER_IS_BETTER = frozenset({"logloss"})
MEAN = "mean"
# A task whose positives are fewer than this share of its rows is rare: its AUPRC tells more.
_RARE = 0.05


@dataclasses.dataclass(frozen=True)
class Results:
    """Metrics on the test window by run.

    Attributes:
      runs: that were finished.
    """

    runs: tuple[Run, ...]

    @classmethod
    def of(cls, runs: Iterable[Run]) -> Results:
        """Those of some runs that are finished."""
        return cls(tuple(run for run in runs if run.is_finished()))

    @functools.cached_property
    def _by_place(self) -> dict[tuple[str, str, str], dict[int, Run]]:
        found: dict[tuple[str, str, str], dict[int, Run]] = {}
        for run in self.runs:
            found.setdefault((run.data, run.setting, run.model), {})[run.seed] = run
        return found

    def by_seed(
        self,
        data: str,
        model: str,
        metric: str,
        task: str,
        *,
        setting: str = "",
        part: str = "",
        seeds: Collection[int] | None = None,
    ) -> dict[int, float]:
        """A metric of the runs of a model by their seeds; those where it is undefined left out.

        Args:
          data, model: of the runs.
          metric: of METRICS; `task` is a task or MEAN, `part` a slice of the rows or "".
          setting: of the runs; "": of the first table.
          seeds: of the runs; None: all.
        """
        found = {}
        for seed, run in self._by_place.get((data, setting, model), {}).items():
            if seeds is not None and seed not in seeds:
                continue
            values = _metrics(run.model_dir, metric, part)
            if task in values:
                found[seed] = values[task]
        return found

    def spread(
        self,
        data: str,
        model: str,
        metric: str,
        task: str,
        *,
        setting: str = "",
        part: str = "",
        seeds: Collection[int] | None = None,
    ) -> Spread | None:
        """Mean and deviation over seeds; None without a run."""
        values = self.by_seed(data, model, metric, task, setting=setting, part=part, seeds=seeds)
        return Spread.of(list(values.values()))

    def difference(
        self,
        data: str,
        first: tuple[str, str],
        second: tuple[str, str],
        metric: str = "auc",
        task: str = MEAN,
    ) -> Paired | None:
        """The second less the first over the seeds that both have; None where there are none.

        Args:
          data: of the runs.
          first, second: a model and a setting each.
          metric, task: see `by_seed`.
        """
        ours, theirs = (
            self.by_seed(data, model, metric, task, setting=setting)
            for model, setting in (first, second)
        )
        seeds = [seed for seed in ours if seed in theirs]
        if not seeds:
            return None
        return paired([ours[seed] for seed in seeds], [theirs[seed] for seed in seeds])

    def ranking(self, data: str, models: Sequence[str], task: str = MEAN) -> list[str]:
        """Models with a run, the best AUC first."""
        means = {model: self.spread(data, model, "auc", task) for model in models}
        known = {model: spread.mean for model, spread in means.items() if spread}
        return sorted(known, key=lambda model: -known[model])

    def records(self, tasks: dict[str, Sequence[str]]) -> list[dict[str, object]]:
        """Every metric of every run, one a line.

        Args:
          tasks: of each data set.
        """
        found: list[dict[str, object]] = []
        for run in self.runs:
            place = {
                "data": run.data,
                "setting": run.setting,
                "model": run.model,
                "seed": run.seed,
            }
            for part in ("", *SLICES):
                for metric in METRICS if not part else SLICE_METRICS:
                    values = _metrics(run.model_dir, metric, part)
                    found += [
                        {**place, "slice": part, "metric": metric, "task": task, "value": value}
                        for task, value in values.items()
                        if task in (*tasks[run.data], MEAN)
                    ]
        return found


SLICES = ("warm", "cold_user", "cold_item", "new_pairs", "repeated_pairs")


@functools.cache
def _metrics(model_dir: str, metric: str, part: str) -> dict[str, float]:
    return metrics_of(model_dir, "test", metric, part)


def rare_tasks(positives: dict[str, int], rows: int) -> tuple[str, ...]:
    """The tasks whose share of positive rows is small."""
    return tuple(task for task, number in positives.items() if number < _RARE * rows)

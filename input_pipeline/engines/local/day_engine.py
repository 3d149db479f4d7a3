"""The local engine of one more day: it computes with the day's events and what was kept of others.

Only the last window has events. Its rows read the graph at the end of the earlier data set; the one
graph that is computed is that of everything, `graph/latest`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from input_pipeline.engines import engine
from input_pipeline.engines.local import log_state, saved_graph
from input_pipeline.engines.local.engine import LocalEngine
from input_pipeline.engines.local.log_state import LogState
from input_pipeline.engines.local.merging_graph import MergingGraph
from input_pipeline.engines.local.numeric_statistics import NumericStatistics
from input_pipeline.engines.local.window_writer import WindowWriter
from input_pipeline.features.provider import LogFacts
from input_pipeline.files import filesystem
from input_pipeline.log import vocabulary
from input_pipeline.log.events import EventLog, FeatureValues, Numbers
from input_pipeline.log.growth import grown, numbers_of
from input_pipeline.log.interactions import OWNERS, Interactions, event_rows
from input_pipeline.log.resumed_past import ResumedPast
from input_pipeline.log.vocabulary import Column, FeatureValuesColumn
from input_pipeline.log.windows import Windows
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.records.shards import ShardWriter
from input_pipeline.sources import read_events
from input_pipeline.sources.layout import select_lines
from input_pipeline.spec import NEWEST_ROWS, DatasetSpec, read_spec


class DayEngine(LocalEngine):
    """Computes the data set that goes on from another one by a day of its log.

    Args:
      preparation: the options that the earlier data set was prepared with, and the input of the
        day.
      data_dir: a local directory to write to, with the earlier graphs.
      earlier: the data set directory that is gone on from.
      drop_late: whether events up to the end of the earlier log are left out; else refused.
    """

    def __init__(
        self, preparation: PreparationOptions, data_dir: str, *, earlier: str, drop_late: bool
    ):
        super().__init__(preparation, data_dir)
        self._earlier = earlier
        self._earlier_spec = read_spec(earlier)
        self._before = LogState.read(earlier, self._earlier_spec)
        self._drop_late = drop_late

    def read(self) -> engine.LogDescription:
        """Of the log with the day added.

        Raises:
          ValueError: the day has no events, other tasks, no times, or events of before.
        """
        day, spec, state = read_events(self.preparation), self._earlier_spec, self._before
        if day.tasks != spec.task_names or day.timestamp_unit != spec.timestamp_unit:
            raise ValueError(
                f"--input: must have the tasks {list(spec.task_names)} and times in "
                f"{spec.timestamp_unit}, got {list(day.tasks)} and {day.timestamp_unit}"
            )
        self._log, late = self._without_late(day)
        counts = dict(spec.counts)
        others = counts.keys() - {"events", "users", "items", "malformed_lines", "duplicate_lines"}
        other = {name: counts[name] for name in others if isinstance(counts[name], int)}
        for name, count in (*day.other_counts.items(), ("late_lines", late)):
            if count:
                other[name] = other.get(name, 0) + count
        other.pop(NEWEST_ROWS, None)
        return engine.LogDescription(
            tasks=day.tasks,
            num_events=sum(state.events) + len(self._log),
            timestamp_unit=day.timestamp_unit,
            has_exposures=spec.rows == "exposures",
            source_files=(*spec.source_files, *day.source_files),
            malformed_lines=counts["malformed_lines"] + day.malformed_lines,
            duplicate_lines=counts["duplicate_lines"] + day.duplicate_lines,
            other_counts=other,
        )

    def _without_late(self, day: EventLog) -> tuple[EventLog, int]:
        """The day's events after all earlier ones, and how many were none of these."""
        last = self._before.last_time
        assert day.timestamp is not None
        late = day.timestamp <= last
        num_late = int(late.sum())
        if num_late and not self._drop_late:
            raise ValueError(
                f"--input: every line must be later than {last}, the end of {self._earlier}; "
                f"{num_late} of {len(day)} lines are not, the first of {day.timestamp[late][0]}: "
                "--late_lines=drop leaves them out"
            )
        if num_late == len(day):
            raise ValueError(f"--input: no line is later than {last}, the end of {self._earlier}")
        if not num_late:
            return day, 0
        return select_lines(day, ~late), num_late

    def index(self, rows: str, split: str) -> engine.IndexDescription:
        log, self._log = self._log, None
        assert log is not None
        self.interactions = self._interactions_of(log)
        up_to = np.cumsum([*self._before.events, len(log)])
        return self._index_description(
            lambda name, column: self._counts(name, int(column.known[-3])),
            cuts=tuple((up_to[:-1] / up_to[-1]).tolist()),
            lengths={f.name: f.length for f in self._earlier_spec.select(role="side")},
        )

    def _counts(self, name: str, known: int) -> NDArray[np.int64]:
        """Events of each id up to the end of training, which is where validation ended before."""
        path = filesystem.join(self._earlier, "vocabulary", f"{name}_counts.npy")
        counts = self._before.counts[name][0][:known].copy()
        trained = filesystem.load_array(path)
        counts[: len(trained)] += trained
        return counts

    def _interactions_of(self, log: EventLog) -> Interactions:
        """The day's events, in vocabularies and pairs that go on from the earlier ones."""
        assert log.timestamp is not None
        spec, state = self._earlier_spec, self._before
        lines = np.argsort(log.timestamp, kind="stable")
        windows = Windows(
            lines=lines,
            time=log.timestamp[lines],
            bounds=np.array([0] * (len(spec.cuts) + 2) + [len(log)]),
            cut_times=(*spec.cut_times, state.last_time),
        )

        def recoded(name: str, column: FeatureValues) -> FeatureValuesColumn:
            if isinstance(column, Numbers):
                return numbers_of(column, windows)
            told = spec.vocabulary(name)
            values = vocabulary.read_ids(self._earlier, spec, name)
            return grown(name, values, column, windows, (*told.known, told.size))

        ids: dict[str, Column] = {}
        for owner, column in (("user", log.user_id), ("item", log.item_id)):
            found = recoded(f"{owner}_id", column)
            assert isinstance(found, Column)
            ids[owner] = found
        events = event_rows(log, lines, ids)
        num_items = len(ids["item"].values)
        before = state.pairs.user.astype(np.int64) * num_items + state.pairs.item
        keys = events.user.astype(np.int64) * num_items + events.item
        touched = np.unique(keys)
        place = np.minimum(np.searchsorted(before, touched), len(before) - 1)
        new = touched[before[place] != touched]
        pair_keys = np.insert(before, np.searchsorted(before, new), new)
        return Interactions(
            windows=windows,
            ids=ids,
            features={
                owner: {name: recoded(name, column) for name, column in columns.items()}
                for owner, columns in log.features.items()
            },
            events=events,
            pair_keys=pair_keys,
            pair=np.searchsorted(pair_keys, keys),
        )

    def begin(self, spec: DatasetSpec, facts: LogFacts) -> None:
        options, interactions, state = self.preparation, self.interactions, self._before
        self._spec = spec
        tables = saved_graph.load_tables(
            filesystem.join(self._earlier, "graph", "latest"), self._earlier_spec
        )
        known = self._earlier_spec.vocabulary("item_id").size
        self._past = ResumedPast(
            interactions,
            len(spec.tasks),
            pairs=state.pairs,
            activity=state.activity,
            events_of_item=self._counts("item_id", known) + state.counts["item_id"][1],
            tables=tables,
        )
        groupings = saved_graph.load_groupings(self._earlier, tables)
        self._graph = MergingGraph(interactions, facts, spec, options, self.data_dir)
        self._graph.go_on(
            groupings,
            saved_graph.load_placements(self._earlier, self._earlier_spec, groupings),
            tables,
            {owner: np.unique(interactions.ids[owner].rows) for owner in OWNERS},
        )
        self._numbers = NumericStatistics(interactions, spec)
        self._numbers.restore(state.numbers)
        self._shards = self._open.enter_context(
            ShardWriter(self.data_dir, options.num_shards, options.num_workers, options.seed)
        )
        self._windows = WindowWriter(interactions, spec, options)
        self._described = list(log_state.moved(state.windows))

    def regroup(self) -> None:
        """In place of nothing between `pairs` and `edges`: groups all nodes anew."""
        self._graph.regroup()

    @property
    def windows(self) -> tuple[engine.WindowDescription, ...]:
        """What each window's rows are, those of earlier windows too."""
        return tuple(self._described)

    def _state(self) -> LogState:
        state, before = super()._state(), self._before
        counts = {}
        for name, of_day in state.counts.items():
            test = before.counts[name][1]
            counts[name] = np.stack([np.pad(test, (0, of_day.shape[1] - len(test))), of_day[1]])
        return dataclasses.replace(state, counts=counts, events=(*before.events, sum(state.events)))

"""What a data set keeps of its log, so that days can be added to it without the log.

<data_dir>/state/, of data sets with `--split=time`:
  pair_user.npy, pair_item.npy   int32 [P], every pair of the log by user, then item
  pair_behaviors.npy             uint8, uint16 or uint32 [P], the tasks of each as bits
  pair_latest_<task>.npy         int64, of the pairs with the task, the time of its latest event
  <owner>_events.npy             int64 [T, V], events by task of each user, each item
  <owner>_first.npy, _latest.npy int64 [V], the times of the first and of the latest event
  <vocabulary>_counts.npy        int64 [2, V], events of the validation and of the test window
  numbers.npz                    float64 [windows, 6, W] by numeric feature, as transforms need them
  log.json                       events by window, the latest time, and what reports show of them

With up to eight tasks that is 9 bytes a pair and 8 for each of its tasks, and 8 (T + 4) a node.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.engines.engine import WindowDescription
from input_pipeline.files import filesystem
from input_pipeline.files.json_file import read_json
from input_pipeline.graph.merging_matrix import Pairs
from input_pipeline.log.interactions import OWNERS, NodeActivity
from input_pipeline.report.macro_statistics import EdgeStatistics
from input_pipeline.report.ranking import Ranking
from input_pipeline.report.window_statistics import WindowStatistics
from input_pipeline.spec import DatasetSpec

FOLDER = "state"
_BITS = (np.uint8, np.uint16, np.uint32)


@dataclasses.dataclass(frozen=True)
class LogState:
    """Of a log of P pairs, T tasks and V nodes.

    Attributes:
      pairs: all that were touched.
      activity: by owner.
      counts: by vocabulary, int64 [2, V], events of the validation and of the test window.
      numbers: by numeric feature, as `NumericStatistics.arrays` gives them.
      events: of each window.
      last_time: of the latest event.
      windows: what each window's rows are.
    """

    pairs: Pairs
    activity: Mapping[str, NodeActivity]
    counts: Mapping[str, NDArray[Any]]
    numbers: Mapping[str, NDArray[Any]]
    events: tuple[int, ...]
    last_time: int
    windows: tuple[WindowDescription, ...]

    def write(self, data_dir: str, tasks: Sequence[str]) -> None:
        """Writes `state/` of a data set directory."""
        folder = filesystem.join(data_dir, FOLDER)
        filesystem.make_dirs(folder)
        pairs = self.pairs
        arrays = {
            "pair_user": pairs.user,
            "pair_item": pairs.item,
            "pair_behaviors": pairs.behaviors.astype(behaviors_dtype(len(tasks))),
        }
        for bit, task in enumerate(tasks):
            arrays[f"pair_latest_{task}"] = pairs.latest[bit][_did(pairs.behaviors, bit)]
        for owner, activity in self.activity.items():
            arrays[f"{owner}_events"] = activity.events
            arrays[f"{owner}_first"], arrays[f"{owner}_latest"] = activity.first, activity.latest
        arrays |= {f"{name}_counts": counts for name, counts in self.counts.items()}
        for name, array in arrays.items():
            filesystem.save_array(filesystem.join(folder, f"{name}.npy"), array)
        write_facts(folder, self.numbers, self.events, self.last_time, self.windows)

    @classmethod
    def read(cls, data_dir: str, spec: DatasetSpec) -> LogState:
        """Reads what `write` wrote.

        Raises:
          ValueError: the data set has no `state/`.
        """
        folder = filesystem.join(data_dir, FOLDER)
        path = filesystem.join(folder, "log.json")
        if not filesystem.exists(path):
            raise ValueError(
                f"--from={data_dir}: keeps nothing of its log to go on from ({path} is missing): "
                "prepare it again, with --split=time"
            )

        def array(name: str) -> NDArray[Any]:
            return filesystem.load_array(filesystem.join(folder, f"{name}.npy"))

        behaviors = array("pair_behaviors").astype(np.uint32)
        latest = np.full((len(spec.tasks), len(behaviors)), np.iinfo(np.int64).min)
        for bit, task in enumerate(spec.task_names):
            latest[bit, _did(behaviors, bit)] = array(f"pair_latest_{task}")
        told = read_json(path, "Without it no day can be added: prepare the data set again")
        return cls(
            pairs=Pairs(array("pair_user"), array("pair_item"), behaviors, latest),
            activity={
                owner: NodeActivity(*(array(f"{owner}_{n}") for n in ("events", "first", "latest")))
                for owner in OWNERS
            },
            counts={v.name: array(f"{v.name}_counts") for v in spec.vocabularies},
            numbers=filesystem.load_arrays(filesystem.join(folder, "numbers.npz")),
            events=tuple(told["events"]),
            last_time=told["last_time"],
            windows=tuple(map(_window, told["windows"])),
        )


def behaviors_dtype(num_tasks: int) -> Any:
    """Of `pair_behaviors.npy`."""
    return next(kind for kind in _BITS if num_tasks <= np.iinfo(kind).bits)


def write_facts(
    folder: str,
    numbers: Mapping[str, NDArray[Any]],
    events: tuple[int, ...],
    last_time: int,
    windows: Sequence[WindowDescription],
) -> None:
    """Writes the files of `state/` that do not grow with nodes and pairs, as `LogState` has them.

    Without log.json, which comes last, nothing is read of the others.
    """
    filesystem.save_arrays(filesystem.join(folder, "numbers.npz"), dict(numbers))
    told = {
        "events": events,
        "last_time": last_time,
        "windows": [dataclasses.asdict(window) for window in windows],
    }
    filesystem.write_text(filesystem.join(folder, "log.json"), json.dumps(told) + "\n")


def _did(behaviors: NDArray[Any], bit: int) -> NDArray[Any]:
    return ((behaviors >> np.uint32(bit)) & np.uint32(1)).astype(bool)


def _window(told: dict[str, Any]) -> WindowDescription:
    """What `dataclasses.asdict` made, with rankings as lists."""
    statistics = dict(told["statistics"])
    statistics["aucs"] = {
        signal: {task: None if one is None else Ranking(*one) for task, one in by_task.items()}
        for signal, by_task in statistics["aucs"].items()
    }
    edges = told["edges"]
    return WindowDescription(
        statistics=WindowStatistics(**statistics),
        edges=None if edges is None else EdgeStatistics(**edges),
        missing_negatives=told["missing_negatives"],
        dropped_cold_rows=told["dropped_cold_rows"],
    )


def moved(windows: Sequence[WindowDescription]) -> tuple[WindowDescription, ...]:
    """The windows before a new last one: the two last of them become training and validation."""

    def renamed(window: WindowDescription, name: str) -> WindowDescription:
        edges = window.edges and dataclasses.replace(window.edges, name=name)
        statistics = dataclasses.replace(window.statistics, name=name)
        return dataclasses.replace(window, statistics=statistics, edges=edges)

    trained = renamed(windows[-2], f"training window {len(windows) - 2}")
    return (*windows[:-2], trained, renamed(windows[-1], "validation"))

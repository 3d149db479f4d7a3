"""How long exported models take to answer: their SavedModels, in sessions of this process.

All models take turns, round by round, so that they meet the same state of the machine; medians are
told. What is measured is a call of a signature as a server for CPU runs it, its operations one
after the other in the thread that calls: no network, no batching of requests.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from input_pipeline.dataset import open_examples
from input_pipeline.spec import DatasetSpec, read_spec

BATCH_SIZES = (1, 100, 1024)
# flat rows; a user's features with candidates' features; ids alone
SIGNATURES = ("serving_default", "rank", "rank_ids")
_CALLS_A_TURN = 3
_WARM_UPS = 2
_USER_OWNED = ("user", "context")


@dataclasses.dataclass(frozen=True)
class Timing:
    """Of a model, a signature and a number of rows.

    Attributes:
      model, signature, rows: what was called.
      median_ms, p90_ms: over `calls`, each of `rows` rows.
      calls: how many were measured.
    """

    model: str
    signature: str
    rows: int
    median_ms: float
    p90_ms: float
    calls: int


def measure(
    exports: Mapping[str, str],
    data_dir: str,
    *,
    rounds: int,
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> list[Timing]:
    """Milliseconds of the calls of every model, signature and batch size.

    Args:
      exports: the SavedModels of one data set by model.
      data_dir: its rows are asked for: flat ones of the test window and, of a list, a user's with
        as many candidates.
      rounds: turns of each.
      batch_sizes: rows of a call.
    """
    rows = {size: first_rows(data_dir, size) for size in batch_sizes}
    spec = read_spec(data_dir)
    calls: dict[tuple[str, str, int], Callable[[], Any]] = {}
    with contextlib.ExitStack() as sessions:
        for model, path in exports.items():
            served = sessions.enter_context(contextlib.closing(_Served(path)))
            # an export without the graph has no rank_ids
            for name in (name for name in SIGNATURES if name in served.signatures):
                for size, features in rows.items():
                    arguments = request(features, spec, flat=name == SIGNATURES[0])
                    calls[model, name, size] = served.call(name, arguments)
        measured = take_turns(calls, rounds)
    return [
        Timing(*place, float(np.median(times)), float(np.quantile(times, 0.9)), len(times))
        for place, times in measured.items()
    ]


def take_turns(
    calls: Mapping[tuple[str, str, int], Callable[[], Any]], rounds: int
) -> dict[tuple[str, str, int], list[float]]:
    """Milliseconds of each call, A B C A B C ...; the first turns are not counted.

    The first call of a turn, in which memory is the other models', is not counted either.
    """
    times: dict[tuple[str, str, int], list[float]] = {place: [] for place in calls}
    for turn in range(_WARM_UPS + rounds):
        for place, call in calls.items():
            call()
            for _ in range(_CALLS_A_TURN):
                start = time.perf_counter()
                call()
                if turn >= _WARM_UPS:
                    times[place].append((time.perf_counter() - start) * 1000)
    return times


class _Served:
    """An export in a session of its own."""

    def __init__(self, path: str) -> None:
        # -1: the thread that calls; where there are several devices, TensorFlow's threads
        config = tf.compat.v1.ConfigProto(inter_op_parallelism_threads=-1)
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        with self._session.graph.as_default():
            tags = [tf.saved_model.SERVING]
            meta_graph = tf.compat.v1.saved_model.load(self._session, tags, path)
        self.signatures = dict(meta_graph.signature_def)

    def call(self, signature: str, arguments: Mapping[str, tf.Tensor]) -> Callable[[], Any]:
        """What asks for all outputs of a signature; it takes those of the arguments that it has."""
        inputs, outputs = self.signatures[signature].inputs, self.signatures[signature].outputs
        run = self._session.make_callable(
            [tensor.name for tensor in outputs.values()],
            [tensor.name for tensor in inputs.values()],
        )
        values = [arguments[name].numpy() for name in inputs]
        return lambda: run(*values)

    def close(self) -> None:
        self._session.close()


def first_rows(data_dir: str, number: int) -> dict[str, tf.Tensor]:
    """The first rows of the test window, flat; those of a smaller window again and again."""
    spec = read_spec(data_dir)
    names = [feature.name for feature in spec.input_features]
    examples = open_examples(data_dir, spec, ["test"], names)
    features = {feature.name: feature for feature in spec.input_features}
    parts: dict[str, list[Any]] = {name: [] for name in names}
    have = 0
    for columns in examples.ordered_batches(number, encode=lambda parsed: parsed):
        users = columns.get("user_row")
        for name in names:
            value = columns[name]
            if users is not None and features[name].owner == "user":
                value = tf.gather(value, users)
            parts[name].append(value)
        have += int(parts[names[0]][-1].shape[0])
        if have >= number:
            break
    joined = {name: tf.concat(_even(values), axis=0) for name, values in parts.items()}
    places = tf.range(number) % have
    return {name: tf.gather(value, places) for name, value in joined.items()}


def _even(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Lists of every batch as long as the longest."""
    if values[0].shape.rank != 2:
        return list(values)
    longest = max(int(value.shape[1]) for value in values)
    return [tf.pad(value, [[0, 0], [0, longest - int(value.shape[1])]]) for value in values]


def request(
    rows: Mapping[str, tf.Tensor], spec: DatasetSpec, *, flat: bool
) -> dict[str, tf.Tensor]:
    """What a signature takes: flat rows, or the first row's user with all rows' items.

    Args:
      rows: flat, [N, ...].
      spec: of the data set.
      flat: else what belongs to the user or the request is [1, ...] and to the item [1, N, ...].
    """
    if flat:
        return dict(rows)
    owners = {feature.name: feature.owner for feature in spec.input_features}
    return {
        name: value[:1] if owners[name] in _USER_OWNED else value[tf.newaxis]
        for name, value in rows.items()
    }


def machine() -> dict[str, Any]:
    """What was measured on."""
    return {
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "tensorflow": tf.__version__,
    }


class OtherWork:
    """What share of the processors' time other processes take, from when it is made; Linux.

    Of /proc/stat: time that is neither idle nor this process's own.
    """

    def __init__(self) -> None:
        self._begun = self._times()

    @staticmethod
    def _times() -> tuple[float, float, float]:
        """Seconds of all processors, of those that had work, and of this process."""
        # https://www.kernel.org/doc/Documentation/filesystems/proc.txt: user, nice, system, idle,
        # iowait, irq, softirq, steal
        fields = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        ticks = [int(field) / os.sysconf("SC_CLK_TCK") for field in fields]
        own = os.times()
        return sum(ticks), sum(ticks) - ticks[3] - ticks[4], own.user + own.system

    def share(self) -> float:
        """In [0, 1]."""
        total, busy, own = np.subtract(self._times(), self._begun)
        return float(np.clip((busy - own) / total, 0, 1)) if total > 0 else 0.0

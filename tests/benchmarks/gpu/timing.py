"""Milliseconds of inference and of training steps in TensorFlow, on whatever device it runs on.

Axes: B rows.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from input_pipeline.feature import USER_ROW
from input_pipeline.spec import DatasetSpec
from mgoe_tf.models.base import RankingModel
from tests.benchmarks.runs import Run, parsed_batches

_WARM_UPS = 3


@dataclasses.dataclass(frozen=True)
class Case:
    """What is timed of a model.

    Attributes:
      model: its name.
      precision: of `mgoe_tf.train`.
      xla: whether XLA compiles the network, and the losses with their gradients.
      what: `flat`, every row with a user of its own; `ranked`, all rows one user's, whose part is
        computed once; `step`, of training, flat.
      rows: B.
    """

    model: str
    precision: str
    xla: bool
    what: str
    rows: int


@dataclasses.dataclass(frozen=True)
class Timing:
    """A case with the milliseconds of its calls, or with why there are none."""

    case: Case
    milliseconds: tuple[float, ...] = ()
    failure: str = ""

    def to_json(self) -> dict[str, Any]:
        """The case, the median and the 90th percentile of its calls; or the failure."""
        case = dataclasses.asdict(self.case)
        if self.failure:
            return {**case, "failure": self.failure}
        low, high = np.quantile(self.milliseconds, (0.5, 0.9)).tolist()
        return {**case, "median_ms": low, "p90_ms": high, "calls": len(self.milliseconds)}


def time_model(
    name: str,
    data_dir: str,
    *,
    precision: str,
    xla: bool,
    batch_sizes: Sequence[int],
    train_batch_size: int,
    calls: int,
) -> Iterator[Timing]:
    """Times all that is asked of one model, precision and compiler; what fails is told, not raised.

    Args:
      name: of the model.
      data_dir: whose rows are taken; the model's tables are of its size.
      precision, xla: see `Case`.
      batch_sizes: rows of inference.
      train_batch_size: rows of a step.
      calls: timed ones of each case.
    """

    def case(what: str, rows: int) -> Case:
        return Case(name, precision, xla, what, rows)

    cases = [case(what, rows) for what in ("flat", "ranked") for rows in batch_sizes]
    cases.append(case("step", train_batch_size))
    try:
        run = Run.of(name, data_dir, precision=precision, xla=xla)
    except Exception as error:
        yield from (Timing(one, failure=_told(error)) for one in cases)
        return
    for one in cases:
        try:
            yield Timing(one, _milliseconds(_call(run, data_dir, one), calls))
        except Exception as error:
            yield Timing(one, failure=_told(error))


def _call(run: Run, data_dir: str, case: Case) -> Callable[[], Any]:
    """What makes one call and waits for its end; all that it takes is on the device."""
    [parsed] = parsed_batches(data_dir, "train", case.rows, 1)
    have = int(parsed["user_id"].shape[0])
    places = tf.range(case.rows) % have
    features, labels = tf.nest.map_structure(
        lambda value: tf.gather(value, places), run.encode(parsed)
    )
    # side features of neighbours are named <neighbours>/<column>
    names = set(run.model.feature_names)
    features = {key: value for key, value in features.items() if key.split("/")[0] in names}
    if case.what == "step":
        step = tf.function(run.step, autograph=False)
        return lambda: step((features, labels))["loss"].numpy()
    if case.what == "ranked":
        features = of_one_user(features, run.spec)
    infer = tf.function(_inference(run.model, case.xla), autograph=False)
    return lambda: [logit.numpy() for logit in infer(features).values()]


def of_one_user(features: Mapping[str, tf.Tensor], spec: DatasetSpec) -> dict[str, tf.Tensor]:
    """Flat rows as candidates of the first row's user, whose features are there once."""
    rows = next(iter(features.values())).shape[0]
    found = {
        name: value[:1] if spec.feature(name.split("/")[0]).owner == "user" else value
        for name, value in features.items()
    }
    return found | {USER_ROW: tf.zeros([rows], tf.int32)}


def _inference(model: RankingModel, xla: bool) -> Callable[..., dict[str, tf.Tensor]]:
    """From encoded features to logits; the lookups, whose shapes follow the ids, are not XLA's."""
    network = (
        tf.function(model.network, autograph=False, jit_compile=True) if xla else model.network
    )

    def infer(features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return network(model.embed(features))

    return infer


def _milliseconds(call: Callable[[], Any], calls: int) -> tuple[float, ...]:
    found = []
    for number in range(_WARM_UPS + calls):
        start = time.perf_counter()
        call()
        if number >= _WARM_UPS:
            found.append((time.perf_counter() - start) * 1000)
    return tuple(found)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip()[:500]

"""Suite `step`: training steps of MGOE and MMoE, beside the MMoE of other libraries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from input_pipeline.dataset import open_examples
from input_pipeline.spec import RECORD_LAYOUTS
from mgoe_tf.evaluation import metrics
from mgoe_tf.training.batches import WINDOWS, TrainingBatches
from mgoe_tf.training.loop import timed_step
from tests.benchmarks.context import Context
from tests.benchmarks.flops import matmul_flops
from tests.benchmarks.line import Goal, Line
from tests.benchmarks.measure import alternate
from tests.benchmarks.peers import installed_peers
from tests.benchmarks.runs import Run, parsed_batches

_VALIDATION_BATCHES = 20


class Ours:
    """A model of this project: how it takes a batch and a step, and what it predicts."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.parameters = run.model.count_params()
        self._train = tf.function(run.step, autograph=False, reduce_retracing=True)
        self._predict = tf.function(run.model, autograph=False, reduce_retracing=True)

    def batch(self, features: dict[str, tf.Tensor], labels: dict[str, tf.Tensor]) -> Any:
        """What `step` takes, of features that may be more than the model reads."""
        return self._inputs(features), labels

    def step(self, batches: Iterator[Any]) -> float:
        """One step on the next batch; its loss, once it is done."""
        return float(self._train(next(batches))["loss"])

    def logits(self, features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return self._predict(self._inputs(features))

    def flops(self, features: dict[str, tf.Tensor]) -> int:
        """Of the matrix products of a forward pass."""
        return matmul_flops(self.run.model, self._inputs(features))

    def _inputs(self, features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        # side features of neighbours are named <neighbours>/<column>
        names = self.run.model.feature_names
        return {name: value for name, value in features.items() if name.split("/")[0] in names}


def run(context: Context) -> list[Line]:
    """Milliseconds of a step on batches in memory, and rows a second of training from disk."""
    data_dir = context.data_dir()
    mgoe, mmoe = (Ours(Run.of(context.sized(name), data_dir)) for name in ("mgoe", "mmoe"))
    # Models of their own read from disk, so that all others are compared after the same steps.
    streaming = {
        layout: Run.of(context.sized("mgoe"), context.data_dir(layout)) for layout in RECORD_LAYOUTS
    }
    spec, options = mgoe.run.spec, mgoe.run.options
    columns = {column.name: column.embedded + 1 for column in spec.vocabularies}
    parties: dict[str, Any] = {"mgoe": mgoe, "mmoe": mmoe}
    for name, peer in installed_peers().items():
        parties[name] = peer(columns, spec.task_names, options.learning_rate)
    train, validation = (
        [mgoe.run.encode(rows) for rows in parsed_batches(data_dir, window, options.batch_size, n)]
        for window, n in (("train", context.scale.steps), ("validation", _VALIDATION_BATCHES))
    )
    shares: dict[str, list[float]] = {layout: [] for layout in RECORD_LAYOUTS}
    samples = alternate(
        {
            **{name: milliseconds(party, train) for name, party in parties.items()},
            **{
                layout: _from_disk(streamed, 2 * context.scale.steps, shares[layout])
                for layout, streamed in streaming.items()
            },
        },
        context.scale.rounds,
        warm_ups=1,
    )
    told = {name: _details(party, validation) for name, party in parties.items()}
    name = f"a step of {options.batch_size:,} rows"
    rows = options.batch_size * 1000
    return [
        Line(f"MGOE: {name}", "ms", samples["mgoe"], samples["mmoe"], "our MMoE",
             Goal("ratio", at_most=4), {"ours": told["mgoe"], "peer": told["mmoe"]}),
        *(
            Line(f"MMoE: {name}", "ms", samples["mmoe"], samples[peer], peer,
                 Goal("ratio", at_most=1), {"ours": told["mmoe"], "peer": told[peer]})
            for peer in parties
            if peer not in ("mgoe", "mmoe")
        ),
        *(
            Line(f"MGOE: training from disk, {layout} layout", "rows/s", samples[layout],
                 [rows / sample for sample in samples["mgoe"]], "batches in memory")
            for layout in RECORD_LAYOUTS
        ),
        *(
            Line(f"MGOE: share of time waiting for input, {layout} layout", "",
                 shares[layout][-context.scale.rounds :], goal=Goal("ours", at_most=0.05))
            for layout in RECORD_LAYOUTS
        ),
    ]  # fmt: skip


def milliseconds(party: Any, encoded: list[Any]) -> Callable[[], float]:
    """What measures the mean time of a step, over one pass through some batches."""
    batches = [party.batch(*batch) for batch in encoded]

    def measure() -> float:
        iterator = iter(batches)
        start = time.perf_counter()
        for _ in batches:
            party.step(iterator)
        return (time.perf_counter() - start) * 1000 / len(batches)

    return measure


def _from_disk(run: Run, steps: int, shares: list[float]) -> Callable[[], float]:
    """What measures rows a second after the first batch; shares of time waiting go to `shares`."""
    train = timed_step(run.step, tf.distribute.get_strategy())
    examples = open_examples(
        run.options.data_dir, run.spec, WINDOWS[run.options.train_rows], run.lookup.names
    )
    source = TrainingBatches(examples, run.lookup, run.spec, run.options)

    def measure() -> float:
        batches = iter(source.dataset(0).repeat().take(1 + steps))
        float(train(batches)[0]["loss"])
        waited, start = 0.0, time.perf_counter()
        for _ in range(steps):
            losses, waited_seconds = train(batches)
            waited += float(waited_seconds)
            float(losses["loss"])
        seconds = time.perf_counter() - start
        shares.append(waited / seconds)
        return steps * source.batch_size / seconds

    return measure


def _details(party: Any, validation: list[Any]) -> dict[str, float]:
    """Size, arithmetic, and the quality after the measured steps."""
    by_batch = [(party.logits(features), labels) for features, labels in validation]
    logits, labels = (
        {task: tf.concat([part[task] for part in parts], axis=0).numpy() for task in parts[0]}
        for parts in zip(*by_batch, strict=True)
    )
    first = next(iter(labels.values()))
    average = metrics.report("validation", labels, logits, first.astype(int), slices={})["average"]
    features = validation[0][0]
    return {
        "parameters": party.parameters,
        "forward FLOP a row": party.flops(features) / len(features["user_id"]),
        "validation logloss": average["logloss"],
        "validation AUC": average["auc"],
    }

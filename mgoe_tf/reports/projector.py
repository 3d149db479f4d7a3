"""The projector of TensorBoard: embeddings of macro nodes and of items as points in space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from numpy.typing import NDArray
from tensorboard.plugins.projector import ProjectorConfig, metadata

from input_pipeline.files import filesystem
from input_pipeline.log import vocabulary
from input_pipeline.log.raw_ids import as_array
from mgoe_tf.evaluation.evaluator import Evaluator
from mgoe_tf.layers.id_embeddings import Bags
from mgoe_tf.reports.run_facts import RunFacts

# The browser gets all points at once.
MOST_ITEMS = 2000
# As many rows of the mean rate are added to those of each point, so that rare ones say little.
_PRIOR_ROWS = 10.0


def write(folder: str, facts: RunFacts, evaluator: Evaluator) -> None:
    """Writes points, what is told of them, and the projector's configuration.

    Args:
      folder: of a TensorBoard run.
      facts: of the model.
      evaluator: of the model; tells the data set.
    """
    config = ProjectorConfig()
    tables = {"items": _items(facts, evaluator)}
    if facts.loaded.model.macro_embeddings():
        tables["macro_nodes"] = _macro_nodes(facts)
    for name, (points, told) in tables.items():
        if not len(points):
            continue
        _write_lines(filesystem.join(folder, f"{name}.tsv"), points.tolist())
        rows = zip(*told.values(), strict=True)
        _write_lines(filesystem.join(folder, f"{name}_labels.tsv"), [list(told), *rows])
        embedding = config.embeddings.add()
        embedding.tensor_name = name.replace("_", " ")
        embedding.tensor_path = f"{name}.tsv"
        embedding.metadata_path = f"{name}_labels.tsv"
    text = text_format.MessageToString(config)
    filesystem.write_text(filesystem.join(folder, metadata.PROJECTOR_FILENAME), text)


def _write_lines(path: str, rows: Sequence[Sequence[Any]]) -> None:
    text = "".join("\t".join(map(_cell, row)) + "\n" for row in rows)
    filesystem.write_text(path, text)


def _cell(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("\t", " ").replace("\n", " ").replace("\r", " ")


def _items(
    facts: RunFacts, evaluator: Evaluator
) -> tuple[NDArray[Any], Mapping[str, Sequence[Any]]]:
    """The embeddings of the items with the most rows in the window, [P, D], and their labels."""
    spec, model, rows = facts.spec, facts.loaded.model, facts.scored.rows
    feature = spec.select("item", "id")[0]
    counts = np.bincount(rows.nodes["item"] + 1)[1:]
    chosen = np.argsort(-counts, kind="stable")[:MOST_ITEMS]
    chosen = chosen[counts[chosen] > 0]
    raw = as_array(vocabulary.read_ids(evaluator.data_dir, spec, feature.name)[chosen])
    dtype = tf.string if raw.dtype == object or raw.dtype.kind == "S" else tf.int64
    embedded = facts.loaded.lookup.rows(feature.name, tf.constant(raw.tolist(), dtype))
    known = embedded.numpy() > 0
    chosen = chosen[known]
    if not len(chosen):
        return np.zeros((0, 0), np.float32), {}
    bags = {feature.name: Bags.of_single_ids(tf.boolean_mask(embedded, known))}
    points = model.sums(bags)[feature.name].numpy()
    # an item's macro node is that of its rows: the window's graph is one
    macro = np.full(len(counts) + 1, -1, np.int32)
    macro[rows.nodes["item"]] = rows.macro["item"]
    told = {
        "item": raw[known].tolist(),
        "macro node": [_group(node) for node in macro[chosen].tolist()],
        "rows": counts[chosen].tolist(),
        **_rates(facts, rows.nodes["item"], chosen),
    }
    return points, told


def _macro_nodes(facts: RunFacts) -> tuple[NDArray[Any], Mapping[str, Sequence[Any]]]:
    """The embeddings of all macro nodes by side and task, [P, D], and their labels."""
    points, told = [], []
    for owner, table in facts.loaded.model.macro_embeddings().items():
        number = table.shape[1]
        members = facts.graph.sizes[owner]
        rates = _rates(facts, facts.scored.rows.macro[owner], np.arange(number))
        for task, of_task in zip(facts.spec.task_names, table.numpy(), strict=True):
            points.append(of_task)
            told += [
                {
                    "name": f"{owner} {node} {task}",
                    "side": owner,
                    "macro node": _group(node),
                    "task": task,
                    "members": int(members[node]),
                    **{name: values[node] for name, values in rates.items()},
                }
                for node in range(number)
            ]
    return np.concatenate(points), {name: [row[name] for row in told] for name in told[0]}


def _group(node: int) -> str:
    """A macro node as text: the projector has a colour for each then, not shades of a number."""
    return f"group {node}" if node >= 0 else "none"


def _rates(facts: RunFacts, groups: NDArray[Any], chosen: NDArray[Any]) -> dict[str, list[float]]:
    """By task, the share of positive rows of some groups of rows, drawn to the mean share."""
    rates = {}
    size = max(int(groups.max(initial=-1)), int(chosen.max(initial=-1))) + 2
    for task, labels in facts.scored.rows.labels.items():
        known = labels >= 0
        rows = np.bincount(groups[known] + 1, minlength=size)[1:]
        positives = np.bincount(groups[known] + 1, labels[known], size)[1:]
        mean = positives.sum() / max(1, rows.sum())
        rate = (positives + _PRIOR_ROWS * mean) / (rows + _PRIOR_ROWS)
        rates[f"{task} rate"] = rate[chosen].tolist()
    return rates

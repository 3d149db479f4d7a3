"""What an export has to pass before it is published.

Axes: B rows, U users, N candidates of a user.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging
from numpy.typing import NDArray

from export import publication
from export.client.snapshot import GraphSnapshot
from export.score_weights import SCORE, score_weights
from export.signatures import is_asked
from input_pipeline.exact_auc import auc
from input_pipeline.feature import NODES
from input_pipeline.files import filesystem
from input_pipeline.files.json_file import read_json
from input_pipeline.files.literal_path import literal_path
from input_pipeline.records.example_parsing import parse_examples
from input_pipeline.records.example_rows import first_examples
from input_pipeline.spec import INPUT_OWNERS
from mgoe_tf.training.checkpoints import LoadedModel

TOLERANCE = 1e-5  # what an export may differ from Keras, in any output
# The same of what reads the graph's tables, by the type of their numbers.
TABLE_TOLERANCES = {"float32": TOLERANCE, "float16": 1e-2, "int8": 1e-1}
_FROM_TABLES = ("rank_ids", "explain")
COMPARED_ROWS = 1000
_AUC_ROWS = 10_000
_ROWS_AT_ONCE = 1000  # of users of their own: each may bring some 100 kB of kernels
METRICS_FILE = "evaluation.json"
_COMPARED_USERS = 10
Rows = Mapping[str, NDArray[Any]]


class KerasAnswers:
    """What the Keras model says to raw rows.

    Args:
      loaded: the trained model.
      weights: of the tasks in the score; None: equal.
    """

    def __init__(self, loaded: LoadedModel, weights: tuple[float, ...] | None) -> None:
        self._loaded = loaded
        self._weights = score_weights(weights, len(loaded.spec.tasks))

    def _encode(self, raw: Rows) -> dict[str, tf.Tensor]:
        features = {name: tf.constant(value) for name, value in raw.items()}
        encoded: dict[str, tf.Tensor] = self._loaded.lookup(features)
        return encoded

    def predict(self, raw: Rows) -> dict[str, NDArray[Any]]:
        """Probabilities by task and the score, [B] each."""
        logits = self._loaded.model(self._encode(raw), training=False)
        tasks = self._loaded.spec.task_names
        answers = {task: tf.sigmoid(tf.cast(logits[task], tf.float32)).numpy() for task in tasks}
        powers = [answers[task] ** w for task, w in zip(tasks, self._weights, strict=True)]
        return answers | {SCORE: np.prod(powers, axis=0)}

    def classify(self, raw: Rows) -> dict[str, NDArray[Any]]:
        """`scores` [B, T], as signature `classify` gives them."""
        answers = self.predict(raw)
        return {"scores": np.stack([answers[task] for task in self._loaded.spec.task_names], 1)}

    def regress(self, raw: Rows) -> dict[str, NDArray[Any]]:
        """`outputs` [B], as signature `regress` gives them."""
        return {"outputs": self.predict(raw)[SCORE]}

    def knows(self, raw: Rows, snapshot: GraphSnapshot) -> dict[str, NDArray[Any]]:
        """Whether the graph or an embedding table has users and items, as `known_ids` says it."""
        known = {}
        for owner in NODES:
            ids = raw[f"{owner}_id"]
            own = self._loaded.lookup.has_own_row(f"{owner}_id", tf.constant(ids)).numpy()
            known[f"known_{owner}"] = (snapshot.rows(owner, ids) >= 0) | own
        return known

    def explain(self, raw: Rows) -> dict[str, NDArray[Any]]:
        """What the model attends to, by the names of signature `explain`."""
        explained = self._loaded.model.explain(self._loaded.model.embed(self._encode(raw)))
        return {name: value.numpy() for name, value in explained.items()}


def _difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest between two arrays [R]; NaN where only one of two numbers is NaN."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    both = np.isnan(found) & np.isnan(expected)
    return float(np.max(np.where(both, 0.0, np.abs(found - expected)), initial=0.0))


def _as_lists(raw: Rows, items: set[str]) -> tuple[Rows, Rows]:
    """Rows as requests of `rank`, users and context [U, ...], candidates [U, N, ...], and flat."""
    rows = len(next(iter(raw.values())))
    users = min(_COMPARED_USERS, rows)
    candidates = rows // users
    user_row = np.repeat(np.arange(users), candidates)
    lists, flat = {}, {}
    for name, value in raw.items():
        if name in items:
            flat[name] = value[: users * candidates]
            lists[name] = flat[name].reshape(users, candidates, *value.shape[1:])
        else:
            lists[name], flat[name] = value[:users], value[user_row]
    return lists, flat


def _compared_rows(loaded: LoadedModel, data_dir: str) -> tuple[tf.Tensor, dict[str, NDArray[Any]]]:
    """The first validation rows: serialized [B], and their raw features [B, ...] by name."""
    serialized = first_examples(data_dir, "validation", COMPARED_ROWS)
    features = [loaded.spec.feature(name) for name in loaded.model.feature_names]
    parsed = parse_examples(serialized, features)
    return serialized, {name: value.numpy() for name, value in parsed.items()}


def validation_answers(loaded: LoadedModel, data_dir: str) -> dict[str, NDArray[Any]]:
    """Probabilities by task and the score of the Keras model on validation rows, [B] each."""
    _, raw = _compared_rows(loaded, data_dir)
    return KerasAnswers(loaded, None).predict(raw)


def compare(
    export_dir: str,
    loaded: LoadedModel,
    snapshot: GraphSnapshot,
    weights: tuple[float, ...] | None = None,
    table_dtype: str = "float32",
) -> float:
    """The largest difference of any signature from the Keras model, on validation rows.

    Keras knows no tables and no states of nodes: what an export folded into them is compared with
    the network that was trained.

    Args:
      export_dir: the export.
      loaded: the model that it was made of.
      snapshot: the graph inside the export; its data set has the rows.
      weights: of the tasks in the score.
      table_dtype: of the graph's tables.

    Raises:
      ValueError: it is above TOLERANCE, or of what reads tables above that of `table_dtype`.
    """
    serialized, raw = _compared_rows(loaded, snapshot.data_dir)
    features = [loaded.spec.feature(name) for name in loaded.model.feature_names]
    names = {
        owner: [feature.name for feature in features if feature.owner == owner]
        for owner in INPUT_OWNERS
    }
    lists, flat = _as_lists(raw, set(names["item"]))
    pairs = {f"{owner}_id": flat[f"{owner}_id"] for owner in NODES}
    ids = {feature.name: lists[feature.name] for feature in features if is_asked(feature)}
    joined = {name: flat[name] for name in names["context"]}
    for owner in NODES:
        joined |= snapshot.features(owner, flat[f"{owner}_id"], names[owner])

    keras = KerasAnswers(loaded, weights)
    cases = {
        "serving_default": (raw, keras.predict, raw),
        "examples": ({"examples": serialized}, keras.predict, raw),
        "classify": ({"inputs": serialized}, keras.classify, raw),
        "regress": ({"inputs": serialized}, keras.regress, raw),
        "rank": (lists, keras.predict, flat),
        "rank_ids": (ids, keras.predict, joined),
        "explain": (ids, keras.explain, joined),
        "known_ids": (pairs, lambda rows: keras.knows(rows, snapshot), pairs),
    }
    worst = 0.0
    for name, signature in tf.saved_model.load(literal_path(export_dir)).signatures.items():
        inputs, answer, rows = cases[name]
        tolerance = TABLE_TOLERANCES[table_dtype] if name in _FROM_TABLES else TOLERANCE
        outputs = signature(**{key: tf.constant(value) for key, value in inputs.items()})
        for output, values in answer(rows).items():
            difference = _difference(np.ravel(outputs[output]), np.ravel(values))
            if not difference <= tolerance:
                raise ValueError(
                    f"not published: {output} of signature {name} differs from the Keras model by "
                    f"{difference:.3g} on validation rows, at most {tolerance:g} is allowed"
                )
            worst = max(worst, difference)
    logging.info("the export and the Keras model differ by at most %.3g", worst)
    return worst


def table_loss(
    export_dir: str, loaded: LoadedModel, snapshot: GraphSnapshot
) -> dict[str, dict[str, float | None]]:
    """AUC of `rank_ids`, and how much better the network is on numbers that nobody rounded.

    Both read the graph that the export holds, so that the AUC is no measure of the model, only of
    what tables of fewer bits cost.

    Args:
      export_dir, loaded, snapshot: see `compare`; the first validation rows of the data set count.

    Returns:
      By task, `auc`, `auc_lost` and `largest_difference` of the probability; None without rows of
      both classes.
    """
    serialized = first_examples(snapshot.data_dir, "validation", _AUC_ROWS)
    features = [loaded.spec.feature(name) for name in loaded.model.feature_names]
    asked = [feature for feature in features if is_asked(feature)]
    labels = dict(zip(loaded.spec.task_names, loaded.spec.label_features, strict=True))
    parsed = parse_examples(serialized, [*asked, *labels.values()])
    raw = {name: value.numpy() for name, value in parsed.items()}
    joined = {f.name: raw[f.name] for f in asked if f.owner == "context"}
    for owner in NODES:
        names = [feature.name for feature in features if feature.owner == owner]
        joined |= snapshot.features(owner, raw[f"{owner}_id"], names)
    expected = KerasAnswers(loaded, None).predict(joined)
    signature = tf.saved_model.load(literal_path(export_dir)).signatures["rank_ids"]
    answers = _ranked_alone(signature, {f.name: raw[f.name] for f in asked})
    found: dict[str, dict[str, float | None]] = {}
    for task, label in labels.items():
        known = raw[label.name] >= 0
        y, before, after = (
            values[known] for values in (raw[label.name], expected[task], answers[task])
        )
        exact, rounded = auc(y, before), auc(y, after)
        lost = None if exact is None or rounded is None else exact - rounded
        difference = _difference(answers[task], expected[task])
        found[task] = {"auc": rounded, "auc_lost": lost, "largest_difference": difference}
    return found


def _ranked_alone(signature: Any, ids: Rows) -> dict[str, NDArray[Any]]:
    """Answers of `rank_ids`, [B] each, to a user with one candidate a row; some rows at a time."""
    batches = []
    for start in range(0, len(ids["item_id"]), _ROWS_AT_ONCE):
        part = {name: value[start : start + _ROWS_AT_ONCE] for name, value in ids.items()}
        part["item_id"] = part["item_id"][:, np.newaxis]
        outputs = signature(**{name: tf.constant(value) for name, value in part.items()})
        batches.append({name: value.numpy()[:, 0] for name, value in outputs.items()})
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def check_metrics(
    metrics: Mapping[str, Any], base_path: str, min_auc: float | None, max_auc_drop: float | None
) -> None:
    """Compares a model's mean validation AUC with a bound and with the newest version's.

    Args:
      metrics: what will be METRICS_FILE of the export.
      base_path: of the published versions.
      min_auc: the least mean AUC; None: any.
      max_auc_drop: by how much it may be below the newest version's; None: by any.

    Raises:
      ValueError: the model is worse, or has no such metric.
    """
    if min_auc is None and max_auc_drop is None:
        return
    mean = _mean_auc(metrics)
    if mean is None:
        raise ValueError("not published: the model has no validation AUC, which a bound asks for")
    if min_auc is not None and mean < min_auc:
        raise ValueError(
            f"not published: --min_auc: the mean validation AUC must be at least {min_auc:g}, got "
            f"{mean:.6f}"
        )
    published = publication.versions(base_path)
    if max_auc_drop is None or not published:
        return
    path = filesystem.join(base_path, str(published[-1]), "assets.extra", METRICS_FILE)
    advice = "Export without --max_auc_drop, or remove that version"
    live = _mean_auc(read_json(path, advice)) if filesystem.exists(path) else None
    if live is None:
        raise ValueError(f"not published: --max_auc_drop: {path} tells no mean validation AUC")
    if mean < live - max_auc_drop:
        raise ValueError(
            f"not published: --max_auc_drop: the mean validation AUC must be at least "
            f"{live - max_auc_drop:.6f}, {max_auc_drop:g} below that of version {published[-1]}, "
            f"got {mean:.6f}"
        )


def _mean_auc(metrics: Mapping[str, Any]) -> float | None:
    return ((metrics.get("validation") or {}).get("average") or {}).get("auc")

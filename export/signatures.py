"""The functions of an export: raw ids in, named probabilities out.

Axes: B users, or flat rows; N candidates of a user; T tasks; K macro nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import tensorflow as tf

from export.client.snapshot import GraphSnapshot
from export.frozen import frozen
from export.graph_tables import GraphTables
from export.row_checks import RowChecks
from input_pipeline.records.example_parsing import DTYPES, parse_examples
from input_pipeline.spec import USER_ROW, DatasetSpec, Feature

SCORE = "score"
METHOD_NAMES = {
    "classify": tf.saved_model.CLASSIFY_METHOD_NAME,
    "regress": tf.saved_model.REGRESS_METHOD_NAME,
}
_OWNERS = ("user", "item")
Tensors: TypeAlias = Mapping[str, tf.Tensor]
_OfTensors: TypeAlias = Callable[[Tensors], Tensors]


def score_weights(weights: Sequence[float] | None, num_tasks: int) -> tuple[float, ...]:
    """The weights of the tasks in the score, summing to 1; equal ones where none are given."""
    weights = tuple(weights) if weights is not None else (1.0,) * num_tasks
    if len(weights) != num_tasks or min(weights) < 0 or not 0 < sum(weights) < float("inf"):
        raise ValueError(
            f"--score_weights: must be {num_tasks} numbers of at least 0, one a task in task "
            f"order, not all 0, got {list(weights)}"
        )
    return tuple(weight / sum(weights) for weight in weights)


class ServedModel(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """What is saved: weights and vocabulary tables, without Keras, so that any TensorFlow loads it.

        score = exp(sum_t w_t log p_t / sum_t w_t), the weighted geometric mean of the probabilities

    Args:
      model: logits by task of encoded features (`RankingModel`).
      lookup: raw features -> encoded features (`IdLookup`).
      spec: of the data set that the model was trained on.
      weights: of the tasks in the score; None: equal.
      check_finite: see `RowChecks`.
      snapshot: the graph that `rank_ids` and `explain` read; None: the model has neither.
    """

    def __init__(
        self,
        *,
        model: Any,
        lookup: Any,
        spec: DatasetSpec,
        weights: Sequence[float] | None = None,
        check_finite: str = "row",
        snapshot: GraphSnapshot | None = None,
    ) -> None:
        super().__init__(name="served_model")
        self._features = tuple(spec.feature(name) for name in sorted(model.feature_names))
        self._check = RowChecks(spec=spec, features=self._features, check_finite=check_finite)
        self._weights = score_weights(weights, len(spec.tasks))
        self._task_names = spec.task_names
        # Closures, not attributes: tracking the layers would save their Keras side too.
        self._embed: _OfTensors = lambda features: model.embed(features, lookup=lookup)
        self._network: _OfTensors = lambda inputs: model.network(inputs, training=False)
        self._network_inputs: Callable[..., Tensors] = lambda features, sums: model.network_inputs(
            features, sums
        )
        self._explains = hasattr(model, "explain")
        self._explain: _OfTensors = lambda inputs: model.explain(inputs)
        self._held = [*model.variables, *lookup.variables, *lookup.tables.values()]
        id_tables = {id(table) for table in model.embeddings.variables}
        self._constants = [weight for weight in model.variables if id(weight) not in id_tables]
        if model.compute_dtype != "float32":
            self._constants = []  # half precision would be folded with other roundings
        self._tables: dict[str, GraphTables] = {}
        if snapshot is not None:
            self._tables = {
                owner: GraphTables(snapshot=snapshot, owner=owner, model=model, lookup=lookup)
                for owner in _OWNERS
            }

    @property
    def features(self) -> tuple[Feature, ...]:
        """The inputs of `serving_default`."""
        return self._features

    def _outputs(self, logits: Tensors, valid: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Probabilities [B] by task and `score` [B], float32; NaN where a row is not valid."""
        # by_task: [T, B]
        by_task = tf.stack([tf.cast(logits[task], tf.float32) for task in self._task_names])
        score = tf.exp(
            tf.linalg.matvec(tf.math.log_sigmoid(by_task), self._weights, transpose_a=True)
        )
        probabilities = tf.unstack(tf.math.sigmoid(by_task), num=len(self._task_names))
        outputs = dict(zip(self._task_names, probabilities, strict=True)) | {SCORE: score}
        if valid is None:
            return outputs
        return {
            name: tf.where(valid, value, float("nan"), name=name) for name, value in outputs.items()
        }

    def predict(self, features: Tensors) -> dict[str, tf.Tensor]:
        """Probabilities [B] by task and `score` [B], float32, of raw features [B, ...]."""
        user_valid, user = self._check("user", features)
        item_valid, item = self._check("item", features)
        logits = self._network(self._embed(user | item))
        return self._outputs(logits, _both(user_valid, item_valid))

    def rank(self, features: Tensors) -> dict[str, tf.Tensor]:
        """Probabilities [B, N] by task and `score` [B, N] of raw features.

        Args:
          features: the user's [B, ...], the candidates' [B, N, ...].
        """
        rows = _Rows(features["user_id"], features["item_id"])
        with tf.control_dependencies([self._same_candidates(features)]):
            flat = {
                f.name: rows.flatten(features[f.name])
                if f.owner == "item"
                else tf.identity(features[f.name])
                for f in self._features
            }
        user_valid, user = self._check("user", flat)
        item_valid, item = self._check("item", flat)
        if user_valid is not None:
            user_valid = tf.gather(user_valid, rows.user_row)
        logits = self._network(self._embed(user | item | {USER_ROW: rows.user_row}))
        return rows.unflatten(self._outputs(logits, _both(user_valid, item_valid)))

    def _same_candidates(self, features: Tensors) -> tf.Operation:
        """An assertion that all features have the same B, and the candidates' the same N."""
        users = [tf.shape(features[f.name])[0] for f in self._features]
        candidates = [tf.shape(features[f.name])[1] for f in self._features if f.owner == "item"]
        return tf.debugging.Assert(
            tf.reduce_all(tf.stack(users) == users[0])
            & tf.reduce_all(tf.stack(candidates) == candidates[0]),
            ["users must be [B, ...] and candidates [B, N, ...], got B and N", users, candidates],
        )

    def _joined(self, user_id: tf.Tensor, item_id: tf.Tensor) -> tuple[_Rows, Tensors]:
        """The inputs of the network for ids [B] and [B, N], from the graph inside the model."""
        rows = _Rows(user_id, item_id)
        user, user_sums = self._tables["user"](user_id)
        item, item_sums = self._tables["item"](rows.flatten(item_id))
        sums: dict[str, list[tf.Tensor]] = {}
        for key, value in sorted((user_sums | item_sums).items()):
            sums.setdefault(key.column, []).append(value)
        features = user | item | {USER_ROW: rows.user_row}
        return rows, self._network_inputs(features, sums)

    def rank_ids(self, user_id: tf.Tensor, item_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """As `rank`, of raw ids [B] and [B, N]."""
        rows, inputs = self._joined(user_id, item_id)
        return rows.unflatten(self._outputs(self._network(inputs)))

    def explain(self, user_id: tf.Tensor, item_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the model attends to for raw ids [B] and [B, N]; see the model's `explain`."""
        rows, inputs = self._joined(user_id, item_id)
        return rows.unflatten(self._explain(inputs))

    def classify(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """`classes` and `scores` [B, T] of serialized tf.train.Examples."""
        outputs = self.predict(parse_examples(serialized, self._features))
        scores = tf.stack([outputs[task] for task in self._task_names], axis=1)
        names = tf.constant(self._task_names)
        return {"classes": tf.broadcast_to(names, tf.shape(scores)), "scores": scores}

    def signatures(self) -> dict[str, Any]:
        """The concrete functions by signature name."""
        flat = {f.name: _input(f) for f in self._features}
        lists = {f.name: _input(f, candidates=f.owner == "item") for f in self._features}
        ids = {name: lists[name] for name in ("user_id", "item_id")}
        inputs = {"inputs": tf.TensorSpec([None], tf.string, name="inputs")}

        functions: dict[str, tuple[Callable[..., Tensors], dict[str, tf.TensorSpec]]] = {
            "serving_default": (lambda **features: self.predict(features), flat),
            "examples": (
                lambda examples: self.predict(parse_examples(examples, self._features)),
                {"examples": tf.TensorSpec([None], tf.string, name="examples")},
            ),
            "classify": (lambda inputs: self.classify(inputs), inputs),
            "regress": (
                lambda inputs: {
                    "outputs": self.predict(parse_examples(inputs, self._features))[SCORE]
                },
                inputs,
            ),
            "rank": (lambda **features: self.rank(features), lists),
        }
        if self._tables:
            functions["rank_ids"] = (self.rank_ids, ids)
            if self._explains:
                functions["explain"] = (self.explain, ids)
        return {
            name: tf.function(self._with_constants(function)).get_concrete_function(**specs)
            for name, (function, specs) in functions.items()
        }

    def _with_constants(self, function: Callable[..., Tensors]) -> Callable[..., Tensors]:
        """The function with dense weights as constants: what depends on them alone is folded."""

        def call(**inputs: tf.Tensor) -> Tensors:
            with frozen(self._constants):
                return function(**inputs)

        return call


class _Rows:
    """The flat rows of B users with N candidates each."""

    def __init__(self, user_id: tf.Tensor, item_id: tf.Tensor) -> None:
        self.shape = tf.shape(item_id)
        users = tf.shape(user_id)[0]
        # user_row: int32 [B * N], which user a row is of
        self.user_row = tf.repeat(tf.range(users), self.shape[1])
        self._size = tf.reduce_prod(self.shape)

    def flatten(self, value: tf.Tensor) -> tf.Tensor:
        """[B, N, ...] -> [B * N, ...]."""
        return tf.reshape(value, [self._size, *value.shape[2:]])

    def unflatten(self, outputs: Tensors) -> dict[str, tf.Tensor]:
        """[B * N, ...] -> [B, N, ...]."""
        return {
            name: tf.reshape(value, tf.concat([self.shape, value.shape[1:]], axis=0), name=name)
            for name, value in outputs.items()
        }


def _both(left: tf.Tensor | None, right: tf.Tensor | None) -> tf.Tensor | None:
    if left is None or right is None:
        return left if right is None else right
    return left & right


def _input(feature: Feature, candidates: bool = False) -> tf.TensorSpec:
    batch = [None, None] if candidates else [None]
    shape = batch if feature.length is None else [*batch, feature.length]
    return tf.TensorSpec(shape, DTYPES[feature.dtype], name=feature.name)

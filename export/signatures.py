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
from export.rows import CandidateRows, both_valid, nan_unless, same_candidates, same_users
from export.score_weights import SCORE, score_weights
from export.state_ranking import StateRanking
from input_pipeline.feature import NODES, USER_ROW, Feature
from input_pipeline.records.example_parsing import DTYPES, parse_examples
from input_pipeline.spec import INPUT_OWNERS, DatasetSpec
from mgoe_tf.layers.user_rows import by_row
from mgoe_tf.models.node_network import NodeNetwork

METHOD_NAMES = {
    "classify": tf.saved_model.CLASSIFY_METHOD_NAME,
    "regress": tf.saved_model.REGRESS_METHOD_NAME,
}
Tensors: TypeAlias = Mapping[str, tf.Tensor]
_OfTensors: TypeAlias = Callable[[Tensors], dict[str, tf.Tensor]]


def is_asked(feature: Feature) -> bool:
    """Whether `rank_ids` and `explain` ask for a feature: the graph does not tell it."""
    return feature.role == "id" or feature.owner == "context"


class ServedModel(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """What is saved: weights and vocabulary tables, without Keras, so that any TensorFlow loads it.

        score = exp(sum_t w_t log p_t / sum_t w_t), the weighted geometric mean of the probabilities

    Args:
      model: logits by task of encoded features (`RankingModel`).
      lookup: raw features -> encoded features (`IdLookup`).
      spec: of the data set that the model was trained on.
      weights: of the tasks in the score; None: equal.
      check_finite: see `RowChecks`.
      snapshot: the graph that `rank_ids`, `known_ids` and `explain` read; None: the model has none
        of them.
      network, table_dtype: of the graph's tables, see `GraphTables`; with a network `rank_ids`
        goes on from the states of nodes.
      id_table_dtype: `float32`, or `float16`: of the id tables that flat signatures and `rank`
        read.
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
        network: NodeNetwork | None = None,
        table_dtype: str = "float32",
        id_table_dtype: str = "float32",
    ) -> None:
        super().__init__(name="served_model")
        self._features = tuple(spec.feature(name) for name in sorted(model.feature_names))
        self._check = RowChecks(features=self._features, check_finite=check_finite)
        self._weights = score_weights(weights, len(spec.tasks))
        self._task_names = spec.task_names
        # Closures, not attributes: tracking the layers would save their Keras side too.
        self._embed: _OfTensors = lambda features: model.embed(features, lookup=lookup)
        self._network: _OfTensors = lambda inputs: model.network(inputs, training=False)
        self._network_inputs: Callable[[Tensors, Tensors], Tensors] = lambda features, sums: (
            model.network_inputs(features, sums)
        )
        self._sums: Callable[[Tensors, Sequence[str]], Tensors] = lambda features, owners: (
            model.sums(model.bags(features, lookup, owners), served=True)
        )
        self._explains: bool = model.explains
        self._explain: _OfTensors = lambda inputs: model.explain(inputs)
        id_tables = {id(table) for table in model.embeddings.variables}
        others = [weight for weight in model.variables if id(weight) not in id_tables]
        halved = id_table_dtype == "float16"
        self._held = [
            *model.precompute(),
            *(others if halved else model.variables),
            *(model.embeddings.serve_as_float16() if halved else ()),
            *lookup.variables,
            *lookup.tables.values(),
        ]
        # half precision would be folded with other roundings
        self._constants = others if model.compute_dtype == "float32" else []
        self._tables: dict[str, GraphTables] = {}
        if snapshot is not None:
            self._tables = {
                owner: GraphTables(
                    snapshot=snapshot,
                    owner=owner,
                    model=model,
                    lookup=lookup,
                    network=network,
                    table_dtype=table_dtype,
                )
                for owner in NODES
            }
        self._of_context: Callable[[Tensors, Tensors], tf.Tensor | None] = lambda features, sums: (
            model.node_inputs("context", features, sums)
        )
        self._state_ranking = None
        if self._tables and network is not None:
            self._state_ranking = StateRanking(
                self._tables, network, spec.task_names, self._weights
            )

    @property
    def table_bytes(self) -> dict[str, int]:
        """How much memory each table of the graph takes, by its name."""
        return {n: size for table in self._tables.values() for n, size in table.size_bytes.items()}

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
        return nan_unless(valid, outputs)

    def predict(self, features: Tensors) -> dict[str, tf.Tensor]:
        """Probabilities [B] by task and `score` [B], float32, of raw features [B, ...]."""
        valid, checked = self._checked(features)
        return self._outputs(self._network(self._embed(checked)), valid)

    def _checked(
        self,
        features: Tensors,
        user_row: tf.Tensor | None = None,
        owners: Sequence[str] = INPUT_OWNERS,
    ) -> tuple[tf.Tensor | None, dict[str, tf.Tensor]]:
        """Which rows can be scored, bool [B] (None: all), and harmless features of all.

        Args:
          features: raw, of flat rows.
          user_row: int32 [B], where the features of users are of R users.
          owners: whose features.
        """
        valid: tf.Tensor | None = None
        harmless: dict[str, tf.Tensor] = {}
        for owner in owners:
            of_owner, checked = self._check(owner, features)
            if of_owner is not None:
                of_owner = by_row(of_owner, user_row if owner == "user" else None)
            valid = both_valid(valid, of_owner)
            harmless |= checked
        return valid, harmless

    def rank(self, features: Tensors) -> dict[str, tf.Tensor]:
        """Probabilities [B, N] by task and `score` [B, N] of raw features.

        Args:
          features: the user's and the context's [B, ...], the candidates' [B, N, ...].
        """
        rows = CandidateRows(features["user_id"], features["item_id"])
        with tf.control_dependencies([same_candidates(features, self._features)]):
            flat = {
                feature.name: rows.laid_out(features[feature.name], feature.owner)
                for feature in self._features
            }
        valid, checked = self._checked(flat, rows.user_row, NODES)
        of_context, context, context_sums = self._context(flat, rows)
        found = checked | context | {USER_ROW: rows.user_row}
        inputs = self._network_inputs(found, {**self._sums(checked, NODES), **context_sums})
        return rows.unflatten(self._outputs(self._network(inputs), both_valid(valid, of_context)))

    def _context(
        self, features: Tensors, rows: CandidateRows
    ) -> tuple[tf.Tensor | None, dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """What requests tell of themselves, computed once each, laid out by row, [B * N, ...].

        Returns:
          Which rows can be scored (None: all), the context's features, and its sums.
        """
        valid, context = self._check("context", features)
        sums = self._sums(context, ("context",))
        context, sums = (
            {name: tf.gather(value, rows.user_row) for name, value in part.items()}
            for part in (context, sums)
        )
        return None if valid is None else tf.gather(valid, rows.user_row), context, sums

    def _joined(
        self, features: Mapping[str, tf.Tensor]
    ) -> tuple[CandidateRows, Tensors, tf.Tensor | None]:
        """The inputs of the network for ids and context, from the graph inside the model.

        Returns:
          The rows, the inputs, and which rows can be scored, bool [B * N] (None: all).
        """
        rows = CandidateRows(features["user_id"], features["item_id"])
        # Before anything is laid out by row: which of two errors came first would be chance.
        with tf.control_dependencies(same_users(features)):
            features = {name: tf.identity(value) for name, value in features.items()}
        found, sums = self._tables["user"](features["user_id"])
        of_items, item_sums = self._tables["item"](rows.flatten(features["item_id"]))
        valid, context, context_sums = self._context(features, rows)
        sums = sums | item_sums | context_sums
        found = found | of_items | context | {USER_ROW: rows.user_row}
        return rows, self._network_inputs(found, sums), valid

    def rank_ids(self, features: Tensors) -> dict[str, tf.Tensor]:
        """As `rank`, of raw ids [B] and [B, N], and of the context's features [B, ...]."""
        if self._state_ranking is not None:
            valid, context = self._check("context", features)
            x_c = self._of_context(context, self._sums(context, ("context",)))
            return nan_unless(valid, self._state_ranking(features, x_c))
        rows, inputs, valid = self._joined(features)
        return rows.unflatten(self._outputs(self._network(inputs), valid))

    def explain(self, features: Tensors) -> dict[str, tf.Tensor]:
        """What the model attends to for the same inputs; see the model's `explain`."""
        rows, inputs, valid = self._joined(features)
        return rows.unflatten(nan_unless(valid, self._explain(inputs)))

    def known_ids(self, user_id: tf.Tensor, item_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Whether the model knows users [B] and items [B], and its `tasks` in order, [B, T]."""
        names = tf.constant(self._task_names)
        return {
            "known_user": self._tables["user"].known(user_id),
            "known_item": self._tables["item"].known(item_id),
            "tasks": tf.tile(names[tf.newaxis], [tf.shape(user_id)[0], 1]),
        }

    def classify(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """`classes` and `scores` [B, T] of serialized tf.train.Examples."""
        outputs = self.predict(parse_examples(serialized, self._features))
        scores = tf.stack([outputs[task] for task in self._task_names], axis=1)
        return {"classes": tf.broadcast_to(self._task_names, tf.shape(scores)), "scores": scores}

    def signatures(self) -> dict[str, Any]:
        """The concrete functions by signature name."""
        flat = {f.name: _input(f) for f in self._features}
        lists = {f.name: _input(f, candidates=f.owner == "item") for f in self._features}
        ids = {f.name: lists[f.name] for f in self._features if is_asked(f)}
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
            functions["rank_ids"] = (lambda **features: self.rank_ids(features), ids)
            functions["known_ids"] = (
                lambda user_id, item_id: self.known_ids(user_id, item_id),
                {name: flat[name] for name in ("user_id", "item_id")},
            )
            if self._explains:
                functions["explain"] = (lambda **features: self.explain(features), ids)
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


def _input(feature: Feature, candidates: bool = False) -> tf.TensorSpec:
    batch = [None, None] if candidates else [None]
    return tf.TensorSpec([*batch, *feature.shape], DTYPES[feature.dtype], name=feature.name)

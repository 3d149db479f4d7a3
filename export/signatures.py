"""The functions of an export: raw ids in, named probabilities out.

Axes: B batch, T tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from input_pipeline.parsing import DTYPES, parse_examples
from input_pipeline.spec import DatasetSpec, Feature

SCORE = "score"
CHECK_FINITE = ("row", "batch")


def score_weights(weights: Sequence[float] | None, num_tasks: int) -> tuple[float, ...]:
    """The weights of the tasks in the score, summing to 1; equal ones where none are given."""
    weights = tuple(weights) if weights is not None else (1.0,) * num_tasks
    if len(weights) != num_tasks or min(weights) < 0 or not 0 < sum(weights) < float("inf"):
        raise ValueError(
            f"--score_weights: must be {num_tasks} numbers of at least 0, one a task in task "
            f"order, not all 0, got {list(weights)}"
        )
    return tuple(weight / sum(weights) for weight in weights)


class ServedModel(tf.Module):
    """What is saved: weights and vocabulary tables, without Keras, so that any TensorFlow loads it.

        score = exp(sum_t w_t log p_t / sum_t w_t), the weighted geometric mean of the probabilities

    Args:
      model: logits by task of encoded features (`RankingModel`).
      lookup: raw features -> encoded features (`IdLookup`).
      spec: of the data set that the model was trained on.
      weights: of the tasks in the score; None: equal.
      check_finite: what becomes of a row with an edge weight that is NaN, infinite or negative, or
        with a macro node that there is not. `row`: that row is answered with NaN; `batch`: the
        request is refused.
    """

    def __init__(
        self,
        *,
        model: Any,
        lookup: Any,
        spec: DatasetSpec,
        weights: Sequence[float] | None = None,
        check_finite: str = "row",
    ) -> None:
        super().__init__(name="served_model")
        if check_finite not in CHECK_FINITE:
            raise ValueError(f"--check_finite: must be one of {CHECK_FINITE}, got {check_finite!r}")
        self._features = tuple(spec.feature(name) for name in sorted(model.feature_names))
        self._macro_nodes = {
            "user_macro": spec.num_user_macro_nodes,
            "item_macro": spec.num_item_macro_nodes,
        }
        self._weights = score_weights(weights, len(spec.tasks))
        self._task_names = spec.task_names
        self._check_finite = check_finite
        # Closures, not attributes: tracking the layers would save their Keras side too.
        self._logits = lambda features: model(lookup(features), training=False)
        self._held = [*model.variables, *lookup.variables, *lookup.tables.values()]

    @property
    def features(self) -> tuple[Feature, ...]:
        """The inputs of `serving_default`."""
        return self._features

    def predict(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Probabilities [B] by task and `score` [B], float32, of raw features."""
        valid, features = self._validated(features)
        logits = self._logits(features)
        # log_p: [T, B]
        log_p = tf.stack(
            [tf.math.log_sigmoid(tf.cast(logits[task], tf.float32)) for task in self._task_names]
        )
        outputs = {
            task: tf.math.sigmoid(tf.cast(logits[task], tf.float32)) for task in self._task_names
        }
        outputs[SCORE] = tf.exp(tf.linalg.matvec(log_p, self._weights, transpose_a=True))
        if valid is None:
            return outputs
        return {
            name: tf.where(valid, value, float("nan"), name=name) for name, value in outputs.items()
        }

    def _problems(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """By feature: bool [B], whether the row's value cannot be scored."""
        problems = {}
        for feature in self._features:
            value = features[feature.name]
            if feature.dtype == "float":
                bad = tf.logical_not(tf.math.is_finite(value) & (value >= 0.0))
                problems[feature.name] = bad if feature.length is None else tf.reduce_any(bad, -1)
            elif feature.name in self._macro_nodes:
                problems[feature.name] = (value < -1) | (value >= self._macro_nodes[feature.name])
        return problems

    def _validated(
        self, features: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor | None, dict[str, tf.Tensor]]:
        """Which rows can be scored, bool [B] (None: all), and features harmless in the others."""
        problems = self._problems(features)
        if self._check_finite == "batch":
            checks = [
                tf.debugging.assert_equal(
                    tf.reduce_any(bad), False, f"{name} must be finite, at least 0 and known"
                )
                for name, bad in problems.items()
            ]
            with tf.control_dependencies([check for check in checks if check is not None]):
                return None, {name: tf.identity(value) for name, value in features.items()}
        if not problems:
            return None, dict(features)
        valid = tf.logical_not(tf.reduce_any(tf.stack(list(problems.values())), axis=0))
        harmless = {}
        for name, value in features.items():
            if name in problems:
                mask = valid if value.shape.rank == 1 else valid[:, tf.newaxis]
                value = tf.where(mask, value, tf.constant(0, value.dtype))
            harmless[name] = value
        return valid, harmless

    def signatures(self) -> dict[str, Any]:
        """The concrete functions by signature name."""
        inputs = {
            f.name: tf.TensorSpec(
                [None] if f.length is None else [None, f.length], DTYPES[f.dtype], name=f.name
            )
            for f in self._features
        }

        def serving_default(**features: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.predict(features)

        def examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.predict(parse_examples(examples, self._features))

        serialized = tf.TensorSpec([None], tf.string, name="examples")
        return {
            "serving_default": tf.function(serving_default).get_concrete_function(**inputs),
            "examples": tf.function(examples).get_concrete_function(serialized),
        }

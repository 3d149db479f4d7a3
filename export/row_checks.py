"""Which rows of a request can be scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from input_pipeline.spec import DatasetSpec, Feature

CHECK_FINITE = ("row", "batch")


class RowChecks:
    """Finds rows with an edge weight that is NaN, infinite or negative, or an unknown macro node.

    Args:
      spec: of the data set; says which macro nodes there are.
      features: raw features to look at.
      check_finite: what becomes of a bad row. `row`: it alone is answered with NaN; `batch`: the
        request is refused.
    """

    def __init__(
        self, *, spec: DatasetSpec, features: Sequence[Feature], check_finite: str = "row"
    ) -> None:
        if check_finite not in CHECK_FINITE:
            raise ValueError(f"--check_finite: must be one of {CHECK_FINITE}, got {check_finite!r}")
        self._check_finite = check_finite
        self._features = tuple(features)
        self._macro_nodes = {
            "user_macro": spec.num_user_macro_nodes,
            "item_macro": spec.num_item_macro_nodes,
        }

    def _problems(self, owner: str, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """By feature: bool [B], whether the row's value cannot be scored."""
        problems = {}
        for feature in self._features:
            if feature.owner != owner:
                continue
            value = features[feature.name]
            if feature.dtype == "float":
                bad = tf.logical_not(tf.math.is_finite(value) & (value >= 0.0))
                problems[feature.name] = bad if feature.length is None else tf.reduce_any(bad, -1)
            elif feature.name in self._macro_nodes:
                problems[feature.name] = (value < -1) | (value >= self._macro_nodes[feature.name])
        return problems

    def __call__(
        self, owner: str, features: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor | None, dict[str, tf.Tensor]]:
        """Checks the features of `user` or of `item`, [B, ...] each.

        Returns:
          Which rows can be scored, bool [B] (None: all), and the owner's features, harmless in the
          rows that cannot.
        """
        mine = {f.name: features[f.name] for f in self._features if f.owner == owner}
        problems = self._problems(owner, mine)
        if not problems:
            return None, mine
        if self._check_finite == "batch":
            checks = [
                tf.debugging.assert_equal(
                    tf.reduce_any(bad), False, f"{name} must be finite, at least 0 and known"
                )
                for name, bad in problems.items()
            ]
            with tf.control_dependencies([check for check in checks if check is not None]):
                return None, {name: tf.identity(value) for name, value in mine.items()}
        valid = tf.logical_not(tf.reduce_any(tf.stack(list(problems.values())), axis=0))
        for name in problems:
            value = mine[name]
            mask = valid if value.shape.rank == 1 else valid[:, tf.newaxis]
            mine[name] = tf.where(mask, value, tf.constant(0, value.dtype))
        return valid, mine

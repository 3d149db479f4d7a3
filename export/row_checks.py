"""Which rows of a request can be scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from input_pipeline.feature import Feature

CHECK_FINITE = ("row", "batch")


class RowChecks:
    """Finds rows with a number outside its feature's bounds, or one that is infinite.

    So no edge weight that is NaN or negative is scored, and no unknown macro node. A number without
    bounds may be negative, and NaN where it is missing.

    Args:
      features: raw features to look at.
      check_finite: what becomes of a bad row. `row`: it alone is answered with NaN; `batch`: the
        request is refused.
    """

    def __init__(self, *, features: Sequence[Feature], check_finite: str = "row") -> None:
        if check_finite not in CHECK_FINITE:
            raise ValueError(f"--check_finite: must be one of {CHECK_FINITE}, got {check_finite!r}")
        self._check_finite = check_finite
        self._features = tuple(features)

    def _problems(self, owner: str, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """By feature: bool [B], whether the row's value cannot be scored."""
        problems = {}
        for feature in self._features:
            if feature.owner != owner:
                continue
            bad = _outside(feature, features[feature.name])
            if bad is not None:
                problems[feature.name] = bad if feature.length is None else tf.reduce_any(bad, -1)
        return problems

    def __call__(
        self, owner: str, features: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor | None, dict[str, tf.Tensor]]:
        """Checks the features of `user`, `item` or `context`, [B, ...] each.

        Returns:
          Which rows can be scored, bool [B] (None: all), and the owner's features, harmless in the
          rows that cannot.
        """
        mine = {f.name: features[f.name] for f in self._features if f.owner == owner}
        problems = self._problems(owner, mine)
        if not problems:
            return None, mine
        if self._check_finite == "batch":
            by_name = {feature.name: feature for feature in self._features}
            checks = [
                tf.debugging.assert_equal(
                    tf.reduce_any(bad), False, f"{name} {_rule(by_name[name])}"
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


def _outside(feature: Feature, value: tf.Tensor) -> tf.Tensor | None:
    """Which numbers cannot be scored, bool; None where all can."""
    if feature.dtype == "bytes" or (feature.bounds is None and feature.dtype != "float"):
        return None
    if feature.bounds is None:
        return tf.math.is_inf(value)
    low, high = feature.bounds
    is_good = tf.math.is_finite(value) if feature.dtype == "float" else tf.ones_like(value, tf.bool)
    if low is not None:
        is_good &= value >= tf.constant(low, value.dtype)
    if high is not None:
        is_good &= value <= tf.constant(high, value.dtype)
    return tf.logical_not(is_good)


def _rule(feature: Feature) -> str:
    """What `_outside` asks of a feature, in words."""
    if feature.bounds is None:
        return "must not be infinite"
    low, high = feature.bounds
    rules = ["finite"] if feature.dtype == "float" else []
    rules += [] if low is None else [f"at least {low:g}"]
    rules += [] if high is None else [f"at most {high:g}"]
    return f"must be {' and '.join(rules)}"

"""Serialized records of the request layout, a user with some rows each, -> tensors.

Axes: R requests, B rows of all of them, E entries (R of the user's packs, B of the rows'), L
neighbours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import tensorflow as tf

from input_pipeline.feature import USER_ROW, Feature
from input_pipeline.records.example_parsing import DTYPES, Column, checked, wrong_labels
from input_pipeline.records.packing import Pack, Packing


def parse_requests(
    serialized: tf.Tensor,
    features: Sequence[Feature],
    labels: Sequence[Feature] = (),
    *,
    packing: Packing,
) -> dict[str, Column]:
    """Parses a batch of records.

    Args:
      serialized: string [R], tf.train.Examples as `packing` describes.
      features: what is wanted (`DatasetSpec.input_features`, or some of them).
      labels: also read (`DatasetSpec.label_features`).
      packing: of the data set.

    Returns:
      By name: those of a user with R rows, all others with B; scalars, lists and ragged lists as
      `parse_ragged_examples` gives them. `user_row`: int32 [B], the request of each row.

    Raises:
      tf.errors.InvalidArgumentError: when run on a record that does not parse, lacks a pack or has
        one of the wrong length, has no rows, too long a list, or a label other than 0 and 1.
    """
    names = {feature.name for feature in (*features, *labels)}
    packs = packing.needed(names)
    parsed = tf.io.parse_example(
        serialized,
        {p.name: tf.io.RaggedFeature(DTYPES[p.dtype], row_splits_dtype=tf.int32) for p in packs},
    )
    # [R + 1]: where the rows of each request begin
    bounds = parsed[packing.anchor.name].row_splits // sum(packing.anchor.widths)
    columns: dict[str, Column] = {}
    wrong = {packing.anchor.name: tf.reduce_any(bounds[1:] == bounds[:-1])}
    for side, entries in (("user", tf.range(tf.size(bounds))), ("rows", bounds)):
        of_side = [pack for pack in packs if pack.side == side]
        lengths: dict[str, tf.Tensor] = {}
        for pack in (pack for pack in of_side if not pack.holds_lists):
            splits, width = parsed[pack.name].row_splits, sum(pack.widths)
            is_wrong = tf.reduce_any(splits != entries * width)
            # [E, width]
            matrix = tf.reshape(parsed[pack.name].flat_values, [-1, width])
            if pack.holds_lengths:
                most = tf.constant([feature.length for feature in pack.features], tf.int64)
                is_wrong |= tf.reduce_any((matrix < 0) | (matrix > most))
                of_lists = tf.unstack(tf.cast(matrix, tf.int32), axis=1)
                lengths = dict(zip((f.name for f in pack.features), of_lists, strict=True))
            else:
                columns |= _columns(pack, matrix, names)
            wrong[pack.name] = wrong.get(pack.name, False) | is_wrong
        for pack in (pack for pack in of_side if pack.holds_lists):
            wrong[pack.name], found = _lists(pack, parsed[pack.name], lengths, entries, names)
            columns |= found
    columns[USER_ROW] = tf.RaggedTensor.from_row_splits(
        tf.range(bounds[-1]), bounds, validate=False
    ).value_rowids()
    return checked(columns, wrong | wrong_labels(columns, labels))


def _columns(pack: Pack, matrix: tf.Tensor, names: Collection[str]) -> dict[str, tf.Tensor]:
    """The wanted features of a pack, [E, ...], of their values side by side, [E, width]."""
    columns, begin = {}, 0
    for feature, width in zip(pack.features, pack.widths, strict=True):
        if feature.name in names:
            column = matrix[:, begin : begin + width]
            columns[feature.name] = tf.reshape(column, [-1, *feature.shape])
        begin += width
    return columns


def _lists(
    pack: Pack,
    parsed: tf.RaggedTensor,
    lengths: Mapping[str, tf.Tensor],
    entries: tf.Tensor,
    names: Collection[str],
) -> tuple[tf.Tensor, dict[str, Column]]:
    """Whether some record has other lists than its lengths tell, and those wanted, [E, (L)].

    Args:
      pack: holds lists.
      parsed: its values by record, [R, (..)].
      lengths: int32 [E] of each list.
      entries: int32 [R + 1], where those of each record begin.
      names: of what is wanted.
    """
    count = len(pack.features)
    # [E * count]
    sizes = tf.reshape(tf.stack([lengths[f.column] for f in pack.features], axis=1), [-1])
    splits = tf.concat([[0], tf.cumsum(sizes)], axis=0)
    last = tf.size(splits) - 1
    is_wrong = tf.reduce_any(
        tf.gather(splits, tf.minimum(entries * count, last)) != parsed.row_splits
    )
    lists = tf.RaggedTensor.from_row_splits(parsed.flat_values, splits, validate=False)
    if count == 1:
        return is_wrong, {f.name: lists for f in pack.features if f.name in names}
    found = {
        feature.name: tf.gather(lists, tf.range(place, last, count))
        for place, feature in enumerate(pack.features)
        if feature.name in names
    }
    return is_wrong, found


def expand_users(
    columns: Mapping[str, tf.Tensor], *, of_user: Collection[str]
) -> dict[str, tf.Tensor]:
    """Gives every row its user's features, R rows to B, instead of `user_row`.

    Columns without `user_row` are by row already.

    Args:
      columns: dense, by name.
      of_user: names of the features of a user; columns go by the part before a slash.
    """
    if USER_ROW not in columns:
        return dict(columns)
    return {
        name: tf.gather(value, columns[USER_ROW]) if name.partition("/")[0] in of_user else value
        for name, value in columns.items()
        if name != USER_ROW
    }

"""Columns of raw values, hand-worked."""

import numpy as np

from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.events import Categorical, CategoricalLists, Numbers


def test_categorical_drops_values_that_no_line_has():
    column = Categorical(np.array([2, -1, 0, 2], np.int32), np.array([5, 6, 7]))
    taken = column.take(np.array([3, 1]))
    assert taken.codes.tolist() == [0, -1]
    assert taken.codes.dtype == np.int32
    assert taken.values.tolist() == [7]
    assert column.take(np.array([False, True, False, False])).values.tolist() == []


def test_lists_drop_what_no_line_has():
    entries = Categorical(np.array([0, 2, 1, 0], np.int32), ByteStrings.of([b"a", b"b", b"c"]))
    # [a, c], [], [b, a]
    column = CategoricalLists(np.array([0, 2, 1, 0], np.int32), np.array([0, 2, 2, 4]), entries)
    taken = column.take(np.array([1, 2]))
    assert taken.cells.tolist() == [1, 0]
    assert taken.indptr.tolist() == [0, 0, 2]
    assert taken.entries.values[taken.entries.codes].tolist() == [b"b", b"a"]
    assert taken.entries.values.tolist() == [b"a", b"b"]


def test_numbers_are_equal_where_both_are_missing_or_zero():
    values = np.array([np.nan, -0.0, 0.0, 1.5, -np.nan], np.float32)
    key = Numbers(values).key
    assert key[0] == key[4]
    assert key[1] == key[2]
    assert len(set(key.tolist())) == 3

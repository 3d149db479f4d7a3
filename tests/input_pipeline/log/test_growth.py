"""Vocabularies that go on."""

import numpy as np
import pytest

from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.events import Categorical, CategoricalLists
from input_pipeline.log.growth import grown, ranks_of
from input_pipeline.log.windows import Windows


def _windows(times: list[int]) -> Windows:
    """Events in order, all in the last of three windows."""
    time = np.array(times)
    return Windows(np.arange(len(time)), time, np.array([0, 0, 0, len(time)]), (1, 2))


def test_new_ids_come_in_the_order_of_the_later_events():
    # At the same time the smaller one comes first: 5, then 8, then 6; 30 and 7 are known.
    column = Categorical(np.array([3, 0, 2, 1, 4], np.int32), np.array([5, 6, 7, 8, 30]))
    found = grown("item_id", np.array([30, 7]), column, _windows([9, 9, 9, 11, 12]), (1, 2))
    assert found.values.tolist() == [30, 7, 5, 8, 6]
    assert found.rows.tolist() == [3, 2, 1, 4, 0]
    assert found.known.tolist() == [1, 2, 5]
    assert found.codes.tolist() == [4, 2, 0, 3, 1]


def test_integers_join_strings_but_not_the_other_way_round():
    column = Categorical(np.array([1, 0, -1], np.int32), np.array([9, 10]))
    found = grown("x", ByteStrings.of([b"b", b"10"]), column, _windows([1, 1, 2]), (2,))
    assert found.values.tolist() == [b"b", b"10", b"9"]
    assert found.rows.tolist() == [1, 2, -1]
    assert found.codes.tolist() == [2, 0, 1]
    words = Categorical(np.array([0], np.int32), ByteStrings.of([b"w"]))
    with pytest.raises(ValueError, match=r"column x: must hold decimal .* got b'w' among others"):
        grown("x", np.array([1]), words, _windows([1]), (1,))


def test_lists_have_rows_of_the_whole_vocabulary():
    entries = Categorical(np.array([0, 1, 1], np.int32), ByteStrings.of([b"a", b"c"]))
    lists = CategoricalLists(np.array([1, 0], np.int32), np.array([0, 2, 3]), entries)
    found = grown("tags", ByteStrings.of([b"c", b"b"]), lists, _windows([1, 2]), (2,))
    assert found.values.tolist() == [b"c", b"b", b"a"]
    table = found.at(np.array([0, 1]))
    assert table.indptr.tolist() == [0, 1, 3]
    assert table.arrays["rows"].tolist() == [0, 2, 0]


def test_ranks_are_of_raw_values():
    assert ranks_of(np.array([5, -3, 4])).tolist() == [2, 0, 1]
    assert ranks_of(ByteStrings.of([b"5", b"10", b"4"])).tolist() == [2, 0, 1]

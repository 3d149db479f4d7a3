import numpy as np
import pytest

from input_pipeline.log import vocabulary
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.events import Categorical, CategoricalLists
from input_pipeline.log.windows import Windows
from tests.input_pipeline.logs import random_lines, with_features
from tests.input_pipeline.test_prepare_features import make


@pytest.mark.parametrize("min_count", [1, 3])
def test_embedded_side_feature_is_that_of_the_first_cut_that_knew_the_item(tmp_path, min_count):
    lines = random_lines(4)
    spec, expected = make(lines, tmp_path, min_count=min_count)
    *_, end_of_training, _ = expected.cut_times
    items = vocabulary.embedded_ids(str(tmp_path), spec, "item_id")
    categories = vocabulary.embedded_ids(str(tmp_path), spec, "category_id").tolist()
    rows = vocabulary.embedded_side_feature(str(tmp_path), spec, "category_id")
    assert len(rows) == len(items) + 1
    assert rows[0] == 0
    known = [line for line in lines if line.timestamp <= end_of_training]
    seen_rarely = 0
    for row, item in enumerate(items.tolist(), start=1):
        events = [line for line in known if line.item == item]
        assert len(events) >= min_count
        cut = min(time for time in expected.cut_times if time >= events[0].timestamp)
        # Among events of one time the later line tells.
        latest = max((n for n, e in enumerate(events) if e.timestamp <= cut))
        category = dict(events[latest].item_features)["category_id"]
        if category in categories:
            assert rows[row] == categories.index(category) + 1
        else:
            seen_rarely += 1
            assert rows[row] == 0
            assert sum(dict(e.item_features)["category_id"] == category for e in known) < min_count
    assert seen_rarely == 0 or min_count > 1


def test_ids_of_another_data_set_are_refused(tmp_path):
    spec, _ = make(random_lines(4), tmp_path)
    path = tmp_path / "vocabulary" / "item_id_counts.npy"
    np.save(path, np.load(path)[:-1])
    with pytest.raises(ValueError, match="these are not the ids of the data set's spec"):
        vocabulary.embedded_ids(str(tmp_path), spec, "item_id")


@pytest.fixture
def windows():
    """Six lines, two at each of three times, and a window a time."""
    time = np.array([10, 10, 20, 20, 30, 30])
    return Windows(np.arange(6), time, np.array([0, 2, 4, 6]), (10.0, 20.0))


def test_hand_worked_order_of_ids_some_of_which_are_missing(windows):
    column = Categorical(np.array([1, -1, 2, 0, -1, 1], np.int32), np.array([7, 8, 9]))
    found = vocabulary.order_by_appearance(column, windows)
    # 8 is first; 7 and 9 come at one time, and the smaller first.
    assert found.values.tolist() == [8, 7, 9]
    assert found.rows.tolist() == [0, -1, 2, 1, -1, 0]
    assert found.known.tolist() == [1, 3, 3]
    assert found.counts(4, 3).tolist() == [1, 1, 1]
    assert found.at(np.array([5, 1])).values.tolist() == [0, -1]


def test_hand_worked_order_of_ids_in_lists(windows):
    entries = Categorical(np.array([2, 0, 1, 2], np.int32), ByteStrings.of([b"a", b"b", b"c"]))
    # [c, a], [], [b], [c] of the lines 1, 2, 3 and 5, 4, and the last again 1.
    cells = np.array([1, 0, 2, 3, 2, 0], np.int32)
    column = CategoricalLists(cells, np.array([0, 2, 2, 3, 4]), entries)
    found = vocabulary.lists_by_appearance(column, windows)
    # a and c appear with line 1, the smaller first; b with line 2.
    assert found.values.tolist() == [b"a", b"c", b"b"]
    assert found.rows.tolist() == [1, 0, 2, 1]
    assert found.known.tolist() == [2, 3, 3]
    # Of the first four lines: c in lines 1 and 3, a in line 1, b in line 2.
    assert found.counts(4, 3).tolist() == [1, 2, 1]
    assert found.counts(4, 2).tolist() == [1, 2]
    table = found.at(np.array([2, 0, 1, 1]))
    assert table.indptr.tolist() == [0, 1, 1, 3, 5]
    assert table.arrays["rows"].tolist() == [2, 1, 0, 1, 0]


def test_a_side_feature_that_is_missing_has_the_row_of_unknown_ids(tmp_path):
    lines = with_features(random_lines(4), 4)
    spec, expected = make(lines, tmp_path)
    rows = vocabulary.embedded_side_feature(str(tmp_path), spec, "born")
    born = vocabulary.embedded_ids(str(tmp_path), spec, "born").tolist()
    items = vocabulary.embedded_ids(str(tmp_path), spec, "item_id").tolist()
    missing = 0
    for row, item in enumerate(items, 1):
        time = min(line.timestamp for line in lines if line.item == item)
        cut = min(cut for cut in expected.cut_times if cut >= time)
        known = [line for line in lines if line.item == item and line.timestamp <= cut]
        value = dict(known[-1].item_features)["born"]
        missing += value is None
        assert rows[row] == (0 if value is None else born.index(value) + 1)
    assert missing

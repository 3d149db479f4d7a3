import numpy as np
import pytest

from input_pipeline.log import vocabulary
from tests.input_pipeline.logs import random_lines
from tests.input_pipeline.test_prepare import make


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

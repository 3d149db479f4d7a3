import numpy as np
import pytest

from input_pipeline.graph.node_table import DenseColumn, ListColumn, take
from input_pipeline.graph.ragged import offsets_of, taken
from input_pipeline.graph.stable_order import stable_order


def test_hand_worked_lists():
    # lists [10, 11], [], [12, 13, 14]
    offsets = offsets_of(np.array([2, 0, 3]))
    assert offsets.tolist() == [0, 2, 2, 5]
    found, places = taken(offsets, np.array([2, 1, 0, 2]))
    assert found.tolist() == [0, 3, 3, 5, 8]
    assert places.tolist() == [2, 3, 4, 0, 1, 2, 3, 4]


def test_nodes_beyond_a_table_have_nothing():
    table = {
        "score": DenseColumn(np.array([1.0, 2.0, 3.0], np.float32), -1.0),
        "age": DenseColumn(np.array([[1.0, 2.0]] * 3), (0.0, 9.0)),
        "tags": ListColumn(np.array([0, 2, 2, 3]), {"rows": np.array([5, 6, 7])}),
    }
    found = take(table, np.array([0, 2, 3, 8]))
    assert found["score"].values.tolist() == [1.0, 3.0, -1.0, -1.0]
    assert found["age"].values.tolist() == [[1.0, 2.0], [1.0, 2.0], [0.0, 9.0], [0.0, 9.0]]
    assert found["tags"].indptr.tolist() == [0, 2, 3, 3, 3]
    assert found["tags"].arrays["rows"].tolist() == [5, 6, 7]


@pytest.mark.parametrize("largest", [3, 2**31, 2**62])
def test_the_order_is_stable_however_large_the_keys(largest):
    random = np.random.default_rng(0)
    keys = random.choice(random.integers(0, largest, 20), 500)
    assert stable_order(keys).tolist() == np.argsort(keys, kind="stable").tolist()
    assert stable_order(keys[:0]).tolist() == []

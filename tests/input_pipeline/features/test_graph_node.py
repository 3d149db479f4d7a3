"""Rows name the graph that their features come from, and their nodes in it."""

import numpy as np
import pytest
from scipy import sparse

from input_pipeline.dataset import open_examples
from input_pipeline.log import vocabulary
from input_pipeline.preparation_options import PreparationOptions
from tests.input_pipeline.logs import event_log, random_lines, write_log

CUTS = (0.4, 0.6, 0.8)
WINDOWS = ("history", "train", "validation", "test")


@pytest.mark.parametrize("layout", ["example", "request"])
def test_a_row_names_its_nodes_in_the_graph_of_its_cut(tmp_path, layout):
    options = PreparationOptions(
        source="taobao", cuts=CUTS, num_user_macro_nodes=3, num_item_macro_nodes=3,
        record_layout=layout, num_shards=2,
    )  # fmt: skip
    spec = write_log(event_log(random_lines(0)), options, str(tmp_path))
    known_nodes = 0
    for cut, window in enumerate(WINDOWS):
        for owner, axis in (("user", 0), ("item", 1)):
            names = (f"{owner}_id", f"{owner}_graph_cut", f"{owner}_graph_node")
            size = 0
            if cut:
                path = tmp_path / "graph" / str(cut) / "merging_matrix.npz"
                size = sparse.load_npz(path).shape[axis]
            ids = list(vocabulary.read_ids(str(tmp_path), spec, names[0]))
            examples = open_examples(str(tmp_path), spec, [window], names)
            for batch in examples.ordered_batches(10_000, encode=dict).as_numpy_iterator():
                rows = np.array([ids.index(one) for one in batch[names[0]]])
                known = rows < size
                np.testing.assert_array_equal(batch[names[1]], np.where(known, cut, 0))
                np.testing.assert_array_equal(batch[names[2]], np.where(known, rows + 1, 0))
                known_nodes += known.sum()
    assert known_nodes > 100
    latest = np.load(tmp_path / "graph" / "latest" / "item_graph_node.npy")
    np.testing.assert_array_equal(latest, np.arange(1, len(ids) + 1))

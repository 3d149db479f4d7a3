import numpy as np

from input_pipeline.log.rows import Rows
from input_pipeline.report.macro_statistics import edge_statistics, edges_table


def test_only_new_pairs_of_warm_nodes_are_scored():
    # Two macro nodes of each side; nodes 0 and 1 lie in macro nodes 0 and 1, node 2 is cold.
    edges = np.array([[5.0, 1.0], [1.0, 5.0], [9.0, 9.0]], np.float32)
    owners = ("user", "item")
    macro = dict.fromkeys(owners, np.array([0, 1, -1], np.int32))
    # Strong ties (0, 0) and (1, 1), weak ones (0, 1) and (1, 0); then a pair touched before and
    # three with a cold node, which would turn the order around.
    user = np.array([0, 1, 0, 1, 0, 2, 1, 2])
    item = np.array([0, 1, 1, 0, 1, 1, 2, 2])
    touched = np.array([0, 0, 0, 0, 1, 0, 0, 0])
    positive = np.array([1, 1, 0, 2, 3, 3, 3, 3], np.uint32)
    # Task 1 is not told of row 0: positives (1, 0), negatives (1, 1) and (0, 1).
    unlabeled = np.array([2, 0, 0, 0, 0, 0, 0, 0], np.uint32)
    rows = Rows(user, item, positive, unlabeled, None, np.zeros(8, bool), np.arange(8))
    tasks = ("click", "buy", "like")
    found = edge_statistics("test", rows, tasks, macro, dict.fromkeys(owners, edges), touched)
    assert found.rows == 4
    # Buy's positive is tied more weakly than one of its negatives, and like the other: 0.5 / 2.
    assert found.aucs == {"click": 1.0, "buy": 0.25, "like": None}
    page = edges_table([found], tasks)
    assert "<td>test</td><td>4</td><td>1.000</td><td>0.250</td><td>&ndash;</td>" in page

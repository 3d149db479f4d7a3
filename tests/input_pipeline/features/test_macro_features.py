"""A macro task lookup table that goes on from an earlier one."""

import numpy as np

from input_pipeline.features.macro_features import TaskTable
from input_pipeline.features.provider import Cut, LogFacts, Since
from input_pipeline.graph.merging_matrix import Pairs


def _cut(pairs: list[tuple[int, int]], item_macro: list[int], since: Since | None = None) -> Cut:
    user, item = np.array(pairs, np.int32).T
    facts = LogFacts(("click",), {}, {"user": 1, "item": 2}, max_neighbors=1, has_clock=True)
    macro = {
        "user": np.zeros(user.max() + 1, np.int32),
        "item": np.array(item_macro, np.int32),
    }
    behaviors = np.ones(len(user), np.uint32)
    told = Pairs(user, item, behaviors, np.zeros((1, len(user)), np.int64))
    return Cut(facts, None, told, None, macro, {}, since)  # type: ignore[arg-type]


def test_an_item_that_joins_counts_for_all_who_had_met_it():
    # Item 1 is cold at first. User 2 comes, meets it, and ties it to macro node 1.
    before = TaskTable().columns(_cut([(0, 0), (1, 1)], [0, -1]))
    np.testing.assert_array_equal(before["user"]["task_table"].values[:, 0], [[1, 0], [0, 0]])
    since = Since(
        tables=before,
        touched={"user": np.array([2]), "item": np.array([1])},
        joined={"user": np.array([2]), "item": np.array([1])},
    )
    pairs = [(0, 0), (1, 1), (2, 1)]
    after = TaskTable().columns(_cut(pairs, [0, 1], since))["user"]["task_table"].values
    np.testing.assert_array_equal(after[:, 0], [[1, 0], [0, 1], [0, 1]])
    anew = TaskTable().columns(_cut(pairs, [0, 1]))["user"]["task_table"].values
    np.testing.assert_array_equal(after, anew)

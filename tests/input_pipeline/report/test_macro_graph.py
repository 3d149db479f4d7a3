"""The macro graph and degrees, counted block by block."""

import dataclasses
import types

import numpy as np

from input_pipeline.report import figures, macro_graph
from input_pipeline.report.macro_graph import Degrees, MacroGraph, count_members, sum_ties

SPEC = types.SimpleNamespace(num_user_macro_nodes=2, num_item_macro_nodes=3)


def test_blocks_sum_to_the_whole():
    # users 0 and 3 are of macro node 1, user 1 of 0, user 2 cold, whose edges count nowhere
    users, items = np.array([1, 0, -1, 1], np.int32), np.array([2, 2, -1, 0, -1], np.int32)
    edges = np.array([[1, 0, 2], [4, 0, 0], [9, 9, 9], [3, 0, 5]], np.float32)
    blocks = [slice(0, 1), slice(1, 3), slice(3, 4)]
    graph = MacroGraph.of_blocks(
        SPEC,
        {
            "user": [count_members(SPEC, "user", users[b]) for b in blocks],
            "item": [count_members(SPEC, "item", items)],
        },
        [sum_ties(SPEC, users[b], edges[b]) for b in blocks],
    )
    assert {owner: sizes.tolist() for owner, sizes in graph.sizes.items()} == {
        "user": [1, 2], "item": [1, 0, 2],
    }  # fmt: skip
    assert graph.cold == {"user": 1, "item": 2}
    assert graph.ties.tolist() == [[4, 0, 0], [4, 0, 7]]
    # ties of 15: rows 4 and 11, columns 8, 0 and 7
    lift = [[np.log2(4 / (4 * 8 / 15)), np.nan, np.nan],
            [np.log2(4 / (11 * 8 / 15)), np.nan, np.log2(7 / (11 * 7 / 15))]]  # fmt: skip
    np.testing.assert_allclose(graph.lift, lift)


def test_degrees_of_parts_are_those_of_all(monkeypatch):
    degrees = np.array([0, 3, 1, 3, 3, 2, 0, 1])
    whole = Degrees.of(degrees)
    assert whole.distinct.tolist() == [0, 1, 2, 3]
    assert whole.counts.tolist() == [2, 2, 1, 3]
    parts = Degrees.of_parts(map(Degrees.of, (degrees[:3], degrees[3:6], degrees[6:])))
    assert {k: v.tolist() for k, v in dataclasses.asdict(parts).items()} == {
        "distinct": [0, 1, 2, 3], "counts": [2, 2, 1, 3],
    }  # fmt: skip
    drawn = []
    monkeypatch.setattr(figures, "svg", drawn.append)
    none = Degrees.of(np.zeros(4, int))
    figures.degrees(whole, none)
    users, items = drawn[0].axes
    # of 6 nodes with neighbours 6, 4 and 3 have at least 1, 2 and 3; in the middle are 2 and 3
    assert users.get_title(loc="left") == "users: median 2, most 3"
    steps, shares = users.lines[0].get_data()
    assert steps.tolist() == [1, 2, 3]
    np.testing.assert_allclose(np.asarray(shares, float), [1, 4 / 6, 3 / 6])
    assert items.get_title(loc="left") == "items: median 0, most 0"


def test_a_data_set_is_read_in_blocks(tmp_path, monkeypatch):
    folder = tmp_path / "graph" / "latest"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    macro = {o: random.integers(-1, n, 50).astype(np.int32) for o, n in (("user", 2), ("item", 3))}
    edges = random.random((50, 3), np.float32)
    for name, array in (("user_macro", macro["user"]), ("item_macro", macro["item"])):
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "user_1hop.npy", edges)

    def select(owner, role):
        column = f"{owner}_macro" if role == "macro_id" else "user_1hop"
        return (types.SimpleNamespace(column=column, macro_nodes="item"),)

    spec = types.SimpleNamespace(**vars(SPEC), select=select)
    monkeypatch.setattr(macro_graph, "BLOCK_NODES", 7)
    found = MacroGraph.read(spec, str(tmp_path))
    expected = np.zeros((2, 3))
    for node, group in enumerate(macro["user"]):
        if group >= 0:
            expected[group] += edges[node]
    np.testing.assert_allclose(found.ties, expected)
    for owner in ("user", "item"):
        assert found.cold[owner] == (macro[owner] < 0).sum()
        assert found.sizes[owner].tolist() == [(macro[owner] == k).sum()
                                               for k in range(len(found.sizes[owner]))]  # fmt: skip

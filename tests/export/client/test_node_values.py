"""The bytes of a node, by hand and there and back."""

import math
import struct

import numpy as np
import pytest

from export.client.node_values import NodeLists, decode, encode
from input_pipeline.feature import UNKNOWN_INT64, Feature, Transform

EDGES = Feature("edges", "user", "macro_edges", "float", length=9)
PRICE = Feature("price", "user", "numeric", "float", missing="nan", transform=Transform("standard"))
MACRO = Feature("macro", "user", "macro_id", "int64", missing=-1)
BRAND = Feature("brand", "user", "side", "bytes", missing="")
WEIGHTS = Feature("weights", "user", "neighbor_weights", "float", length=3, ragged=True)
ITEMS = Feature("items", "user", "neighbors", "int64", length=3, ragged=True)
TAGS = Feature("tags", "user", "side", "bytes", length=2, ragged=True, missing="")
ALL = (EDGES, PRICE, MACRO, BRAND, WEIGHTS, ITEMS, TAGS)


def objects(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_hand_worked():
    edges = np.zeros((1, 9), np.float32)
    edges[0, [1, 8]] = 0.5, 2.0
    columns = {
        "edges": edges,
        "price": np.array([np.nan], np.float32),
        "macro": np.array([-2]),
        "brand": objects(b"ab"),
        "weights": NodeLists(np.array([1]), np.array([0.25], np.float32)),
        "items": NodeLists(np.array([2]), np.array([5, -300])),
        "tags": NodeLists(np.array([2]), objects(b"", b"x")),
    }
    expected = b"".join(
        [
            bytes([0b00000010, 0b00000001]), struct.pack("<ff", 0.5, 2.0),
            bytes([0]),  # NaN is how a price is missing
            bytes([1]), struct.pack("<b", -2),
            struct.pack("<H", 2), b"ab",
            struct.pack("<H", 1), struct.pack("<f", 0.25),
            struct.pack("<H", 2), bytes([2]), struct.pack("<hh", 5, -300),
            struct.pack("<HHH", 2, 0, 1), b"x",
        ]
    )  # fmt: skip
    assert encode(ALL, columns).tolist() == [expected]


def test_there_and_back_among_nodes_that_are_missing():
    random = np.random.default_rng(3)
    count = 50
    lengths = random.integers(0, 4, count)
    numbers = random.integers(-(2**62), 2**62, count) >> random.integers(0, 62, count)
    few = random.integers(0, 3, count)
    columns = {
        "edges": np.where(random.random((count, 9)) < 0.3, random.random((count, 9)), 0).astype(
            "f"
        ),
        "price": np.where(random.random(count) < 0.5, np.nan, -0.0).astype("f"),
        "macro": np.concatenate([numbers[:-3], [-1, 2**63 - 1, UNKNOWN_INT64]]),
        "brand": objects(*(b"x" * n for n in random.integers(0, 300, count))),
        "weights": NodeLists(lengths, random.random(lengths.sum()).astype("f")),
        "items": NodeLists(lengths, np.resize(numbers, lengths.sum())),
        "tags": NodeLists(few, objects(*(b"t%d" % n for n in range(few.sum())))),
    }
    values = encode(ALL, columns).tolist()
    found = decode(ALL, [None, *values, None])
    for feature in ALL:
        column = columns[feature.name]
        assert found[feature.name].shape == (count + 2, *feature.shape)
        for place in (0, -1):
            np.testing.assert_array_equal(found[feature.name][place], feature.filler)
        if not isinstance(column, NodeLists):
            np.testing.assert_array_equal(found[feature.name][1:-1], column)
            continue
        parts = np.split(column.entries, np.cumsum(column.lengths)[:-1])
        for row, part in zip(found[feature.name][1:-1], parts, strict=True):
            assert row[: len(part)].tolist() == part.tolist()
            assert (row[len(part) :] == feature.filler).all()
    assert np.signbit(found["price"][1:-1][~np.isnan(columns["price"])]).all()


def test_nobody_is_known():
    found = decode(ALL, [None, None])
    assert found["macro"].tolist() == [-1, -1]
    assert math.isnan(found["price"][0])


def test_refusals():
    with pytest.raises(
        ValueError, match="brand: the bytes of an id: must be at most 65535, got 70"
    ):
        encode((BRAND,), {"brand": objects(b"x" * 70_000)})
    with pytest.raises(ValueError, match="the length of a list: must be at most 65535, got 70000"):
        encode((ITEMS,), {"items": NodeLists(np.array([70_000]), np.zeros(70_000, np.int64))})
    value = encode((MACRO, BRAND), {"macro": np.array([3]), "brand": objects(b"abc")}).tolist()
    with pytest.raises(ValueError, match="goes on after its features"):
        decode((MACRO,), value)
    with pytest.raises(ValueError, match="ends within a feature"):
        decode((MACRO, BRAND, MACRO), value)
    long = encode((ITEMS,), {"items": NodeLists(np.array([4]), np.arange(4))}).tolist()
    with pytest.raises(ValueError, match="items must be of at most 3 entries, got 4"):
        decode((ITEMS,), long)

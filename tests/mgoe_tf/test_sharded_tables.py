"""Rows of id tables are read by tf.nn.embedding_lookup: tf.gather gives wrong ones in shards."""

import ast
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

import mgoe_tf
from mgoe_tf.layers.id_embeddings import Bags, IdEmbeddings

FOLDER = pathlib.Path(mgoe_tf.__file__).parent
# What a table, or what goes with it, is called.
_TABLE = re.compile(r"table|variable|moments|average|embeddings|side_features")


def _gathers(source: str) -> list[str]:
    """The first argument of every call of a `gather`."""
    return [
        ast.unparse(call.args[0] if call.args else call.keywords[0].value)
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("gather", "gather_nd", "sparse_read")
    ]


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_no_table_is_gathered(path: pathlib.Path) -> None:
    assert not [argument for argument in _gathers(path.read_text()) if _TABLE.search(argument)]


def test_the_check_finds_what_it_looks_for() -> None:
    found = _gathers("tf.gather(self.tables[name], ids)\ntf.gather(params=table, indices=i)\n")
    assert found == ["self.tables[name]", "table"]
    assert all(map(_TABLE.search, found))


def sharded(values: np.ndarray) -> tf.Variable:
    """[0, 1] and [2, 3] apart, as on two parameter servers."""
    from tensorflow.python.distribute.sharded_variable import ShardedVariable

    return ShardedVariable([tf.Variable(values[:2]), tf.Variable(values[2:])], name="table")


def test_a_sharded_table_gives_the_rows_of_a_whole_one() -> None:
    values = np.arange(8, dtype=np.float32).reshape(4, 2)
    ids = tf.constant([3, 0, 2, 1])
    # what the rule is about: rows come shard by shard, not as asked for
    np.testing.assert_array_equal(tf.gather(sharded(values), ids), values[[0, 1, 3, 2]])
    np.testing.assert_array_equal(
        tf.nn.embedding_lookup(sharded(values), ids), values[[3, 0, 2, 1]]
    )


@pytest.mark.parametrize("kind", ["training", "evaluated", "served"])
def test_embeddings_of_a_sharded_table_are_those_of_a_whole_one(kind) -> None:
    layer = IdEmbeddings(sizes={"user_id": 3}, dim=2)
    bags = {"user_id": [Bags.of_single_ids(tf.constant([3, 0, 2, 1, 3]))]}
    arguments = {"training": kind == "training", "served": kind == "served"}
    expected = layer(bags, **arguments)["user_id"][0]
    layer.tables = {"user_id": sharded(layer.tables["user_id"].numpy())}
    found = layer(bags, **arguments)["user_id"][0]
    np.testing.assert_array_equal(found, expected)
    assert len({tuple(row) for row in found.numpy()}) == 4

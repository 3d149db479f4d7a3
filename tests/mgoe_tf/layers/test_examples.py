"""The examples in the docstrings of the layers run, and every layer but one has one."""

import doctest
import importlib
import pathlib

import pytest
import tensorflow as tf

import mgoe_tf.layers

MODULES = sorted(path.stem for path in pathlib.Path(mgoe_tf.layers.__path__[0]).glob("[a-z]*.py"))
# No layers; and a layer whose example would be mostly the data set that it reads.
WITHOUT = {"initializers", "neighbor_sets", "id_lookup"}


@pytest.mark.parametrize("name", [name for name in MODULES if name not in WITHOUT])
def test_example(name):
    module = importlib.import_module(f"mgoe_tf.layers.{name}")
    results = doctest.testmod(module, extraglobs={"tf": tf})
    assert results.attempted > 0
    assert results.failed == 0

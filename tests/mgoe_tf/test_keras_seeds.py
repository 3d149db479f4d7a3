"""Keras draws its seeds on Python 3.12 as it does on older ones."""

import concurrent.futures
import random
import sys

import pytest
import tensorflow as tf
import tf_keras
from tf_keras.src.utils import tf_utils

from mgoe_tf import keras_seeds


class _Strict(random.Random):
    """Takes integers only, as Python 3.12 does."""

    def randint(self, a, b):
        if not (isinstance(a, int) and isinstance(b, int)):
            raise TypeError("'float' object cannot be interpreted as an integer")
        return super().randint(a, b)


def test_seeds_are_drawn_where_random_takes_integers_only(monkeypatch):
    strict = _Strict(5)
    monkeypatch.setattr(random, "randint", strict.randint)
    monkeypatch.setattr(random, "Random", _Strict)
    monkeypatch.setattr(tf_utils, "random", random)
    monkeypatch.setattr(sys, "version_info", (3, 12))
    # In a thread of its own, in which nobody has set a seed.
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        if tf_keras.__version__.startswith("2.17."):  # later ones draw between integers
            with pytest.raises(TypeError, match="as an integer"):
                thread.submit(tf_utils.get_random_seed).result()
        keras_seeds.accept_float_bounds()
        seed = thread.submit(tf_utils.get_random_seed).result()
    assert seed == random.Random(5).randint(1, 10**9)


def test_a_seeded_layer_is_the_same_again():
    """By the generator that `set_random_seed` makes, on whatever Python this is."""
    kernels = []
    for _ in range(2):
        tf.keras.utils.set_random_seed(3)
        layer = tf.keras.layers.Dense(2)
        layer.build([None, 3])
        kernels.append(layer.kernel.numpy().tolist())
    assert kernels[0] == kernels[1]

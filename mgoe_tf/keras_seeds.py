"""Keras 2.17's seeds on Python 3.12, which no longer takes a float for an integer.

tf_keras 2.17 draws the seed of every unseeded initializer by `randint(1, 1e9)`: a TypeError since
Python 3.12. The integers drawn here are those that older Pythons draw.
"""

from __future__ import annotations

import random
import sys
import types


class _Random(random.Random):
    def randint(self, a: float, b: float) -> int:
        return super().randint(int(a), int(b))


def accept_float_bounds() -> None:
    """Lets tf_keras draw its seeds on Python 3.12; does nothing on older ones."""
    if sys.version_info < (3, 12):
        return
    from tf_keras.src.utils import tf_utils

    shared = types.SimpleNamespace(**vars(random))
    shared.Random = _Random
    shared.randint = lambda a, b: random.randint(int(a), int(b))
    tf_utils.random = shared

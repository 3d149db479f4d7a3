"""Numbers of a key: SplitMix64's own, equal for equal keys, and as good as drawn."""

import numpy as np

from input_pipeline.log.keyed_random import keyed_bits, keyed_uniform


def splitmix64(state):
    """One step of the published generator, in Python's integers."""
    mask = 2**64 - 1
    z = state = (state + 0x9E3779B97F4A7C15) & mask
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
    return z ^ (z >> 31)


def test_a_key_is_mixed_number_by_number():
    # The generator's first output from state 0 is published as 0xe220a8397b1dcdaf.
    assert splitmix64(0) == keyed_bits(0)[0] == 0xE220A8397B1DCDAF
    expected = splitmix64((splitmix64(5) + 2**40) % 2**64)
    assert keyed_bits(5, np.array([2**40])).tolist() == [expected]


def test_shape_is_that_of_the_numbers_together():
    numbers = keyed_uniform(1, np.arange(3)[:, None], np.arange(4))
    assert numbers.shape == (3, 4)
    assert numbers[2, 1] == keyed_uniform(1, 2, np.array([1]))[0]


def test_numbers_of_neighbouring_keys_are_uniform_and_unrelated():
    numbers = keyed_uniform(0, np.arange(200)[:, None], np.arange(500)).ravel()
    assert 0 <= numbers.min() < numbers.max() < 1
    counts = np.histogram(numbers, 20, (0, 1))[0]
    # chi squared of 19 degrees of freedom: above 43.8 once in a thousand
    assert ((counts - 5000) ** 2 / 5000).sum() < 43.8
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.01

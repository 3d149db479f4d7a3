"""Samplers: the same for a seed, in the unit cube, spread as they promise, shared by models."""

import numpy as np
import pytest

from mgoe_tf.tuning.samplers import SAMPLERS, halton_points, random_points

NAMES = ["learning_rate", "l2", "dropout"]


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_points_are_of_the_seed_in_the_unit_cube_and_a_longer_search_begins_alike(sampler) -> None:
    points = sampler(NAMES, 40, 3)
    assert points == sampler(NAMES, 40, 3)
    assert points != sampler(NAMES, 40, 4)
    assert points[:12] == sampler(NAMES, 12, 3)
    assert all(list(point) == NAMES for point in points)
    values = np.array([list(point.values()) for point in points])
    assert values.min() >= 0
    assert values.max() < 1
    assert len(np.unique(values)) == values.size
    assert sampler([], 2, 0) == [{}, {}]


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_models_get_the_same_values_of_the_flags_that_they_share(sampler) -> None:
    one = sampler([*NAMES, "temperature"], 9, 0)
    other = sampler([*NAMES, "num_experts", "num_layers"], 9, 0)
    for ours, theirs in zip(one, other, strict=True):
        assert {name: ours[name] for name in NAMES} == {name: theirs[name] for name in NAMES}


def test_halton_fills_intervals_of_its_bases_one_by_one() -> None:
    # whatever the digits are permuted to, base^k points have one in each of base^k intervals
    points = halton_points(NAMES, 25, 7)
    for name, base in zip(NAMES, (2, 3, 5), strict=True):
        for digits in (1, 2):
            count = base**digits
            found = sorted(int(point[name] * count) for point in points[:count])
            assert found == list(range(count)), (name, digits)


def test_random_is_even_and_flags_are_independent() -> None:
    points = random_points(["a", "b"], 2000, 0)
    a, b = (np.array([point[name] for point in points]) for name in ("a", "b"))
    # standard errors: 0.29 / sqrt(2000) = 0.0065 of a mean, 0.022 of a correlation
    assert abs(a.mean() - 0.5) < 0.025
    assert abs((a < 0.25).mean() - 0.25) < 0.04
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.09

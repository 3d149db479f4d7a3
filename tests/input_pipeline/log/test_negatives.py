import numpy as np

from input_pipeline.log.negatives import sample_negatives


def draw(users, items, weights, touched, count, num_items=10, seed=0):
    random = np.random.default_rng(seed)
    return sample_negatives(
        np.array(users, np.int32),
        np.array(items, np.int32),
        np.array(weights, float),
        np.array(sorted(touched), np.int64),
        num_items,
        count,
        random,
    )


def test_distribution_is_by_weight_without_replacement():
    # Items 1, 2, 3 of weight 3, 2, 1 are left to the user. P(first = 1) = 3/6; P(second = 1) =
    # P(2 first) 3/4 + P(3 first) 3/5 = 2/6 * 3/4 + 1/6 * 3/5 = 0.35.
    drawn = draw([0] * 40_000, [0, 1, 2, 3], [50, 3, 2, 1], {0}, 2)
    assert abs((drawn[:, 0] == 1).mean() - 0.5) < 0.01
    assert abs((drawn[:, 1] == 1).mean() - 0.35) < 0.01
    assert (drawn > 0).all()  # Touched item 0, nearly all of the weight, forces the exact draw.
    assert (drawn[:, 0] != drawn[:, 1]).all()


def test_users_with_few_items_left_get_what_there_is():
    # User 0 has items 4 and 5 left, user 1 none, user 2 (never seen) all three.
    drawn = draw([0, 1, 2], [3, 4, 5], [1, 1, 1], {3, 13, 14, 15}, 4)
    assert sorted(drawn[0, :2].tolist()) == [4, 5]
    assert drawn[0, 2:].tolist() == [-1, -1]
    assert drawn[1].tolist() == [-1] * 4
    assert sorted(drawn[2, :3].tolist()) == [3, 4, 5]
    assert drawn[2, 3] == -1


def test_the_same_seed_draws_the_same():
    arguments = (list(range(50)), [1, 2, 3, 4, 5], [5, 4, 3, 2, 1], {11, 22}, 3)
    assert (draw(*arguments) == draw(*arguments)).all()
    assert (draw(*arguments) != draw(*arguments, seed=1)).any()

import numpy as np

from input_pipeline.log.negatives import CandidateArrays, sample_negatives


def draw(users, items, weights, touched, count, num_items=10, seed=0, candidates=None):
    users = np.array(users, np.int32)
    arrays = np.array(items, np.int32), np.array(weights, float)
    return sample_negatives(
        users,
        # With a row's number as its item, rows of a user are different pairs.
        np.arange(len(users)),
        candidates or CandidateArrays(*arrays),
        np.array(sorted(touched), np.int64),
        num_items,
        count,
        (seed, 3),
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


def test_parts_of_the_rows_draw_the_same_as_all_of_them():
    users, touched = [3, 1, 3, 8, 1], {31, 32, 11}
    whole = draw(users, [1, 2, 3, 4, 5], [5, 4, 3, 2, 1], touched, 2)
    pairs = np.array(users, np.int32), np.arange(5)
    candidates = CandidateArrays(np.array([1, 2, 3, 4, 5], np.int32), np.arange(5.0, 0.0, -1.0))
    for rows in ([4, 0], [2], [1, 3]):
        part = sample_negatives(
            pairs[0][rows], pairs[1][rows], candidates, np.array(sorted(touched)), 10, 2, (0, 3)
        )
        np.testing.assert_array_equal(part, whole[rows])


class Blocks:
    """Candidates of which three at a time are in memory."""

    max_block = 3

    def __init__(self, items, weights):
        self.items, self.weights = np.array(items, np.int32), np.array(weights, float)
        self.total = float(np.cumsum(self.weights)[-1])

    def __len__(self):
        return len(self.items)

    def blocks(self):
        cumulative = np.cumsum(self.weights)
        for start in range(0, len(self.items), 3):
            part = slice(start, start + 3)
            yield self.items[part], self.weights[part], cumulative[part]


def test_candidates_block_by_block_give_the_same_draws():
    items, weights = [0, 2, 3, 4, 5, 7, 8, 9], [9, 3, 1, 4, 1, 5, 9, 2]
    # Users with one, three and no item left come to the exact draws.
    touched = {*(10 + i for i in items[1:]), *(20 + i for i in items[:5]), *(30 + i for i in items)}
    users = [0, 1, 2, 3, 2, 1] * 20
    whole = draw(users, items, weights, touched, 4)
    np.testing.assert_array_equal(
        draw(users, items, weights, touched, 4, candidates=Blocks(items, weights)), whole
    )
    left = [4, 1, 3, 0, 3, 1] * 20
    assert (whole >= 0).sum(axis=1).tolist() == left

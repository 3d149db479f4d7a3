import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.training.optimizers import LazyAdam
from tests import reference


def rows_gradient(rows, values, size: int) -> tf.IndexedSlices:
    values = tf.constant(values, tf.float32)
    return tf.IndexedSlices(values, tf.constant(rows), [size, values.shape[1]])


def for_table(table: tf.Variable, *args: float, **kwargs: float) -> LazyAdam:
    optimizer = LazyAdam(*args, **kwargs)
    optimizer.add_tables([table])
    optimizer.build([table])
    return optimizer


def test_hand_worked_first_step_on_one_row():
    table = tf.Variable([[1.0], [2.0], [3.0]])
    optimizer = for_table(table, 0.1, l1=0.5, l2=0.25, epsilon=0.0)
    # Row 1: g = 3 + 0.5 * sign(2) + 2 * 0.25 * 2 = 4.5; m = 0.45, v = 0.02025. The first step of
    # Adam is the learning rate against the gradient's sign: 2 - 0.1.
    optimizer.apply_gradients([(rows_gradient([1], [[3.0]], 3), table)])
    np.testing.assert_allclose(table, [[1.0], [1.9], [3.0]], rtol=1e-6)
    moments = optimizer.variables[-1]
    np.testing.assert_allclose(moments, [[0, 0], [0.45, 0.02025], [0, 0]], rtol=1e-5)


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (0.01, 0.0), (0.0, 0.02), (0.03, 0.04)])
def test_sparse_equals_dense_equals_reference_where_all_rows_are_touched(l1, l2):
    rng = np.random.default_rng(0)
    start = rng.normal(size=(4, 3)).astype(np.float32)
    gradients = rng.normal(size=(5, 4, 3)).astype(np.float32)
    sparse, dense = tf.Variable(start), tf.Variable(start)
    sparse_optimizer = for_table(sparse, 0.05, l1=l1, l2=l2)
    dense_optimizer = LazyAdam(0.05, l1=l1, l2=l2)
    seen = []
    for gradient in gradients:
        seen.append(gradient + l1 * np.sign(dense) + 2 * l2 * dense.numpy())
        order = rng.permutation(4)
        sliced = rows_gradient(order, gradient[order], 4)
        sparse_optimizer.apply_gradients([(sliced, sparse)])
        dense_optimizer.apply_gradients([(tf.constant(gradient), dense)])
    np.testing.assert_allclose(sparse, dense, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        dense, reference.adam(start, seen, learning_rate=0.05), rtol=1e-4, atol=1e-5
    )


def test_dense_step_is_that_of_keras_adam():
    rng = np.random.default_rng(1)
    ours, theirs = tf.Variable(tf.ones([3])), tf.Variable(tf.ones([3]))
    lazy, keras = LazyAdam(0.01), tf.keras.optimizers.Adam(0.01)
    for _ in range(4):
        gradient = tf.constant(rng.normal(size=3), tf.float32)
        lazy.apply_gradients([(gradient, ours)])
        keras.apply_gradients([(gradient, theirs)])
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_untouched_rows_and_their_moments_never_move():
    table = tf.Variable(tf.ones([5, 2]))
    optimizer = for_table(table, 0.1, l1=0.1, l2=0.1)
    optimizer.apply_gradients([(rows_gradient([0, 3], np.ones((2, 2)), 5), table)])
    before = [variable.numpy() for variable in (table, optimizer.variables[-1])]
    for _ in range(3):
        optimizer.apply_gradients([(rows_gradient([1], np.ones((1, 2)), 5), table)])
    for old, variable in zip(before, (table, optimizer.variables[-1]), strict=True):
        np.testing.assert_array_equal(variable.numpy()[[0, 2, 3, 4]], old[[0, 2, 3, 4]])
    np.testing.assert_array_equal(table[2], [1.0, 1.0])


def test_a_row_that_comes_twice_is_penalised_once():
    once, twice = tf.Variable([[2.0], [5.0]]), tf.Variable([[2.0], [5.0]])
    for table, rows, values in ((once, [1], [[-2.0]]), (twice, [1, 1], [[-4.0], [2.0]])):
        optimizer = for_table(table, 0.1, l2=0.3)
        optimizer.apply_gradients([(rows_gradient(rows, values, 2), table)])
    # g = -2 + 2 * 0.3 * 5 = 1 > 0: down. Penalised twice it would be 4; not at all, up.
    np.testing.assert_allclose(once, [[2.0], [4.9]], rtol=1e-5)
    np.testing.assert_allclose(twice, once)


@pytest.mark.parametrize("options", [{}, {"ema_decay": 0.9, "clip_norm": 1.0}])
def test_no_operation_of_a_sparse_step_is_as_large_as_the_table(options):
    size = 12_345
    table = tf.Variable(tf.zeros([size, 2]))
    optimizer = for_table(table, 0.1, l1=0.1, l2=0.1, **options)

    @tf.function
    def step(rows, values):
        optimizer.apply_gradients([(tf.IndexedSlices(values, rows, [size, 2]), table)])

    graph = step.get_concrete_function(
        tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 2])
    ).graph
    graphs = [graph, *(f.graph for f in graph._functions.values() if hasattr(f, "graph"))]
    for operation in (op for g in graphs for op in g.get_operations()):
        for output in operation.outputs:
            assert size not in output.shape.as_list() if output.shape.rank else True, operation


def test_clipping_by_hand():
    table, weight = tf.Variable([[0.0], [0.0]]), tf.Variable([0.0])
    optimizer = LazyAdam(0.1, clip_norm=2.5, l2=0.0)
    optimizer.add_tables([table])
    optimizer.build([table, weight])
    # |(3, 0, 4)| = 5, where row 1 comes as 1 and 2: halved
    gradients = [rows_gradient([1, 1], [[1.0], [2.0]], 2), tf.constant([4.0])]
    optimizer.apply_gradients(zip(gradients, [table, weight], strict=True))
    of_table, m, _ = optimizer.variables[-3:]
    np.testing.assert_allclose(of_table[1, 0], 0.1 * 1.5, rtol=1e-5)
    np.testing.assert_allclose(m, [0.1 * 2.0], rtol=1e-5)


def average_of(optimizer: LazyAdam, *variables: tf.Variable) -> list[np.ndarray]:
    with optimizer.averaged(variables):
        return [variable.numpy() for variable in variables]


def test_moving_average_by_hand():
    table = tf.Variable([[1.0], [2.0]])
    optimizer = for_table(table, 0.1, epsilon=0.0, ema_decay=0.5)
    optimizer.apply_gradients([(rows_gradient([1], [[3.0]], 2), table)])
    # row 1: 2 -> 1.9; 0.5 * 2 + 0.5 * 1.9
    np.testing.assert_allclose(average_of(optimizer, table)[0], [[1.0], [1.95]], rtol=1e-6)
    optimizer.apply_gradients([(rows_gradient([0], [[3.0]], 2), table)])
    # row 1 stays at 1.9: 0.5 * 1.95 + 0.5 * 1.9
    np.testing.assert_allclose(average_of(optimizer, table)[0][1], [1.925], rtol=1e-6)
    np.testing.assert_allclose(table[1], [1.9], rtol=1e-6)


def test_moving_average_of_touched_rows_equals_a_pass_over_the_whole_table_each_step():
    rng = np.random.default_rng(0)
    table, weight = tf.Variable(rng.normal(size=(7, 3)).astype(np.float32)), tf.Variable([1.0])
    optimizer = LazyAdam(0.1, ema_decay=0.8)
    optimizer.add_tables([table])
    optimizer.build([table, weight])
    averages = [table.numpy().astype(np.float64), weight.numpy().astype(np.float64)]
    for _ in range(30):
        rows = rng.choice(7, 2, replace=False)
        gradients = [
            rows_gradient(rows, rng.normal(size=(2, 3)), 7),
            tf.constant(rng.normal(size=1), tf.float32),
        ]
        optimizer.apply_gradients(zip(gradients, [table, weight], strict=True))
        for average, variable in zip(averages, (table, weight), strict=True):
            average += 0.2 * (variable.numpy() - average)
        for found, expected in zip(average_of(optimizer, table, weight), averages, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_averaged_gives_the_weights_back_whatever_happens():
    table = tf.Variable([[1.0], [2.0]])
    optimizer = for_table(table, 0.1, ema_decay=0.5)
    optimizer.apply_gradients([(rows_gradient([1], [[3.0]], 2), table)])
    before = table.numpy()
    with pytest.raises(tf.errors.InvalidArgumentError), optimizer.averaged([table]):
        tf.debugging.assert_equal(table, before)
    np.testing.assert_array_equal(table, before)
    plain = for_table(table, 0.1)
    with plain.averaged([table]):
        np.testing.assert_array_equal(table, before)


@pytest.mark.parametrize("is_table", [True, False])
def test_refuses_a_gradient_of_the_other_kind(is_table):
    weight = tf.Variable(tf.ones([3, 1]), name="weight")
    gradient = tf.ones([3, 1]) if is_table else rows_gradient([1], [[1.0]], 3)
    optimizer = for_table(weight) if is_table else LazyAdam()
    with pytest.raises(ValueError, match=r"weight:0: got a gradient of type "):
        optimizer.apply_gradients([(gradient, weight)])


def test_refuses_a_table_whose_moments_are_made():
    table = tf.Variable(tf.ones([3, 1]), name="table")
    optimizer = for_table(table)
    optimizer.add_tables([table])  # as compiling again does
    with pytest.raises(ValueError, match=r"^other:0: a table must be named before `build`"):
        optimizer.add_tables([tf.Variable(tf.ones([3, 1]), name="other")])


def test_config_round_trip():
    optimizer = LazyAdam(
        0.1, l1=0.2, l2=0.3, beta_1=0.8, epsilon=1e-6, clip_norm=2.0, ema_decay=0.9
    )
    again = LazyAdam.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert (again.clip_norm, again.ema_decay) == (2.0, 0.9)
    assert (again.l1, again.l2, again.beta_1, again.epsilon) == (0.2, 0.3, 0.8, 1e-6)


def test_refuses_negative_penalties():
    with pytest.raises(ValueError, match=r"l2: must be at least 0, got -1\.0"):
        LazyAdam(l2=-1.0)
    with pytest.raises(ValueError, match=r"clip_norm: must be above 0, got 0"):
        LazyAdam(clip_norm=0.0)
    with pytest.raises(ValueError, match=r"ema_decay: must be in \[0, 1\), got 1\.0"):
        LazyAdam(ema_decay=1.0)


def test_exempt_weights_are_not_penalized():
    penalized, exempt = tf.Variable([1.0]), tf.Variable([1.0])
    optimizer = LazyAdam(0.1, l1=0.1, l2=0.1)
    optimizer.exempt([exempt])
    optimizer.apply_gradients([(tf.zeros([1]), penalized), (tf.zeros([1]), exempt)])
    assert float(penalized[0]) == pytest.approx(0.9, abs=1e-5)
    assert float(exempt[0]) == 1.0

"""Multiplications by hand, and the sizes of a trained model."""

import tensorflow as tf

from mgoe_tf.experimenting.sizes import multiplications, size_of
from mgoe_tf.training import checkpoints


def test_multiplications_by_hand() -> None:
    a, b = tf.zeros([3, 4]), tf.zeros([4, 5])
    assert multiplications(lambda: a @ b) == 3 * 4 * 5
    assert multiplications(lambda: tf.matmul(a, tf.zeros([7, 4]), transpose_b=True)) == 3 * 4 * 7
    assert multiplications(lambda: tf.matmul(a, tf.zeros([3, 2]), transpose_a=True)) == 3 * 4 * 2
    c = tf.zeros([6, 3, 4])
    assert multiplications(lambda: c @ tf.zeros([6, 4, 5])) == 6 * 3 * 4 * 5
    assert multiplications(lambda: tf.linalg.matvec(c, tf.zeros([6, 4]))) == 6 * 3 * 4
    of_experts = tf.zeros([2, 4, 5])
    assert multiplications(lambda: tf.einsum("bi,xio->xbo", a, of_experts)) == 2 * 3 * 4 * 5
    assert multiplications(lambda: a + 1.0) == 0


def test_shapes_that_do_not_tell() -> None:
    rows = tf.TensorSpec([None, 4])
    assert multiplications(lambda x: x @ tf.zeros([4, 5]), rows) is None


def test_a_trained_model(finished, tmp_path) -> None:
    size = size_of(finished.model_dir, str(tmp_path / "nothing"))
    model = checkpoints.load_model(finished.model_dir).model
    assert size.dense_weights + size.table_weights == model.count_params()
    assert size.table_weights == sum(
        table.shape[0] * table.shape[1] for table in model.embeddings.variables
    )
    assert size.export_bytes is None
    # MMoE: x of 3 embeddings of width 3 (user, item, category); 3 experts 6-5; gates and towers 4
    # of 2 tasks; that gates mix experts is no product of matrices there
    width = 3 * 3
    experts = 3 * (width * 6 + 6 * 5)
    of_task = width * 3 + 5 * 4 + 4
    assert size.row_multiplications == experts + 2 * of_task
    assert size.fixed_multiplications == 0
    (tmp_path / "export" / "variables").mkdir(parents=True)
    (tmp_path / "export" / "a").write_bytes(b"12345")
    (tmp_path / "export" / "variables" / "b").write_bytes(b"123")
    assert size_of(finished.model_dir, str(tmp_path / "export")).export_bytes == 8

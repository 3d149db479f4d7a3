"""What the optimizer keeps of tables fits any number of shards."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.training.optimizers import LazyAdam

TABLE = np.arange(12, dtype=np.float32).reshape(6, 2) / 10


def trained(shards: int, steps: int):
    """A table in shards and a dense weight, with their optimizer after some steps."""
    from tensorflow.python.distribute.sharded_variable import ShardedVariable

    ends = np.linspace(0, 6, shards + 1).astype(int)
    parts = [
        tf.Variable(TABLE[first:last], name=f"table/part_{number}")
        for number, (first, last) in enumerate(itertools.pairwise(ends))
    ]
    table = ShardedVariable(parts, name="table") if shards > 1 else parts[0]
    dense = tf.Variable([1.0, 2.0])
    optimizer = LazyAdam(0.1, ema_decay=0.9)
    optimizer.add_tables(parts)
    optimizer.build([*parts, dense])
    for step in range(steps):
        gradients = [
            tf.IndexedSlices(tf.fill([1, 2], 0.5 + step), tf.constant([0]), part.shape)
            for part in parts
        ]
        optimizer.apply_gradients(zip([*gradients, tf.ones([2])], [*parts, dense], strict=True))
    return optimizer, parts, tf.train.Checkpoint(table=table, dense=dense, optimizer=optimizer)


def slots(optimizer: LazyAdam, parts: list[tf.Variable]) -> list[np.ndarray]:
    """Whole: moments and averages."""
    kept = [[slot.numpy() for slot in optimizer.slots(part)] for part in parts]
    return [np.concatenate(of_all) for of_all in zip(*kept, strict=True)]


@pytest.mark.parametrize(("saved", "restored"), [(2, 1), (1, 2), (2, 3), (3, 2)])
def test_a_checkpoint_fits_other_numbers_of_shards(saved, restored, tmp_path) -> None:
    optimizer, parts, checkpoint = trained(saved, steps=2)
    path = checkpoint.save(str(tmp_path / "ckpt"))
    again, again_parts, target = trained(restored, steps=0)
    target.restore(path).assert_existing_objects_matched()
    expected = slots(optimizer, parts)
    assert np.abs(expected[0]).max() > 0
    for found, value in zip(slots(again, again_parts), expected, strict=True):
        np.testing.assert_array_equal(found, value)
    whole = np.concatenate([part.numpy() for part in again_parts])
    np.testing.assert_array_equal(whole, np.concatenate([part.numpy() for part in parts]))
    assert int(again.iterations) == 2

"""Dropout against its definition, and its randomness through a checkpoint."""

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.dropout import Dropout


def test_entries_are_dropped_or_scaled() -> None:
    dropped = Dropout(rate=0.2)(tf.ones([100, 100]), training=True).numpy()
    # kept entries are 1 / 0.8; 10,000 draws have a standard error of 0.004
    assert set(np.unique(dropped)) == {0.0, 1.25}
    assert (dropped == 0).mean() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(("rate", "training"), [(0.2, False), (0.2, None), (0.0, True)])
def test_nothing_is_dropped(rate: float, training: bool | None) -> None:
    inputs = tf.random.stateless_normal([4, 5], [1, 2])
    np.testing.assert_array_equal(Dropout(rate=rate)(inputs, training=training), inputs)


def test_a_restored_layer_draws_what_the_saved_one_would_have_drawn(tmp_path) -> None:
    ones = tf.ones([50])
    saved, restored = Dropout(rate=0.5), Dropout(rate=0.5)
    first = saved(ones, training=True).numpy()
    path = tf.train.Checkpoint(layer=saved).save(str(tmp_path / "checkpoint"))
    second = saved(ones, training=True).numpy()
    restored(ones)
    tf.train.Checkpoint(layer=restored).restore(path).assert_consumed()
    np.testing.assert_array_equal(restored(ones, training=True), second)
    assert (first != second).any()


def test_the_rate_is_checked_and_kept() -> None:
    with pytest.raises(ValueError, match=r"rate: must be in \[0, 1\), got 1"):
        Dropout(rate=1)
    assert Dropout.from_config(Dropout(rate=0.3).get_config()).rate == 0.3

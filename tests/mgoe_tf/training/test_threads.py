import os

import pytest
import tensorflow as tf

from mgoe_tf.training import threads


@pytest.fixture
def set_to(monkeypatch):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    values: list[int] = []
    monkeypatch.setattr(
        tf.config.threading, "set_intra_op_parallelism_threads", lambda n: values.append(n)
    )
    return values


@pytest.mark.parametrize(("cores", "expected"), [(1, [1]), (2, [1]), (3, []), (64, [])])
def test_one_by_default_on_few_cores(monkeypatch, set_to, cores, expected):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    threads.set_intra_op_threads()
    assert set_to == expected


@pytest.mark.parametrize("cores", [2, 64])
def test_what_is_asked_for_comes_first(monkeypatch, set_to, cores):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "5")
    threads.set_intra_op_threads()
    assert not set_to, "the environment's stays"
    threads.set_intra_op_threads(3)
    assert set_to == [3]


def test_too_late_is_an_error():
    tf.constant(1.0) + 1.0
    with pytest.raises(RuntimeError, match="cannot be modified after initialization"):
        threads.set_intra_op_threads(7)

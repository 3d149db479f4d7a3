import numpy as np
import pytest

from mgoe_tf.layers.expert_bank import ExpertBank


def test_shared_experts_first_then_the_task_s_own():
    bank = ExpertBank(num_tasks=2, num_shared=1, num_task_experts=2)
    weight = bank.add_expert_weight("weight", [1], "zeros")
    # Experts: 0 shared; 1, 2 of task 0; 3, 4 of task 1.
    weight.assign([[0.0], [1.0], [2.0], [3.0], [4.0]])
    np.testing.assert_array_equal(bank.by_task(weight)[..., 0], [[0, 1, 2], [0, 3, 4]])
    assert bank.experts_of_task == 3


@pytest.mark.parametrize(("shared", "own"), [(2, 0), (0, 1)])
def test_one_kind_alone(shared, own):
    bank = ExpertBank(num_tasks=3, num_shared=shared, num_task_experts=own)
    weight = bank.add_expert_weight("weight", [4, 5])
    assert bank.by_task(weight).shape == (3, shared + own, 4, 5)


def test_experts_start_apart():
    bank = ExpertBank(num_tasks=2, num_shared=2, num_task_experts=1)
    weight = bank.add_expert_weight("weight", [4, 5]).numpy()
    assert len({kernel.tobytes() for kernel in weight}) == 4


def test_refuses_no_experts():
    with pytest.raises(ValueError, match="together at least 1, got 0 and 0"):
        ExpertBank(num_tasks=1, num_shared=0, num_task_experts=0)
    with pytest.raises(ValueError, match="num_tasks: must be at least 1, got 0"):
        ExpertBank(num_tasks=0, num_shared=1, num_task_experts=0)

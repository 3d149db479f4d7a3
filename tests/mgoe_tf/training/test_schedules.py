import pytest

from mgoe_tf.training.optimizers import LazyAdam
from mgoe_tf.training.schedules import SCHEDULES, WarmupCosine, make_schedule


def rates(name: str, steps: list[int], **changes) -> list[float]:
    sizes = {"peak": 0.8, "warmup_steps": 4, "decay_steps": 12, "final": 0.2, **changes}
    schedule = make_schedule(name, **sizes)
    return [schedule if isinstance(schedule, float) else float(schedule(step)) for step in steps]


def test_by_hand() -> None:
    assert rates("constant", [0, 100]) == [0.8, 0.8]
    assert rates("warmup", [0, 1, 3, 4, 100]) == pytest.approx([0.2, 0.4, 0.8, 0.8, 0.8])
    # half of the way down at step 8; cos(pi / 4) = 0.70711 at step 6
    expected = [0.2, 0.4, 0.6, 0.8, 0.8, 0.2 + 0.3 * 1.70711, 0.5, 0.2, 0.2]
    assert rates("cosine", [0, 1, 2, 3, 4, 6, 8, 12, 99]) == pytest.approx(expected, rel=1e-5)
    assert rates("cosine", [0, 6], warmup_steps=0) == pytest.approx([0.8, 0.5])


def test_the_optimizer_follows() -> None:
    import tensorflow as tf

    weight = tf.Variable([0.0])
    optimizer = LazyAdam(WarmupCosine(peak=0.4, warmup_steps=2), epsilon=0.0)
    # a step of Adam on a constant gradient is the learning rate
    for expected in (-0.2, -0.6, -1.0):
        optimizer.apply_gradients([(tf.constant([1.0]), weight)])
        assert float(weight[0]) == pytest.approx(expected, rel=1e-5)


def test_refusals_and_config() -> None:
    with pytest.raises(ValueError, match="warmup_steps: must be at least 0, got -1"):
        WarmupCosine(peak=1.0, warmup_steps=-1)
    with pytest.raises(ValueError, match="decay_steps: must be above warmup_steps=3, got 3"):
        WarmupCosine(peak=1.0, warmup_steps=3, decay_steps=3)
    with pytest.raises(ValueError, match=f"must be one of {', '.join(SCHEDULES)}, got 'linear'"):
        rates("linear", [0])
    schedule = WarmupCosine(peak=1.0, warmup_steps=3, decay_steps=9, final=0.1)
    assert WarmupCosine.from_config(schedule.get_config()).get_config() == schedule.get_config()

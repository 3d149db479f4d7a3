import pytest

from mgoe_tf.training.options import TrainOptions

REFUSALS = {
    "--keep_checkpoints: must be at least 1, got 0": {"keep_checkpoints": 0},
    "--checkpoint_steps: must be at least 0, got -1": {"checkpoint_steps": -1},
    "--clip_norm: must be at least 0, got -1": {"clip_norm": -1.0},
    r"--ema_decay: must be in \[0, 1\), got 1": {"ema_decay": 1.0},
    "--gradnorm_rate: must be above 0, got 0": {"gradnorm_rate": 0.0},
    r"--label_smoothing: must be in \[0, 1\), got \[0.1, 1.0\]": {"label_smoothing": (0.1, 1.0)},
    r"--task_weights: must not be given with --task_weighting=uncertainty, got \[1.0, 2.0\]": {
        "task_weighting": "uncertainty",
        "task_weights": (1.0, 2.0),
    },
    "--warmup_steps: must be 0 with --schedule=constant, got 5": {"warmup_steps": 5},
    "--decay_steps: must be 0 with --schedule=warmup, got 9": {
        "schedule": "warmup",
        "warmup_steps": 5,
        "decay_steps": 9,
    },
    "--warmup_steps: must be at least 1 with --schedule=warmup, got 0": {"schedule": "warmup"},
    "--decay_steps: must be above --warmup_steps=5, got 5": {
        "schedule": "cosine",
        "warmup_steps": 5,
        "decay_steps": 5,
    },
    "--final_learning_rate: must be at most --learning_rate=0.005, got 0.1": {
        "schedule": "cosine",
        "final_learning_rate": 0.1,
    },
}


@pytest.mark.parametrize("message", REFUSALS)
def test_mistakes_are_named(message) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        TrainOptions(**REFUSALS[message])


def test_pcgrad_takes_task_weights() -> None:
    options = TrainOptions(task_weighting="pcgrad", task_weights=(1.0, 2.0))
    assert options.task_weights == (1.0, 2.0)

"""The course of the learning rate."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

SCHEDULES = ("constant", "warmup", "cosine")


class WarmupCosine(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Rises in equal parts to the peak, then stays there or falls along half a cosine.

    At step n, counted from 0, with w steps of warm-up and the end at step d:

        peak (n + 1) / w                                             n < w
        final + (peak - final) (1 + cos(pi (n - w) / (d - w))) / 2   w <= n < d
        final                                                        d <= n

    Args:
      peak: the highest rate.
      warmup_steps: w, at least 0.
      decay_steps: d, above w; None: the rate stays at the peak.
      final: the rate from step d on.

    Example:
      >>> float(WarmupCosine(peak=1.0, warmup_steps=4)(1))
      0.5
    """

    def __init__(
        self, *, peak: float, warmup_steps: int, decay_steps: int | None = None, final: float = 0.0
    ) -> None:
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps: must be at least 0, got {warmup_steps}")
        if decay_steps is not None and decay_steps <= warmup_steps:
            raise ValueError(
                f"decay_steps: must be above warmup_steps={warmup_steps}, got {decay_steps}"
            )
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.decay_steps = decay_steps
        self.final = final

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        rate = tf.constant(self.peak, tf.float32)
        if self.decay_steps is not None:
            share = (step - self.warmup_steps) / (self.decay_steps - self.warmup_steps)
            share = tf.clip_by_value(share, 0.0, 1.0)
            rate = self.final + (self.peak - self.final) * (1.0 + tf.cos(math.pi * share)) / 2.0
        if not self.warmup_steps:
            return rate
        return tf.minimum(rate, self.peak * (step + 1.0) / self.warmup_steps)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
            "final": self.final,
        }


def make_schedule(
    name: str,
    *,
    peak: float,
    warmup_steps: int,
    decay_steps: int,
    final: float,
) -> float | WarmupCosine:
    """The schedule of a name in `SCHEDULES`; see `WarmupCosine`."""
    if name == "constant":
        return peak
    if name == "warmup":
        return WarmupCosine(peak=peak, warmup_steps=warmup_steps)
    if name == "cosine":
        return WarmupCosine(
            peak=peak, warmup_steps=warmup_steps, decay_steps=decay_steps, final=final
        )
    raise ValueError(f"--schedule: must be one of {', '.join(SCHEDULES)}, got {name!r}")

"""The funnel of a synthetic user: exposure, click, and fav, cart and buy after a click."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

TASKS = ("click", "fav", "cart", "buy")
# Of logged events, in Taobao's log (model.md 3).
RATES = {"click": 0.88, "fav": 0.035, "cart": 0.066, "buy": 0.019}
_CLICK_RATE = 0.2  # Of exposures.
_BUY_AFTER_CART = 1.5  # In the logit.


def sigmoid(logits: NDArray[Any]) -> NDArray[Any]:
    """Probabilities of logits, entry by entry."""
    return 1 / (1 + np.exp(-logits))


@dataclasses.dataclass(frozen=True)
class Behavior:
    """Probabilities of [N] exposures: of a click, and of the rest where there was a click."""

    click: NDArray[Any]
    fav: NDArray[Any]
    cart: NDArray[Any]
    buy_with_cart: NDArray[Any]
    buy_without_cart: NDArray[Any]

    @classmethod
    def of_logits(
        cls, click: NDArray[Any], fav: NDArray[Any], cart: NDArray[Any], buy: NDArray[Any]
    ) -> Behavior:
        """From the affinities of each task, [N]."""
        return cls(
            sigmoid(click),
            sigmoid(fav),
            sigmoid(cart),
            sigmoid(buy + _BUY_AFTER_CART),
            sigmoid(buy),
        )

    @property
    def after_click(self) -> NDArray[Any]:
        """float64 [N, T]: of each task where there was a click."""
        buy = self.cart * self.buy_with_cart + (1 - self.cart) * self.buy_without_cart
        return np.stack([np.ones_like(self.click), self.fav, self.cart, buy], axis=1)


def calibrate(logits: NDArray[Any]) -> NDArray[Any]:
    """float64 [T]: what to add to each task's logits for the rates above.

    Args:
      logits: [T, N], of exposures drawn as the log draws them.
    """
    shift = np.zeros(len(TASKS))
    shift[0] = _solve(lambda x: sigmoid(logits[0] + x).mean(), _CLICK_RATE)
    clicks = sigmoid(logits[0] + shift[0])
    clicks /= clicks.sum()
    for task in range(1, len(TASKS)):

        def rate(x: float, task: int = task) -> float:
            shifted = logits + np.where(np.arange(len(TASKS)) == task, x, shift)[:, None]
            return clicks @ Behavior.of_logits(*shifted).after_click[:, task]

        # Buy comes last: its rate depends on that of cart.
        shift[task] = _solve(rate, RATES[TASKS[task]] / RATES["click"])
    return shift


def _solve(rate: Callable[[float], float], target: float) -> float:
    """Where the rising function `rate` meets `target`, by bisection."""
    low, high = -30.0, 30.0
    for _ in range(35):
        middle = (low + high) / 2
        low, high = (low, middle) if rate(middle) > target else (middle, high)
    return (low + high) / 2

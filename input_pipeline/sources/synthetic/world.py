"""The planted world of the synthetic source: who likes what, and when.

Time runs in hourly slices, within which nothing changes. In slice s a user is drawn by activity
among those who have arrived, and is shown an item drawn by popularity among those that have
arrived, which fades with age. The user clicks with probability sigmoid(affinity); a click may be
followed by fav and cart, and by buy, more likely after cart:

    affinity_t(u, i, s) = intercept_t + scale_t <x_ut(s), y_i> + bias_ut + bias_it
    x_ut(s) = cos(phi_s) x_ut + sin(phi_s) x'_ut

Users and items come in latent groups with tastes of their own around the group's, an item's
category lies within its group, tasks share half of a taste, and tastes turn slowly (phi_s). A world
is made from a seed alone.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.files import filesystem
from input_pipeline.sources.synthetic.funnel import TASKS, Behavior, calibrate, sigmoid

NUM_SLICES = 9 * 24
SLICE_SECONDS = 3600
START_SECONDS = 1_511_539_200  # 2017-11-25 in China, where Taobao's public log begins.

_DIMENSION = 8
_USER_GROUPS, _ITEM_GROUPS = 12, 16
_ITEMS_PER_CATEGORY = 20
_SCALES = (2.4, 1.4, 1.4, 1.4)
_USER_BIAS = (0.3, 0.8, 0.8, 0.8)
_ITEM_BIAS = (0.5, 0.5, 0.5, 0.5)
_DRIFT_RADIANS = 0.7
_OLD_USERS, _OLD_ITEMS = 0.7, 0.5  # Shares that are there when the log begins.
_LIFE_SLICES = NUM_SLICES
_CALIBRATION_SIZE = 1 << 12


@dataclasses.dataclass(frozen=True)
class World:
    """Every parameter of the world. U users, I items, T tasks, D dimensions of taste.

    Attributes:
      user_id, item_id: int64 [U] and [I].
      category_id: int64 [I].
      activity, popularity: [U] and [I], relative.
      user_arrival, item_arrival: slice of arrival, [U] and [I]; negative before the log.
      item_life: [I], slices in which the popularity of an item falls to 1/e.
      taste, drift: float32 [U, T, D], x and x'.
      item_vector: float32 [I, D], y.
      user_bias, item_bias: float32 [U, T] and [I, T].
      intercept: float64 [T].
    """

    user_id: NDArray[Any]
    item_id: NDArray[Any]
    category_id: NDArray[Any]
    activity: NDArray[Any]
    popularity: NDArray[Any]
    user_arrival: NDArray[Any]
    item_arrival: NDArray[Any]
    item_life: NDArray[Any]
    taste: NDArray[Any]
    drift: NDArray[Any]
    item_vector: NDArray[Any]
    user_bias: NDArray[Any]
    item_bias: NDArray[Any]
    intercept: NDArray[Any]

    def save(self, path: str) -> None:
        """Writes the world as .npz."""
        filesystem.save_arrays(path, {f.name: getattr(self, f.name) for f in _fields()})

    @classmethod
    def load(cls, path: str) -> World:
        """Reads `save`'s file."""
        arrays = filesystem.load_arrays(path)
        if set(arrays) != {field.name for field in _fields()}:
            raise ValueError(f"{path}: not a synthetic world: it holds {sorted(arrays)}")
        return cls(**arrays)

    @functools.cached_property
    def _user_order(self) -> NDArray[Any]:
        return np.argsort(self.user_id)

    @functools.cached_property
    def _item_order(self) -> NDArray[Any]:
        return np.argsort(self.item_id)

    def user_rows(self, ids: NDArray[Any]) -> NDArray[Any]:
        """Rows of the users with these ids; ValueError where one is unknown."""
        return _find("user", self.user_id, self._user_order, ids)

    def item_rows(self, ids: NDArray[Any]) -> NDArray[Any]:
        """Rows of the items with these ids; ValueError where one is unknown."""
        return _find("item", self.item_id, self._item_order, ids)

    def user_shares(self, time_slice: int) -> NDArray[Any]:
        """float64 [U]: the probability that an exposure of the slice is this user's."""
        weights = self.activity * (self.user_arrival <= time_slice)
        return weights / weights.sum()

    def item_shares(self, time_slice: int) -> NDArray[Any]:
        """float64 [I]: the probability that an exposure of the slice is of this item."""
        age = np.maximum(time_slice - self.item_arrival, 0)
        fading = np.exp(-age / self.item_life)
        weights = self.popularity * fading * (self.item_arrival <= time_slice)
        return weights / weights.sum()

    def tastes(self, users: NDArray[Any] | slice, task: int, time_slice: int) -> NDArray[Any]:
        """float32 [N, D]: x_ut(s), times the task's scale."""
        phi = _DRIFT_RADIANS * time_slice / NUM_SLICES
        turned = np.float32(np.cos(phi)) * self.taste[users, task]
        turned += np.float32(np.sin(phi)) * self.drift[users, task]
        return np.float32(_SCALES[task]) * turned

    def logits(
        self, users: NDArray[Any], items: NDArray[Any], task: int, time_slice: int
    ) -> NDArray[Any]:
        """float64 [N]: affinity of user and item rows in one slice."""
        if len(users) > len(self.user_id):  # Then it is cheaper to turn everybody's taste once.
            tastes = self.tastes(slice(None), task, time_slice)[users]
        else:
            tastes = self.tastes(users, task, time_slice)
        dot = np.einsum("nd,nd->n", tastes, self.item_vector[items])
        bias = self.user_bias[users, task] + self.item_bias[items, task]
        return self.intercept[task] + dot.astype(np.float64) + bias

    def click(self, users: NDArray[Any], items: NDArray[Any], time_slice: int) -> NDArray[Any]:
        """float64 [N]: probability of a click on an exposure in the slice."""
        return sigmoid(self.logits(users, items, 0, time_slice))

    def click_matrix(
        self, users: NDArray[Any], items: NDArray[Any], time_slice: int
    ) -> NDArray[Any]:
        """float64 [N, M]: the same for every user with every item."""
        affinity = self.tastes(users, 0, time_slice) @ self.item_vector[items].T
        affinity += self.user_bias[users, 0, None] + self.item_bias[items, 0]
        return sigmoid(affinity.astype(np.float64) + self.intercept[0])

    def behavior(self, users: NDArray[Any], items: NDArray[Any], time_slice: int) -> Behavior:
        """Probabilities of exposures, given by rows of users and items, in one slice."""
        click, fav, cart, buy = (
            self.logits(users, items, task, time_slice) for task in range(len(TASKS))
        )
        return Behavior.of_logits(click, fav, cart, buy)


def _fields() -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(World)


def _find(kind: str, known: NDArray[Any], order: NDArray[Any], ids: NDArray[Any]) -> NDArray[Any]:
    place = np.minimum(np.searchsorted(known, ids, sorter=order), len(known) - 1)
    rows = order[place]
    if (known[rows] != ids).any():
        unknown = np.asarray(ids)[known[rows] != ids][:3]
        raise ValueError(f"the world has no {kind} {unknown.tolist()}")
    return rows


def slice_of(timestamps: NDArray[Any]) -> NDArray[Any]:
    """int64 [N]: the slice of each timestamp; what trails behind the end belongs to the last."""
    return np.clip((timestamps - START_SECONDS) // SLICE_SECONDS, 0, NUM_SLICES - 1)


def slice_loads() -> NDArray[Any]:
    """float64 [NUM_SLICES]: the share of the log's lines in each slice; evenings are busy."""
    hour = np.arange(NUM_SLICES) % 24
    load = 1 + 0.7 * np.sin(2 * np.pi * (hour - 14) / 24)
    return load / load.sum()


def make_world(users: int, items: int, seed: int) -> World:
    """Draws a world."""
    random = np.random.default_rng([seed, 0])
    user_group = random.choice(_USER_GROUPS, users, p=random.dirichlet(np.full(_USER_GROUPS, 4.0)))
    num_categories = max(items // _ITEMS_PER_CATEGORY, 1)
    category_group = random.choice(_ITEM_GROUPS, num_categories)
    category = random.choice(
        num_categories, items, p=random.dirichlet(np.full(num_categories, 2.0))
    )
    item_arrival = random.uniform(0, NUM_SLICES, items)
    old = random.random(items) < _OLD_ITEMS
    item_arrival[old] = -random.uniform(0, NUM_SLICES, items)[old]
    user_arrival = random.uniform(0, NUM_SLICES, users)
    user_arrival[random.random(users) < _OLD_USERS] = -1
    # However few there are, the first slice needs somebody and something.
    user_arrival[0] = item_arrival[0] = -1
    num_tasks = len(TASKS)
    vectors = _mix(
        (0.6, _normal(random, _ITEM_GROUPS, _DIMENSION)[category_group][category]),
        (0.3, _normal(random, num_categories, _DIMENSION)[category]),
        (0.1, _normal(random, items, _DIMENSION)),
    )
    world = World(
        user_id=_ids(random, users),
        item_id=_ids(random, items),
        category_id=_ids(random, num_categories)[category],
        activity=random.lognormal(0, 1.0, users),
        popularity=random.lognormal(0, 1.1, items),
        user_arrival=user_arrival,
        item_arrival=item_arrival,
        item_life=_LIFE_SLICES * random.lognormal(0, 0.7, items),
        taste=_tastes(random, user_group),
        drift=_tastes(random, user_group),
        item_vector=vectors / np.float32(np.sqrt(_DIMENSION)),
        user_bias=_normal(random, users, num_tasks) * np.array(_USER_BIAS, np.float32),
        item_bias=_normal(random, items, num_tasks) * np.array(_ITEM_BIAS, np.float32),
        intercept=np.zeros(num_tasks),
    )
    return dataclasses.replace(world, intercept=_calibrate(world, random))


def _normal(random: np.random.Generator, *shape: int) -> NDArray[Any]:
    return random.standard_normal(shape, np.float32)


def _mix(*parts: tuple[float, NDArray[Any]]) -> NDArray[Any]:
    """A sum in which each part has a share of the variance."""
    return np.sum([np.float32(np.sqrt(share)) * values for share, values in parts], axis=0)


def _tastes(random: np.random.Generator, user_group: NDArray[Any]) -> NDArray[Any]:
    """float32 [U, T, D]: half of a task's taste is common to all tasks, half is its own."""
    num_tasks = len(TASKS)

    def draw(width: int) -> NDArray[Any]:
        groups = _normal(random, _USER_GROUPS, width, _DIMENSION)
        return _mix(
            (0.75, groups[user_group]), (0.25, _normal(random, len(user_group), width, _DIMENSION))
        )

    taste = np.repeat(draw(1), num_tasks, axis=1)
    taste[:, 1:] = _mix((0.5, taste[:, 1:]), (0.5, draw(num_tasks - 1)))
    return taste


def _ids(random: np.random.Generator, count: int) -> NDArray[Any]:
    """int64 [count]: distinct, scattered and in no order, as ids in logs are."""
    return random.permutation(1000 + np.cumsum(random.integers(1, 10, count)))


def _calibrate(world: World, random: np.random.Generator) -> NDArray[Any]:
    """float64 [T]: intercepts by which a sample of exposures has the wanted rates."""
    logits = []
    for time_slice in range(0, NUM_SLICES, NUM_SLICES // 8):
        users = random.choice(
            len(world.user_id), _CALIBRATION_SIZE, p=world.user_shares(time_slice)
        )
        items = random.choice(
            len(world.item_id), _CALIBRATION_SIZE, p=world.item_shares(time_slice)
        )
        logits.append([world.logits(users, items, task, time_slice) for task in range(len(TASKS))])
    return calibrate(np.concatenate(logits, axis=1))

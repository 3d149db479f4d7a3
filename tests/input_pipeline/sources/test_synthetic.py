"""The synthetic source: its rates and shape, determinism, files and, above all, its truth."""

import dataclasses
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from input_pipeline.log.events import EventLog
from input_pipeline.log.negatives import CandidateArrays, sample_negatives
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources import read_events
from input_pipeline.sources.synthetic import planted_log, truth
from input_pipeline.sources.synthetic import world as worlds
from input_pipeline.sources.synthetic.__main__ import SyntheticOptions, write_csv
from input_pipeline.sources.synthetic.funnel import Behavior, calibrate, sigmoid
from input_pipeline.sources.synthetic.world import World, make_world

ROOT = pathlib.Path(__file__).parents[3]
USERS, ITEMS, EVENTS = 400, 600, 40_000


def options(**changes) -> PreparationOptions:
    given = {"source": "synthetic", "users": USERS, "items": ITEMS, "events": EVENTS}
    return PreparationOptions(**{**given, **changes})


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(USERS, ITEMS, 0)


@pytest.fixture(scope="module")
def log() -> EventLog:
    return read_events(options())


@pytest.fixture(scope="module")
def exposures() -> EventLog:
    return read_events(options(exposures=True))


def rates(log: EventLog) -> list[float]:
    return [float((log.behaviors >> task & 1).mean()) for task in range(4)]


def test_rates_are_those_of_taobao(log: EventLog) -> None:
    # model.md 3; four standard deviations of 40,000 lines are 0.7 % for the click, and its sample
    # of calibration adds to that.
    np.testing.assert_allclose(rates(log), [0.88, 0.035, 0.066, 0.019], atol=0.01)
    assert len(log) == EVENTS
    assert not log.has_exposures
    assert set(log.behaviors.tolist()) == {1, 2, 4, 8}


def test_exposures_form_a_funnel(exposures: EventLog) -> None:
    click, fav, cart, buy = rates(exposures)
    # A fifth is clicked on; 3.5 of 88 clicks are followed by fav.
    np.testing.assert_allclose(
        [click, fav / click, cart / click, buy / click],
        [0.2, 0.035 / 0.88, 0.066 / 0.88, 0.019 / 0.88],
        atol=0.02,
    )
    assert len(exposures) == EVENTS
    assert exposures.has_exposures
    assert not (exposures.behaviors[exposures.behaviors % 2 == 0]).any()


def test_the_world_is_credible(log: EventLog, world: World) -> None:
    activity = np.sort(np.bincount(log.user_id.codes))
    popularity = np.sort(np.bincount(log.item_id.codes))
    for counts in (activity, popularity):  # Long-tailed: a tenth makes a third and more.
        assert counts[-len(counts) // 10 :].sum() > counts.sum() / 3
    early = log.timestamp <= np.quantile(log.timestamp, 0.7)
    for column in (log.user_id, log.item_id):
        new = ~np.isin(column.codes[~early], column.codes[early])
        assert 0.01 < new.mean() < 0.3
    assert log.user_id.dtype == log.item_id.dtype == "int64"
    ids = np.concatenate([world.user_id, world.item_id])
    assert ids.min() >= 1000
    assert (np.diff(np.sort(world.item_id)) > 0).all()
    assert (np.diff(np.sort(world.item_id)) > 1).any()
    assert (np.diff(world.item_id) < 0).any()
    # The category is the item's.
    pairs = np.stack([log.item_id.codes, log.item_features["category_id"].codes])
    assert len(np.unique(pairs, axis=1).T) == len(log.item_id.values)


def test_the_seed_decides_everything(log: EventLog) -> None:
    same, other = read_events(options()), read_events(options(seed=1))
    for name in ("behaviors", "timestamp"):
        np.testing.assert_array_equal(getattr(log, name), getattr(same, name))
    np.testing.assert_array_equal(log.item_id.codes, same.item_id.codes)
    np.testing.assert_array_equal(log.item_id.values, same.item_id.values)
    assert not np.array_equal(log.timestamp, other.timestamp)
    assert not np.array_equal(log.item_id.values, other.item_id.values)


def test_batches_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted_log, "_BATCH_EXPOSURES", 100)
    for with_exposures in (False, True):
        sizes = [len(b.user) for b in planted_log.generate(world, 5000, with_exposures, 0)]
        assert sum(sizes) == 5000
        # An exposure makes four lines at most.
        assert max(sizes) <= (100 if with_exposures else 400)


@pytest.mark.parametrize("size", [1, 7])
def test_tiny_worlds(size: int) -> None:
    log = read_events(options(users=size, items=size, events=size))
    assert len(log) == size


def test_click_by_hand() -> None:
    # One user, one item, two dimensions; slice 0, so that nothing has turned yet.
    planted = World(
        user_id=np.array([10]),
        item_id=np.array([20]),
        category_id=np.array([30]),
        activity=np.ones(1),
        popularity=np.ones(1),
        user_arrival=np.array([-1.0]),
        item_arrival=np.array([-1.0]),
        item_life=np.array([100.0]),
        taste=np.array([[[1, 2], [0, 0], [0, 0], [0, 0]]], np.float32),
        drift=np.array([[[5, 5], [0, 0], [0, 0], [0, 0]]], np.float32),
        item_vector=np.array([[0.25, 0.125]], np.float32),
        user_bias=np.array([[0.1, 0, 0, 0]], np.float32),
        item_bias=np.array([[-0.3, 0, 0, 0]], np.float32),
        intercept=np.array([-1.0, 0.0, 0.0, 0.0]),
    )
    row = np.array([0])
    # <x, y> = 1 * 0.25 + 2 * 0.125 = 0.5; logit = -1 + 2.4 * 0.5 + 0.1 - 0.3 = 0.
    np.testing.assert_allclose(planted.click(row, row, 0), [0.5], rtol=1e-6)
    probabilities = truth.exposure_probabilities(
        planted, np.array([10]), np.array([20]), np.array([worlds.START_SECONDS])
    )
    # Every other logit is 0, and 1.5 for buy after cart: 0.5 * sigmoid(1.5) + 0.5 * 0.5 = 0.658787.
    np.testing.assert_allclose(probabilities, [[0.5, 0.25, 0.25, 0.5 * 0.6587872]], rtol=1e-6)
    events = truth.event_probabilities(
        planted, np.array([10]), np.array([20]), np.array([worlds.START_SECONDS])
    )
    # 1 : 0.5 : 0.5 : 0.658787, which sum to 2.658787.
    np.testing.assert_allclose(events, [[0.3761114, 0.1880557, 0.1880557, 0.2477773]], rtol=1e-6)
    with pytest.raises(ValueError, match=r"no user \[11\]"):
        planted.user_rows(np.array([10, 11]))


def test_calibration_meets_the_rates() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 1000)) * 2
    chances = Behavior.of_logits(*(logits + calibrate(logits)[:, None]))
    assert chances.click.mean() == pytest.approx(0.2)
    weights = chances.click / chances.click.sum()
    np.testing.assert_allclose(
        weights @ chances.after_click, [1, 0.035 / 0.88, 0.066 / 0.88, 0.019 / 0.88], rtol=1e-6
    )
    assert sigmoid(np.array(0.0)) == 0.5


def check_calibrated(probabilities: np.ndarray, labels: np.ndarray) -> None:
    """In every fifth of the rows by probability, the labels' mean is the probabilities'."""
    for rows in np.array_split(np.argsort(probabilities, kind="stable"), 5):
        expected = probabilities[rows].sum()
        # Five standard deviations of the sum of independent labels, and 6 % for what is left out.
        margin = 5 * np.sqrt((probabilities[rows] * (1 - probabilities[rows])).sum()) + 1
        assert abs(labels[rows].sum() - expected) < margin + 0.06 * expected


def test_truth_of_exposures(exposures: EventLog, world: World) -> None:
    users = exposures.user_id.values[exposures.user_id.codes]
    items = exposures.item_id.values[exposures.item_id.codes]
    probabilities = truth.exposure_probabilities(world, users, items, exposures.timestamp)
    for task in range(4):
        check_calibrated(probabilities[:, task], exposures.behaviors >> task & 1)


def test_truth_of_events(log: EventLog, world: World) -> None:
    users = log.user_id.values[log.user_id.codes]
    items = log.item_id.values[log.item_id.codes]
    probabilities = truth.event_probabilities(world, users, items, log.timestamp)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    for task in range(4):
        check_calibrated(probabilities[:, task], log.behaviors >> task & 1)


@dataclasses.dataclass(frozen=True)
class Window:
    """Pairs and sampled negatives of the last tenth of a log."""

    user: np.ndarray
    item: np.ndarray
    labels: np.ndarray
    touched_before: np.ndarray
    past_count: np.ndarray
    probabilities: np.ndarray


@pytest.fixture(scope="module")
def window(log: EventLog, world: World) -> Window:
    num_items = len(log.item_id.values)
    pair = log.user_id.codes.astype(np.int64) * num_items + log.item_id.codes
    cut = int(np.quantile(log.timestamp, 0.9))
    inside = log.timestamp > cut
    touched, place = np.unique(pair[inside], return_inverse=True)
    behaviors = np.zeros(len(touched), np.uint32)
    np.bitwise_or.at(behaviors, place, log.behaviors[inside])
    counts = np.bincount(log.item_id.codes[inside], minlength=num_items)
    shown = np.flatnonzero(counts).astype(np.int32)
    negatives = sample_negatives(
        (touched // num_items).astype(np.int32),
        (touched % num_items).astype(np.int32),
        CandidateArrays(shown, counts[shown] ** 0.75),
        np.unique(pair),
        num_items,
        4,
        (0, 0),
    )
    row, _ = np.nonzero(negatives >= 0)
    user = np.concatenate([touched // num_items, (touched // num_items)[row]])
    item = np.concatenate([touched % num_items, negatives[negatives >= 0]])
    behaviors = np.concatenate([behaviors, np.zeros(len(row), np.uint32)])
    touched_before = np.isin(user * num_items + item, pair[~inside])
    probabilities = truth.pair_probabilities(
        world,
        log.user_id.values[user],
        log.item_id.values[item],
        touched_before,
        truth.PairWindow(cut + 1, int(log.timestamp.max()), int(inside.sum()), 1.0, 4, 0.75),
    )
    past_count = np.bincount(log.item_id.codes[~inside], minlength=num_items)[item]
    labels = np.stack([behaviors >> task & 1 for task in range(4)], axis=1)
    return Window(user, item, labels, touched_before, past_count, probabilities)


def test_truth_of_pairs_is_calibrated(window: Window) -> None:
    for task in range(4):
        check_calibrated(window.probabilities[:, task], window.labels[:, task])


def test_truth_of_pairs_ranks_better_than_anything_simpler(
    window: Window, log: EventLog, world: World
) -> None:
    best = roc_auc_score(window.labels[:, 0], window.probabilities[:, 0])
    click = world.click(
        world.user_rows(log.user_id.values[window.user]),
        world.item_rows(log.item_id.values[window.item]),
        worlds.NUM_SLICES - 12,
    )
    assert best > 0.75
    assert best > roc_auc_score(window.labels[:, 0], click) + 0.01
    popularity = roc_auc_score(window.labels[:, 0], window.past_count)
    assert popularity < 0.65  # So a model has to know who likes what.
    assert best > popularity + 0.15


def test_a_share_of_a_window_scales_its_touched_pairs(world: World) -> None:
    # With --split=random half of the events of a span make a window: where clicks are rare, a pair
    # is touched half as likely, and so are negatives, of which there are as many for each pair. The
    # posterior is then unchanged.
    users = np.repeat(world.user_id[:50], 50)
    items = np.tile(world.item_id[:50], 50)
    first, last = worlds.START_SECONDS, worlds.START_SECONDS + 9 * 86_400
    whole, half = (
        truth.pair_probabilities(
            world, users, items, np.zeros(2500, bool), truth.PairWindow(first, last, n, s, 4, 0.0)
        )
        for n, s in ((200, 1.0), (100, 0.5))
    )
    np.testing.assert_allclose(half, whole, rtol=0.25, atol=1e-3)


@pytest.mark.parametrize("power", [0.0, 0.5, 0.75, 1.0])
def test_expected_power_of_a_poisson_count(power: float) -> None:
    means = np.array([1e-9, 0.1, 1.0, 7.0, 49.0, 51.0, 400.0])
    counts = np.arange(1, 1000)
    # Summed over the counts themselves.
    expected = [
        (stats.poisson.pmf(counts, mean) * counts.astype(float) ** power).sum() for mean in means
    ]
    np.testing.assert_allclose(truth.expected_power(means, power), expected, rtol=1e-4)


def test_save_and_load(tmp_path: pathlib.Path, world: World) -> None:
    path = str(tmp_path / "world.npz")
    world.save(path)
    loaded = World.load(path)
    for field in dataclasses.fields(World):
        np.testing.assert_array_equal(getattr(world, field.name), getattr(loaded, field.name))
    np.savez(path, x=np.zeros(1))
    with pytest.raises(ValueError, match=r"not a synthetic world: it holds \['x'\]"):
        World.load(path)


@pytest.mark.parametrize("with_exposures", [False, True])
def test_the_file_holds_the_same_log(tmp_path: pathlib.Path, with_exposures: bool) -> None:
    path = str(tmp_path / "log.csv")
    write_csv(
        SyntheticOptions(
            users=50, items=60, events=3000, exposures=with_exposures, seed=3, output=path
        )
    )
    given = options(users=50, items=60, events=3000, exposures=with_exposures, seed=3)
    if with_exposures:
        columns = {
            "source": "csv",
            "timestamp_column": "timestamp",
            "task_columns": ("click:click", "fav:fav", "cart:cart", "buy:buy"),
            "item_feature_columns": ("category_id",),
        }
    else:
        columns = {"source": "taobao"}
    drawn, read = read_events(given), read_events(PreparationOptions(input=path, **columns))
    assert (drawn.tasks, drawn.has_exposures) == (read.tasks, read.has_exposures)
    np.testing.assert_array_equal(drawn.behaviors, read.behaviors)
    np.testing.assert_array_equal(drawn.timestamp, read.timestamp)
    for name in ("user_id", "item_id"):
        np.testing.assert_array_equal(getattr(drawn, name).codes, getattr(read, name).codes)
        np.testing.assert_array_equal(getattr(drawn, name).values, getattr(read, name).values)
    np.testing.assert_array_equal(
        drawn.item_features["category_id"].values, read.item_features["category_id"].values
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.csv", "log.csv.world.npz"]


def test_the_command(tmp_path: pathlib.Path) -> None:
    def run(*flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "input_pipeline.sources.synthetic", *flags],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    output = tmp_path / "log.csv"
    result = run("--users=20", "--items=20", "--events=500", f"--output={output}")
    assert result.returncode == 0, result.stderr
    assert len(output.read_text().splitlines()) == 500
    result = run()
    assert result.returncode == 1
    assert result.stderr.endswith("ValueError: --output: must name the file to write, got ''\n")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"users": 0}, "--users: must be at least 1, got 0"),
        ({"seed": -1}, "--seed: must be at least 0, got -1"),
    ],
)
def test_options_are_checked(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SyntheticOptions(output="x", **changes)


def test_defaults_are_those_of_preparation() -> None:
    synthetic, preparation = SyntheticOptions(output="x"), PreparationOptions()
    for field in dataclasses.fields(SyntheticOptions):
        if field.name != "output":
            assert getattr(synthetic, field.name) == getattr(preparation, field.name)

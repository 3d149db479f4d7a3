"""Figures of the experiments: what is drawn where."""

import math

import numpy as np
import pytest

from input_pipeline.pages.drawing import svg
from mgoe_tf.experimenting import figures
from mgoe_tf.experimenting.statistics import Spread

POINTS = {"quick": (1.0, 0.70), "good": (2.0, 0.80), "worse": (3.0, 0.75), "best": (8.0, 0.81)}


def test_no_model_beyond_the_dashed_line() -> None:
    (axes,) = figures.trade(POINTS, label="ms", chosen="good").axes
    (line,) = axes.lines
    assert line.get_xdata().tolist() == [1.0, 2.0, 8.0]
    assert line.get_ydata().tolist() == [0.70, 0.80, 0.81]
    offsets = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(offsets, list(POINTS.values()))
    low, high = axes.get_xlim()
    assert low < 1.0
    assert high > 8.0


def test_names_of_models_that_are_alike_do_not_lie_on_each_other() -> None:
    alike = {f"model{n}": (1.0 + n / 1000, 0.8 + n / 1e5) for n in range(12)}
    (axes,) = figures.trade(alike, label="ms", chosen="model0").axes
    places = [text.xyann for text in axes.texts]
    assert len(places) == 12
    for one, (x, y) in enumerate(places):
        for other_x, other_y in places[:one]:
            assert abs(x - other_x) > 0.13 or abs(y - other_y) >= 0.06 - 1e-9
    assert {text.get_text() for text in axes.texts} == set(alike)


def test_a_sweep_shows_means_deviations_and_where_the_tables_are() -> None:
    points = [(0.5, Spread(0.7, 0.01, 2)), (1.0, Spread(0.72, None, 1))]
    (axes,) = figures.sweep(points, label="temperature", marked=1.0).axes
    assert axes.lines[0].get_ydata().tolist() == [0.7, 0.72]
    assert axes.lines[-1].get_xdata() == [1.0, 1.0]
    assert axes.get_xlabel() == "temperature"


def test_a_grid_writes_its_numbers_and_leaves_gaps() -> None:
    values = {(1.0, 0.5): 0.7, (2.0, 0.5): 0.71, (2.0, 1.0): 0.72}
    (axes,) = figures.grid(values, names=("high", "low")).axes
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "0.7000", (1, 0): "0.7100", (1, 1): "0.7200"}
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0.5", "1"]


@pytest.mark.parametrize("missing", [False, True])
def test_bars_of_every_kind(missing) -> None:
    values = {"flat": {"a": 0.5, "b": 40.0}, "ids": {"a": 0.2} if missing else {"a": 0.2, "b": 3.0}}
    figure = figures.bars(values, label="ms")
    (axes,) = figure.axes
    widths = [bar.get_width() for bar in axes.patches]
    assert len(widths) == 4
    assert sum(map(math.isnan, widths)) == missing
    low, high = axes.get_xlim()
    assert (low, high) == (pytest.approx(0.2 / 1.5), pytest.approx(80.0))
    assert svg(figure) == svg(figures.bars(values, label="ms"))

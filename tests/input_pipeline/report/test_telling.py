"""Which single numbers are warned of."""

import numpy as np

from input_pipeline.report import telling
from input_pipeline.report.ranking import Ranking
from input_pipeline.report.window_statistics import WindowStatistics
from tests.input_pipeline.report import auc_of


def windows_of(**by_window: dict[str, Ranking | None]) -> list[WindowStatistics]:
    return [
        WindowStatistics(name, 100, {}, {}, {signal: {"buy": one} for signal, one in aucs.items()})
        for name, aucs in by_window.items()
    ]


def test_a_strong_number_is_told_of_once_over_all_windows() -> None:
    strong = Ranking(0.03, 40, 900)
    found = telling.find(windows_of(a={"paid": strong}, b={"paid": strong}), ("buy",))
    assert [(one.signal, one.where) for one in found] == [("paid", "all windows")]
    assert found[0].ranking == Ranking(0.03, 80, 1800)
    assert str(found[0]).startswith("paid ranks buy with AUC 0.970 (95 %: 0.9")


def test_a_column_that_leaks_in_one_window_only_is_told_of_there() -> None:
    weak, strong = Ranking(0.5, 400, 900), Ranking(0.99, 50, 900)
    found = telling.find(windows_of(a={"paid": weak}, b={"paid": strong}), ("buy",))
    assert [(one.signal, one.where) for one in found] == [("paid", "b")]


def test_honest_numbers_and_undefined_ones_are_not_told_of() -> None:
    honest = windows_of(a={"item popularity": Ranking(0.85, 10_000, 90_000), "empty": None})
    assert telling.find(honest, ("buy",)) == []
    assert telling.warning([]) == ""


def test_chance_with_seven_positives_is_not_told_of() -> None:
    random = np.random.default_rng(0)
    columns = {
        f"column {number}": Ranking(auc_of(random.random(150), 7), 7, 143) for number in range(500)
    }
    # many of them would have been beyond 0.6, and some are beyond 0.75
    assert sum(one.strength > 0.75 for one in columns.values()) > 5
    assert telling.find(windows_of(test=columns), ("buy",)) == []


def test_the_terminal_names_the_worst_three_first() -> None:
    rankings = {f"c{n}": Ranking(0.92 + n / 100, 500, 5000) for n in range(5)}
    text = telling.warning(telling.find(windows_of(test=rankings), ("buy",)))
    named = [text.index(f"c{n} ranks buy with AUC 0.9{2 + n}0") for n in (4, 3, 2)]
    assert named == sorted(named)
    assert "c1 ranks" not in text
    assert "; and 2 more. A column that is only known once the outcome is" in text
    graph = telling.find(windows_of(test={"item cold": rankings["c4"]}), ("buy",))
    assert "without knowing anyone" in telling.warning(graph)
    assert not graph[0].is_column

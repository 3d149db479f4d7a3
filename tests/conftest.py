"""Keeps slow tests apart and makes every test deterministic."""

import pytest

import mgoe_tf  # noqa: F401  (selects Keras 2 before anything imports TensorFlow)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run_slow", action="store_true", help="Also run the tests marked slow.")
    parser.addoption(
        "--soak_minutes", type=float, default=2.0, help="How long servers are soaked; in full: 10."
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run_slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow; run with --run_slow"))

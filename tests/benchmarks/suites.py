"""The suites by name: a new one is its module and one line here."""

from __future__ import annotations

import importlib

from tests.benchmarks.context import Context
from tests.benchmarks.line import Line

# Modules, each with `run(context) -> list[Line]`; imported only when they are run, since each
# imports its own peers.
SUITES: dict[str, str] = {
    "graph": "tests.benchmarks.graph",
    "vocabulary": "tests.benchmarks.vocabulary",
    "write": "tests.benchmarks.write",
    "read": "tests.benchmarks.read",
    "step": "tests.benchmarks.step",
    "table": "tests.benchmarks.table",
    "infer": "tests.benchmarks.infer",
    "serve": "tests.benchmarks.serve",
    "evaluate": "tests.benchmarks.evaluate",
    "ids": "tests.benchmarks.ids",
    "cluster": "tests.benchmarks.cluster",
}


def run_suite(name: str, context: Context) -> list[Line]:
    """Measures one suite in this process."""
    return importlib.import_module(SUITES[name]).run(context)

"""Two finished runs with their pages."""

import dataclasses

import pytest

from mgoe_tf.evaluation.evaluator import Evaluator
from mgoe_tf.reports.run_facts import RunFacts
from mgoe_tf.training import checkpoints
from mgoe_tf.training.options import TrainOptions
from tests.mgoe_tf.conftest import short_run, train_small


@pytest.fixture(scope="session")
def reported(data_dir, tmp_path_factory) -> dict[str, TrainOptions]:
    """The options of finished runs by model; not to be changed."""
    folder = tmp_path_factory.mktemp("reported")
    found = {}
    for model in ("mgoe", "mmoe"):
        options = short_run(data_dir, str(folder / model))
        found[model] = dataclasses.replace(options, model=model, epochs=2, report=True)
        train_small(found[model])
    return found


def evaluator_of(options: TrainOptions, split: str = "test") -> tuple[Evaluator, RunFacts]:
    loaded = checkpoints.load_model(options.model_dir)
    evaluator = Evaluator(
        options.data_dir, loaded.spec, split, model=loaded.model, lookup=loaded.lookup
    )
    return evaluator, RunFacts.gather(options.model_dir, loaded, evaluator, evaluator.score())


@pytest.fixture(scope="session")
def facts(reported) -> RunFacts:
    return evaluator_of(reported["mgoe"])[1]

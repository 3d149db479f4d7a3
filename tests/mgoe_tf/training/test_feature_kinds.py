"""Training and evaluation on lists of ids, numbers and context, in both layouts of records."""

import dataclasses
import shutil

import numpy as np
import pytest

from input_pipeline.spec import read_spec
from mgoe_tf.evaluation.evaluator import Evaluator
from mgoe_tf.training import checkpoints
from tests.data_sets import write_small_data_set
from tests.feature_kinds import FEATURES, add_feature_kinds, to_requests
from tests.mgoe_tf.conftest import short_run, train_small


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    """The same rows in each layout."""
    folder = tmp_path_factory.mktemp("kinds")
    made = {layout: str(folder / layout) for layout in ("example", "request")}
    write_small_data_set(made["example"])
    add_feature_kinds(made["example"], device_tells=True)
    shutil.copytree(made["example"], made["request"])
    to_requests(made["request"])
    return made


@pytest.mark.parametrize("layout", ["example", "request"])
@pytest.mark.parametrize("name", ["mgoe", "mmoe"])
def test_models_learn_from_the_context_and_both_layouts_hold_the_same_rows(
    folders, tmp_path, name, layout
):
    options = dataclasses.replace(short_run(folders[layout], str(tmp_path / "run")), model=name)
    metrics = train_small(options)
    # The device tells whether a row was clicked.
    assert metrics["tasks"]["click"]["auc"] > 0.95
    loaded = checkpoints.load_model(options.model_dir)
    assert {feature.name for feature in FEATURES} <= set(loaded.model.feature_names)
    for weights in loaded.model.get_weights():
        assert np.isfinite(weights).all()
    found = {
        other: Evaluator(
            path,
            read_spec(path),
            "test",
            model=loaded.model,
            lookup=loaded.lookup,
        ).evaluate()["average"]
        for other, path in folders.items()
    }
    assert found["example"]["auc"] == pytest.approx(found["request"]["auc"], abs=1e-6)
    assert found["example"]["logloss"] == pytest.approx(found["request"]["logloss"], abs=1e-6)

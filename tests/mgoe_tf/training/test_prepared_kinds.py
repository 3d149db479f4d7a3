"""Training on a prepared log that has features of every kind, and names that mislead."""

import dataclasses

import numpy as np
import pytest

from input_pipeline.preparation_options import PreparationOptions
from mgoe_tf.models import registry
from mgoe_tf.models.baselines.mmoe import MMoE
from mgoe_tf.training import checkpoints
from tests.input_pipeline.logs import TRANSFORMS, event_log, random_lines, with_features, write_log
from tests.mgoe_tf.conftest import short_run, train_small

# A bytes feature ends like a macro node's, a task is named like a list of neighbours.
TASKS = ("click", "user_neighbors_of", "cart", "buy")


@pytest.fixture(scope="module", params=["example", "request"])
def prepared(request, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("kinds") / "data")
    options = PreparationOptions(
        source="csv", data_dir=folder, cuts=(0.3, 0.5, 0.7, 0.85), num_user_macro_nodes=3,
        num_item_macro_nodes=4, record_layout=request.param, activity_features=True, num_shards=2,
    )  # fmt: skip
    lines = with_features(random_lines(0, num_lines=600, users=30, items=50, clock=300), 0)
    write_log(event_log(lines, TASKS, TRANSFORMS), options, folder)
    return folder


@pytest.mark.parametrize("name", ["mgoe", "mmoe"])
def test_models_read_every_feature_of_a_prepared_log(prepared, tmp_path, name):
    options = dataclasses.replace(short_run(prepared, str(tmp_path / "run")), model=name)
    assert set(train_small(options)["tasks"]) == set(TASKS)
    model = checkpoints.load_model(options.model_dir).model
    told = {f.name for f in model.spec.input_features if f.role in ("id", "side", "numeric")}
    assert {"price_macro", "tags", "born", "price", "hour", "user_activity"} <= told
    assert told <= set(model.feature_names)
    for weights in model.get_weights():
        assert np.isfinite(weights).all()


class IdsAlone(MMoE):
    """Reads two of many vocabularies, and no numbers."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.numeric_inputs = {
            owner: type(inputs)(transforms={}) for owner, inputs in self.numeric_inputs.items()
        }

    @property
    def feature_names(self):
        return ("user_id", "item_id")

    def embedded(self, owner):
        return tuple(f for f in super().embedded(owner) if f.role == "id")


def test_a_model_may_read_fewer_columns_than_there_are_vocabularies(
    prepared, tmp_path, monkeypatch
):
    monkeypatch.setitem(registry.MODELS, "mmoe", IdsAlone)
    options = dataclasses.replace(short_run(prepared, str(tmp_path / "run")), model="mmoe")
    assert train_small(options)["rows"] > 0
    model = checkpoints.load_model(options.model_dir).model
    assert isinstance(model, IdsAlone)
    assert {lookup.name for lookup in model.lookups} == {"user_id", "item_id"}

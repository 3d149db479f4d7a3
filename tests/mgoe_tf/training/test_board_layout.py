"""What TensorBoard is told to show first, against what a run writes."""

import pathlib
import re

import pytest
import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from mgoe_tf.training.board_layout import layout
from mgoe_tf.training.summaries import concentration
from tests.mgoe_tf.conftest import train_small
from tests.mgoe_tf.training.curves import scalars


def summaries(model_dir: str, part: str):
    for path in pathlib.Path(model_dir, "events", part).glob("events.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                yield event.step, value


@pytest.mark.parametrize("model", ["macgnn", "mgoe", "mome", "ple"])
def test_every_chart_has_curves_and_no_curve_of_quality_is_left_out(model, train_options) -> None:
    options = train_options(model=model, epochs=2)
    train_small(options)
    parts = ("train", "validation")
    tags = {tag for part in parts for tag in scalars(options.model_dir, part)}
    (written,) = (
        layout_pb2.Layout.FromString(tf.make_ndarray(value.tensor).item())
        for step, value in summaries(options.model_dir, "train")
        if value.metadata.plugin_data.plugin_name == "custom_scalars"
    )
    shown = {}
    for category in written.category:
        for chart in category.chart:
            found = {tag for tag in tags for one in chart.multiline.tag if re.match(one, tag)}
            # every user and item of the small log is in the graph
            assert found or chart.title in ("AUC, cold item", "AUC, cold user"), chart.title
            shown[chart.title] = found
    assert shown["AUC of all tasks"] == {"auc/click", "auc/buy"}
    if model == "mgoe":
        experts = ("shared_0", "shared_1", "own_0")
        assert shown["gates of buy"] == {f"gates/buy/{expert}" for expert in experts}
        assert shown["theta, what is passed on by the task before"] == {"theta/buy"}
    left = tags - set().union(*shown.values())
    kinds = {tag.split("/")[0].partition("_")[0] for tag in left}
    assert kinds <= {"logloss", "auprc", "average", "input"}
    assert [category.closed for category in written.category] == [False, *[True] * 4]


def test_what_a_model_does_not_have_has_no_chart() -> None:
    def titles(*arguments):
        return {chart.title for part in layout(*arguments).category for chart in part.chart}

    plain = titles(("click", "buy"))
    inner = ("own_gates/click", "own_gates/buy", "own_gates_entropy/buy", "open_masks", "kappa/buy")
    assert titles(("click", "buy"), inner, ("closed",)) - plain == {
        "own gates of click",
        "own gates of buy",
        "evenness of gates (1: even, 0: one expert alone)",
        "open masks",
        "kappa, the weight of the adjustment",
        "penalties beside the losses",
    }
    assert "What it goes by" not in {part.title for part in layout(("click",)).category}


def test_the_options_are_hyperparameters_of_the_validation_curves(train_options) -> None:
    options = train_options(learning_rate=0.004)
    train_small(options)
    found = [
        plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for _, value in summaries(options.model_dir, "validation")
        if value.metadata.plugin_data.plugin_name == "hparams"
    ]
    (values,) = (
        one.session_start_info.hparams for one in found if one.HasField("session_start_info")
    )
    assert values["learning_rate"].number_value == 0.004
    assert values["tower_units"].string_value == "(4,)"
    assert "model_dir" not in values
    (experiment,) = (one.experiment for one in found if one.HasField("experiment"))
    metrics = {info.name.tag for info in experiment.metric_infos}
    assert metrics == {"average/auc", "average/logloss", "auc/click", "auc/buy"}
    assert metrics <= set(scalars(options.model_dir, "validation"))


def test_concentration_is_one_of_a_single_node_and_zero_of_equal_ones() -> None:
    assert float(concentration(tf.constant([0.25] * 4))) < 1e-6
    assert float(concentration(tf.constant([0.0, 1.0, 0.0]))) == 1.0
    # 1 - log 2 / log 4
    assert abs(float(concentration(tf.constant([0.5, 0.5, 0.0, 0.0]))) - 0.5) < 1e-6

import dataclasses

import pytest

from mgoe_tf.models.baselines.esmm import ESMMOptions
from mgoe_tf.models.baselines.mmoceg import MMoCEGOptions
from mgoe_tf.models.baselines.mmoe import MMoEOptions
from mgoe_tf.models.baselines.pepnet import PEPNetOptions
from mgoe_tf.models.baselines.ple import PLEOptions
from mgoe_tf.models.baselines.pogcn import POGCNOptions
from mgoe_tf.models.mgoe import MGOEOptions
from mgoe_tf.models.options import ModelOptions, from_json


@pytest.mark.parametrize(
    ("options_class", "values", "message"),
    [
        (ModelOptions, {"embedding_dim": 0}, "--embedding_dim: must be at least 1, got 0"),
        (ModelOptions, {"tower_units": (4, 0)}, r"--tower_units: must be at least 1, got \[4, 0\]"),
        (ModelOptions, {"dropout": 1.0}, r"--dropout: must be in \[0, 1\), got 1.0"),
        (MMoEOptions, {"embedding_dim": 0}, "--embedding_dim: must be at least 1, got 0"),
        (MMoEOptions, {"num_experts": 0}, "--num_experts: must be at least 1, got 0"),
        (MMoEOptions, {"expert_units": (0,)}, r"--expert_units: must be at least 1, got \[0\]"),
        (ESMMOptions, {"task_parents": ("last",)}, "--task_parents: must be first, .*, got last"),
        (ESMMOptions, {"task_parents": ("first", "a:b")}, "--task_parents: .*, got first,a:b"),
        (ESMMOptions, {"task_parents": ("a:b", "a:c")}, "--task_parents: .*, got a:b,a:c"),
        (PEPNetOptions, {"tower_units": ()}, r"--tower_units: must be one width .*, got \[\]"),
        (PEPNetOptions, {"gate_units": -1}, "--gate_units: must be at least 0, got -1"),
        (PEPNetOptions, {"gate_scale": 0.0}, "--gate_scale: must be above 0, got 0.0"),
        (POGCNOptions, {"rank_classes": "x"}, "--rank_classes: must be one of all_levels, .* 'x'"),
        (MMoCEGOptions, {"gate_domain": "x"}, "--gate_domain: must be one of logit, prob, got 'x'"),
        (PLEOptions, {"gate_temperature": 0.0}, "--gate_temperature: must be above 0, got 0.0"),
        (PLEOptions, {"num_levels": 0}, "--num_levels: must be at least 1, got 0"),
        (PLEOptions, {"expert_units": (0,)}, r"--expert_units: must be at least 1, got \[0\]"),
        (PLEOptions, {"num_shared_experts": -1}, "--num_shared_experts: must be at least 0, got"),
        (
            PLEOptions,
            {"num_task_experts": 0, "num_shared_experts": 0},
            r"--num_shared_experts \+ --num_task_experts: must be at least 1, got 0",
        ),
        (MGOEOptions, {"dropout": -0.1}, r"--dropout: must be in \[0, 1\), got -0.1"),
        (MGOEOptions, {"head_units": 0}, "--head_units: must be at least 1, got 0"),
        (MGOEOptions, {"fusion_units": (0,)}, r"--fusion_units: must be at least 1, got \[0\]"),
        (MGOEOptions, {"size": "tiny"}, "--size: must be one of small, base, large, got 'tiny'"),
        (MGOEOptions, {"temperature": 0.0}, "--temperature: must be above 0, got 0.0"),
        (MGOEOptions, {"num_task_experts": -1}, "--num_task_experts: must be at least 0, got -1"),
        (
            MGOEOptions,
            {"num_task_experts": 0, "num_shared_experts": 0},
            r"--num_shared_experts \+ --num_task_experts: must be at least 1, got 0",
        ),
    ],
)
def test_values_out_of_range_are_refused(options_class, values, message):
    with pytest.raises(ValueError, match=message):
        options_class(**values)


def test_no_hidden_layer_is_allowed():
    assert MMoEOptions(tower_units=()).tower_units == ()


def test_a_size_gives_what_is_not_given():
    assert MGOEOptions() == MGOEOptions(size="base", head_units=8, fusion_units=(64, 32))
    small = MGOEOptions(size="small", num_task_experts=2)
    assert (small.num_shared_experts, small.num_task_experts, small.head_units) == (0, 2, 8)
    # numbers that are the same everywhere are still those that were given
    assert MGOEOptions(size="large", head_units=8).head_units == 8
    assert MGOEOptions(size="large").head_units == 16


def test_what_a_size_gave_is_told_and_read_back():
    options = MGOEOptions(size="small", head_units=3)
    values = dataclasses.asdict(options)
    assert (values["size"], values["head_units"], values["num_shared_experts"]) == ("small", 3, 0)
    read = from_json(MGOEOptions, {**values, "fusion_units": [64, 32]}, "config.json")
    assert read == options


def test_options_round_trip_through_json():
    options = MMoEOptions(expert_units=(3, 2), dropout=0.5)
    values = {**dataclasses.asdict(options), "expert_units": [3, 2], "tower_units": [32]}
    assert from_json(MMoEOptions, values, "file") == options
    del values["dropout"]
    message = r"file: not the MMoEOptions of this version: missing \['dropout'\], unknown \['x'\]"
    with pytest.raises(ValueError, match=message):
        from_json(MMoEOptions, {**values, "x": 1}, "file")

"""Sizes for tests, by model: unequal ones, so that mixed-up axes are noticed.

A new model has its line here.
"""

import dataclasses

from mgoe_tf.models.baselines.aitm import AITMOptions
from mgoe_tf.models.baselines.esmm import ESMMOptions
from mgoe_tf.models.baselines.macgnn import MacGNNOptions
from mgoe_tf.models.baselines.mmoceg import MMoCEGOptions
from mgoe_tf.models.baselines.mmoe import MMoEOptions
from mgoe_tf.models.baselines.mogenet import MoGENetOptions
from mgoe_tf.models.baselines.mome import MoMEOptions
from mgoe_tf.models.baselines.pepnet import PEPNetOptions
from mgoe_tf.models.baselines.ple import PLEOptions
from mgoe_tf.models.baselines.pogcn import POGCNOptions
from mgoe_tf.models.baselines.stem import STEMOptions
from mgoe_tf.models.mgoe import MGOEOptions
from mgoe_tf.models.options import ModelOptions

OPTIONS: dict[str, ModelOptions] = {
    "aitm": AITMOptions(embedding_dim=3, bottom_units=(6, 5), batch_norm="all"),
    "esmm": ESMMOptions(embedding_dim=3, tower_units=(6, 4)),
    "macgnn": MacGNNOptions(embedding_dim=3, tower_units=(6, 5), temperature=0.7),
    "mgoe": MGOEOptions(
        embedding_dim=3,
        num_shared_experts=2,
        num_task_experts=1,
        head_units=4,
        fusion_units=(6, 5),
        tower_units=(4,),
        temperature=0.7,
    ),
    "mmoceg": MMoCEGOptions(
        embedding_dim=3,
        num_experts=4,
        expert_units=(6, 5),
        tower_units=(4,),
        task_graph_rank=2,
    ),
    "mmoe": MMoEOptions(embedding_dim=3, num_experts=3, expert_units=(6, 5), tower_units=(4,)),
    "mogenet": MoGENetOptions(
        embedding_dim=5, num_experts=3, expert_units=(6, 4), tower_units=(3,), num_neighbors=4
    ),
    "mome": MoMEOptions(embedding_dim=3, num_experts=4, expert_units=(6, 5), tower_units=(4,)),
    "pepnet": PEPNetOptions(embedding_dim=3, tower_units=(6, 4), gate_units=5),
    "ple": PLEOptions(
        embedding_dim=3,
        num_levels=2,
        num_shared_experts=2,
        num_task_experts=1,
        expert_units=(6, 5),
        tower_units=(4,),
    ),
    "pogcn": POGCNOptions(embedding_dim=3, graph_layers=2, tower_units=(6, 5)),
    "stem": STEMOptions(
        embedding_dim=3,
        num_layers=2,
        num_shared_experts=2,
        num_task_experts=1,
        expert_units=(6, 5),
        gate_units=(4,),
        tower_units=(4,),
    ),
}

# With these a step draws no random numbers and depends on each row alone, so that replicas together
# take the step of one device, and XLA that of TensorFlow. Otherwise they do not, in principle: a
# penalty may be of what the rows of a replica are together, replicas draw numbers of their own, and
# XLA draws others of the same seed.
BY_ROW: dict[str, ModelOptions] = {
    **OPTIONS,
    "mmoceg": dataclasses.replace(OPTIONS["mmoceg"], balance_weight=0.0, contrastive_weight=0.0),
    "mome": dataclasses.replace(OPTIONS["mome"], mask_deviation=1e-6),
}

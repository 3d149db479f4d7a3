"""Sizes for tests, by model: unequal ones, so that mixed-up axes are noticed.

A new model has its line here.
"""

from mgoe_tf.models.baselines.aitm import AITMOptions
from mgoe_tf.models.baselines.macgnn import MacGNNOptions
from mgoe_tf.models.baselines.mmoe import MMoEOptions
from mgoe_tf.models.baselines.stem import STEMOptions
from mgoe_tf.models.mgoe import MGOEOptions
from mgoe_tf.models.options import ModelOptions

OPTIONS: dict[str, ModelOptions] = {
    "aitm": AITMOptions(embedding_dim=3, bottom_units=(6, 5)),
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
    "mmoe": MMoEOptions(embedding_dim=3, num_experts=3, expert_units=(6, 5), tower_units=(4,)),
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

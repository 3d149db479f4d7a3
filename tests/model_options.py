"""Sizes for tests, by model: unequal ones, so that mixed-up axes are noticed.

A new model has its line here.
"""

from mgoe_tf.models.baselines.mmoe import MMoEOptions
from mgoe_tf.models.baselines.mogenet import MoGENetOptions
from mgoe_tf.models.baselines.pogcn import POGCNOptions
from mgoe_tf.models.mgoe import MGOEOptions
from mgoe_tf.models.options import ModelOptions

OPTIONS: dict[str, ModelOptions] = {
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
    "mogenet": MoGENetOptions(
        embedding_dim=5, num_experts=3, expert_units=(6, 4), tower_units=(3,), num_neighbors=4
    ),
    "pogcn": POGCNOptions(embedding_dim=3, graph_layers=2, tower_units=(6, 5)),
}

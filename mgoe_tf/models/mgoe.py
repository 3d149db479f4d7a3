"""MGOE, the macro graph of experts.

Long, because a model's file holds its options too, and this one's network is looked at from within
(`explain`, `diagnostics`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf

from input_pipeline.commands.options import option
from input_pipeline.feature import NODES, USER_ROW, Feature
from input_pipeline.spec import INPUT_OWNERS, DatasetSpec
from mgoe_tf.layers.cascading_towers import CascadingTowers
from mgoe_tf.layers.id_embeddings import Bags
from mgoe_tf.layers.id_lookup import IdLookup, side_feature_of
from mgoe_tf.layers.macro_graph_bottom import MacroGraphBottom
from mgoe_tf.layers.macro_match import MacroMatch
from mgoe_tf.layers.macro_micro_fusion import MacroMicroFusion
from mgoe_tf.layers.neighbor_bags import NeighborBags
from mgoe_tf.layers.neighbor_sets import NEIGHBOR_SETS
from mgoe_tf.layers.prediction_towers import PredictionTowers
from mgoe_tf.layers.task_adjustment import TaskAdjustment
from mgoe_tf.layers.user_rows import by_row
from mgoe_tf.models.base import Features, Lookup, RankingModel, vocabulary_of
from mgoe_tf.models.mgoe_node_network import MGOENodeNetwork
from mgoe_tf.models.mgoe_sizes import SIZES, told
from mgoe_tf.models.micro_neighbors import neighbor_lists, neighbor_weights
from mgoe_tf.models.node_network import NodeNetwork
from mgoe_tf.models.options import GatedOptions, require


def _of_neighbors(owner: str, column: str) -> str:
    """Name of the lookup of a column of the neighbours of users, or of items."""
    return f"{owner}_neighbors/{column}"


@dataclasses.dataclass(frozen=True)
class MGOEOptions(GatedOptions):
    """Sizes and readings of MGOE. Symbols are those of the paper.

    Numbers that are not given (None) become those of `size`, and are told so from then on.
    """

    temperature: float = option(
        1.0, "tau of the macro weights softmax(log(1 + w) / tau) (Eq. 14): lower is sharper."
    )
    size: str = option(
        "base",
        "Sizes of what is not given by itself: n_s, n_t, h and the layers of a fusion expert. "
        + "; ".join(f"{name}: {told(sizes)}" for name, sizes in SIZES.items())
        + ".",
        tuple(SIZES),
    )
    num_shared_experts: int = option(
        None,
        "n_s, experts shared by all tasks, in the bottom and in the fusion. Default: of --size.",
    )
    num_task_experts: int = option(
        None, "n_t, experts of each task, in the bottom and in the fusion. Default: of --size."
    )
    head_units: int = option(
        None, "h, the width of a macro graph expert's head. Default: of --size."
    )
    fusion_units: tuple[int, ...] = option(
        None, "Layers of a fusion expert (Eq. 2). Default: of --size."
    )
    attention_query: str = option(
        "target",
        "Query of the macro attention (Eq. 16). target: the target node of the kind of the set's "
        "macro nodes. owner: the node whose neighbours they are.",
        ("target", "owner"),
    )
    neighbor_weights: str = option(
        "score",
        "Weights of micro neighbours. score: s_vj / sum s_vj. one: 1 each.",
        ("score", "one"),
    )
    neighbor_features: bool = option(
        True,
        "Micro neighbours bring the embeddings of their side features beside those of their ids.",
    )
    interactions: bool = option(
        True,
        "Fusion also reads the products of user and item, of the item and the user's neighbours, "
        "and of the user and the item's neighbours.",
    )
    macro_match: bool = option(
        True,
        "With --interactions, fusion also reads how well the macro edges of user and item match, "
        "and how many there are.",
    )
    micro_neighbors: bool = option(
        True, "Fusion reads the micro neighbours of user and item, n^t_u and n^t_i (Eq. 18)."
    )
    macro_graph: bool = option(
        True,
        "The model reads the macro graph. --nomacro_graph takes away the bottom (Eq. 11 to 17), "
        "the macro match and the adjustment, which all come from it.",
    )
    cascade: bool = option(True, "Feed each tower the logit of the task before it (Eq. 21).")
    adjustment: bool = option(
        True, "Adjust logits by the user's row of the macro task lookup table (Eq. 22)."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in dataclasses.asdict(SIZES[self.size]).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)  # as frozen dataclasses are completed
        require(self, "at least 1", ("head_units", "fusion_units"), lambda value: value >= 1)
        experts = ("num_shared_experts", "num_task_experts")
        require(self, "at least 0", experts, lambda value: value >= 0)
        if self.num_shared_experts + self.num_task_experts < 1:
            raise ValueError("--num_shared_experts + --num_task_experts: must be at least 1, got 0")
        require(self, "above 0", ("temperature",), lambda value: value > 0)


class MGOE(RankingModel):
    """Macro graph bottom, fusion with micro neighbours, cascading towers, adjustment.

    Every stage is injected; what is not given is made from `options`. The ablations are
    `MGOEOptions(cascade=False)` (each tower gets o_t alone), `MGOEOptions(adjustment=False)`,
    `MGOEOptions(micro_neighbors=False)` (fusion without n^t_u and n^t_i) and
    `MGOEOptions(macro_graph=False)` (fusion without h_t, and nothing else of the macro graph); the
    one without preferences is a matter of the data set.

    Args:
      spec, options, assets: see `RankingModel`.
      neighbor_bags: weights of micro neighbours (Eq. 18).
      bottom: from targets and edges to h_t (Eq. 11-17).
      fusion: from targets, h_t and neighbours to o_t (Eq. 19, 20).
      towers: from o_t to logits (Eq. 21).
      adjustment: from logits, lookup table and macro id to logits (Eq. 22).
    """

    options_class = MGOEOptions
    options: MGOEOptions

    def __init__(
        self,
        *,
        spec: DatasetSpec,
        options: MGOEOptions | None = None,
        neighbor_bags: tf.keras.layers.Layer | None = None,
        bottom: tf.keras.layers.Layer | None = None,
        fusion: tf.keras.layers.Layer | None = None,
        towers: tf.keras.layers.Layer | None = None,
        adjustment: tf.keras.layers.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(spec=spec, options=options, **kwargs)
        options = self.options
        num_tasks = len(spec.tasks)
        experts = {
            "num_tasks": num_tasks,
            "num_shared": options.num_shared_experts,
            "num_task_experts": options.num_task_experts,
        }
        if neighbor_bags is None and options.micro_neighbors:
            neighbor_bags = NeighborBags(
                neighbor_weights=options.neighbor_weights, name="neighbor_bags"
            )
        self.neighbor_bags: Any = neighbor_bags
        if bottom is None and options.macro_graph:
            bottom = MacroGraphBottom(
                **experts,
                num_macro_nodes={
                    "user": spec.num_user_macro_nodes,
                    "item": spec.num_item_macro_nodes,
                },
                dim=options.embedding_dim,
                units=options.head_units,
                temperature=options.temperature,
                attention_query=options.attention_query,
                gate_temperature=options.gate_temperature,
                name="bottom",
            )
        self.bottom: Any = bottom
        self.explains = bottom is not None
        self.fusion = fusion or MacroMicroFusion(
            **experts,
            units=options.fusion_units,
            dropout=options.dropout,
            interactions=options.interactions,
            gate_temperature=options.gate_temperature,
            name="fusion",
        )
        self.macro_match: tf.keras.layers.Layer | None = None
        if options.macro_graph and options.interactions and options.macro_match:
            self.macro_match = MacroMatch(temperature=options.temperature, name="macro_match")
        tower_class = CascadingTowers if options.cascade else PredictionTowers
        self.towers = towers or tower_class(
            num_tasks=num_tasks, units=options.tower_units, dropout=options.dropout, name="towers"
        )
        if adjustment is None and options.macro_graph and options.adjustment:
            adjustment = TaskAdjustment(num_tasks=num_tasks, name="adjustment")
        self.adjustment = adjustment

    @property
    def feature_names(self) -> tuple[str, ...]:
        names = list(super().feature_names)
        if self.bottom is not None:
            names += NEIGHBOR_SETS
        if self.adjustment is not None:
            names += [self._task_table.name, self._item_macro.name]
        for owner in self._owners_of_neighbors:
            names += [feature.name for feature in neighbor_lists(self.spec, owner)]
            names += [feature.name for feature in neighbor_weights(self.spec, owner)]
        return tuple(names)

    @property
    def _owners_of_neighbors(self) -> tuple[str, ...]:
        return NODES if self.options.micro_neighbors else ()

    @property
    def _task_table(self) -> Feature:
        return self.spec.select("user", "task_table")[0]

    @property
    def _item_macro(self) -> Feature:
        return self.spec.select("item", "macro_id")[0]

    @property
    def unpenalized_weights(self) -> tuple[tf.Variable, ...]:
        """W_Q and W_K of the macro attention.

        Their gradients are small beside those of an L2 penalty, and Adam takes a step of full
        length wherever the small ones point: they shrank to 0, where each has no gradient because
        of the other, and the attention stayed uniform for good.
        """
        return () if self.bottom is None else self.bottom.experts.score_kernels

    @property
    def last_shared_weights(self) -> tuple[tf.Variable, ...]:
        """The last layer of the fusion's experts, of which some are shared."""
        return (self.fusion.experts.kernels[-1],)

    @property
    def expert_names(self) -> tuple[str, ...]:
        options = self.options
        shared = (f"shared_{number}" for number in range(options.num_shared_experts))
        own = (f"own_{number}" for number in range(options.num_task_experts))
        return (*shared, *own)

    def macro_embeddings(self) -> dict[str, tf.Tensor]:
        if self.bottom is None:
            return {}
        return {owner: tf.cast(table, tf.float32) for owner, table in self.bottom.tables().items()}

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        neighbors = (
            Lookup(
                _of_neighbors(owner, column), vocabulary_of(self.spec.feature(column)), owner, True
            )
            for owner in self._owners_of_neighbors
            for column in self.neighbor_columns(owner)
        )
        return (*super().lookups, *neighbors)

    def bags(
        self,
        features: Features,
        lookup: IdLookup | None = None,
        owners: Collection[str] = INPUT_OWNERS,
    ) -> dict[str, Bags]:
        found = super().bags(features, lookup, owners)
        for owner in (owner for owner in self._owners_of_neighbors if owner in owners):
            table, *side = self.neighbor_columns(owner)
            names = [feature.name for feature in neighbor_lists(self.spec, owner)]
            neighbors = {table: tf.stack([features[name] for name in names])}
            if lookup is None:
                for column in side:
                    encoded = [features[side_feature_of(name, column)] for name in names]
                    neighbors[column] = tf.stack(encoded)
            scores = tf.stack([features[f.name] for f in neighbor_weights(self.spec, owner)])
            bags = self.neighbor_bags(neighbors, scores)
            if lookup is not None:
                own = bags[table]._replace(ids=lookup.rows(table, bags[table].ids))
                bags = {table: own} | {
                    column: own._replace(ids=lookup.side_feature(column, own.ids))
                    for column in side
                }
            found |= {_of_neighbors(owner, column): bag for column, bag in bags.items()}
        return found

    def neighbor_columns(self, owner: str) -> tuple[str, ...]:
        """What e_j of the neighbours of a `user` or an `item` is made of: id, side features."""
        other = {"user": "item", "item": "user"}[owner]
        side = self.spec.side_columns(other) if self.options.neighbor_features else ()
        return (self.spec.select(other, "id")[0].name, *side)

    def network_inputs(self, features: Features, sums: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        rows = {"user_row": features[USER_ROW]} if USER_ROW in features else {}
        user_row = rows.get("user_row")
        # nodes: x_u [R, D_u], x_i [B, D_i] and, where there is one, x_c [B, D_c]
        nodes = super().network_inputs({k: v for k, v in features.items() if k != USER_ROW}, sums)
        # neighbors: [T, R, D_i] of the user, [T, B, D_u] of the item
        neighbors = {owner: self.near(owner, sums) for owner in self._owners_of_neighbors}
        if neighbors:
            neighbors["user"] = by_row(neighbors["user"], user_row, axis=1)
        inputs = {
            "targets": {**nodes, "user": by_row(nodes["user"], user_row)},
            "neighbors": neighbors,
        }
        if self.bottom is not None:
            inputs["bottom"] = {
                "targets": nodes,
                "edges": {name: features[name] for name in NEIGHBOR_SETS},
                **rows,
            }
        if self.macro_match is not None:
            inputs["match"] = self.macro_match(inputs["bottom"]["edges"], user_row)
        if self.adjustment is not None:
            inputs["adjustment"] = {
                "task_table": by_row(features[self._task_table.name], user_row),
                "item_macro": features[self._item_macro.name],
            }
        return inputs

    def near(self, owner: str, sums: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """n^t of users, or of items, [T, V, D]."""
        shape = [len(self.spec.tasks), -1, self.options.embedding_dim]
        columns = self.neighbor_columns(owner)
        return tf.concat([tf.reshape(sums[_of_neighbors(owner, c)], shape) for c in columns], -1)

    def near_width(self, owner: str) -> int:
        """The width of `near`; 0 without micro neighbours."""
        columns = self.neighbor_columns(owner) if owner in self._owners_of_neighbors else ()
        return len(columns) * self.options.embedding_dim

    def adjustment_feature(self, owner: str) -> str:
        """What the adjustment reads of users, or of items."""
        return {"user": self._task_table, "item": self._item_macro}[owner].name

    def node_network(self) -> NodeNetwork | None:
        stages = (
            (self.bottom, MacroGraphBottom),
            (self.fusion, MacroMicroFusion),
            (self.towers, PredictionTowers),
            (self.towers, CascadingTowers),
            (self.adjustment, TaskAdjustment),
        )
        # Of a stage that was injected nobody knows which part is a node's.
        own = {type(stage) for stage, _ in stages} <= {of for _, of in stages} | {type(None)}
        has_sizes = self.adjustment is None or self.bottom is not None
        return MGOENodeNetwork(self) if own and has_sizes else None

    def network(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        fused = self.fusion(*self._of_fusion(inputs), training=training)
        logits = self.towers(fused, training=training)
        if self.adjustment is not None:
            logits = self.adjustment(logits, **inputs["adjustment"])
        return self.by_task(logits)

    def _of_fusion(self, inputs: Mapping[str, Any]) -> tuple[Any, ...]:
        """The arguments of the fusion; None for h_t where there is no bottom."""
        bottom = None if self.bottom is None else self.bottom(**inputs["bottom"])
        return inputs["targets"], bottom, inputs["neighbors"], inputs.get("match")

    def explain(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """What the network attends to, row by row.

        Args:
          inputs: from `embed`.

        Returns:
          By task and neighbour set, float32 [B, K]: `alpha_<set>`, the macro weights (Eq. 14);
          `attention_<task>_<set>` (Eq. 16), the mean over the experts weighted by g_t (Eq. 12);
          `weight_<task>_<set>`, their product. `adjustment_<task>`, float32 [B]: kappa_t a_t
          (Eq. 22), where the model adjusts.
        """
        if self.bottom is None:
            return super().explain(inputs)
        explained = self.bottom.explain(**inputs["bottom"])
        found = {f"alpha_{name}": alpha for name, alpha in explained["alpha"].items()}
        for name, attention in explained["attention"].items():
            for task, of_task in zip(self.spec.task_names, tf.unstack(attention), strict=True):
                found[f"attention_{task}_{name}"] = of_task
                found[f"weight_{task}_{name}"] = explained["alpha"][name] * of_task
        if self.adjustment is not None:
            terms = self.adjustment.terms(**inputs["adjustment"])
            for task, term in zip(self.spec.task_names, tf.unstack(terms), strict=True):
                found[f"adjustment_{task}"] = term
        return found

    def diagnostics(self, features: Features) -> dict[str, tf.Tensor]:
        """Means over a batch.

        Returns:
          What `describe_gates` says of `gates`, those of the bottom, and of `fusion_gates`;
          `alpha/<set>` [K], `attention/<task>/<set>` [K] (mean over experts weighted by their
          gates), and the scalars `theta/<task>` and `kappa/<task>` where the stages have them.
        """
        inputs = self.embed(features)
        fusion_gates = self.fusion.gates(self.fusion.inputs(*self._of_fusion(inputs)))
        found = {} if self.bottom is None else self._bottom_diagnostics(inputs)
        found |= self.describe_gates("fusion_gates", fusion_gates)
        if self.adjustment is not None:
            for index, task in enumerate(self.spec.task_names):
                found[f"kappa/{task}"] = self.adjustment.kappa[index]
        for index, theta in self.towers.cascade_factors().items():
            found[f"theta/{self.spec.task_names[index]}"] = theta
        return found

    def _bottom_diagnostics(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        explained = self.bottom.explain(**inputs["bottom"])
        found = {f"alpha/{s}": tf.reduce_mean(a, axis=0) for s, a in explained["alpha"].items()}
        found |= self.describe_gates("gates", explained["gates"])
        for index, task in enumerate(self.spec.task_names):
            for name, attention in explained["attention"].items():
                found[f"attention/{task}/{name}"] = tf.reduce_mean(attention[index], axis=0)
        return found

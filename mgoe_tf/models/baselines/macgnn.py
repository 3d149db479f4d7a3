"""MacGNN, the macro graph network.

A little long: a model's file holds its options too, and this one explains itself row by row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf

from input_pipeline.commands.options import option
from input_pipeline.feature import NODES, USER_ROW
from input_pipeline.spec import INPUT_OWNERS, DatasetSpec
from mgoe_tf.layers import neighbor_sets
from mgoe_tf.layers.dice_towers import DiceTowers
from mgoe_tf.layers.id_embeddings import Bags
from mgoe_tf.layers.id_lookup import IdLookup
from mgoe_tf.layers.macro_embeddings import MacroEmbeddings
from mgoe_tf.layers.macro_weights import MacroWeights
from mgoe_tf.layers.neighbor_aggregator import ATTENTIONS, NeighborAggregator
from mgoe_tf.layers.neighbor_bags import NeighborBags
from mgoe_tf.layers.neighbor_sets import NEIGHBOR_SETS, OWNERS
from mgoe_tf.layers.user_rows import by_row
from mgoe_tf.models.base import Features, Lookup, RankingModel
from mgoe_tf.models.micro_neighbors import neighbor_lists, neighbor_weights
from mgoe_tf.models.options import ModelOptions, require

# Whose ids the neighbours of a node are.
_OTHER = {"user": "item", "item": "user"}
_ABSENT = -1e9  # a level that no softmax gives weight, where there is any other


@dataclasses.dataclass(frozen=True)
class MacGNNOptions(ModelOptions):
    """Sizes and readings of MacGNN."""

    tower_units: tuple[int, ...] = option(
        (200, 80), "Hidden layers of each task's tower, activated by Dice; those of the paper."
    )
    temperature: float = option(
        1.0,
        "tau of the macro weights softmax(log(1 + n) / tau): lower is sharper. The paper's, by "
        "data set: 1.9, 0.6, 0.7.",
    )
    attention: str = option(
        "macro",
        "Attention of a target to neighbours. macro: softmax over the neighbours, as the paper has "
        "it. constant: 1 each, which the authors' code comes to, whose softmax is over the single "
        "target.",
        ATTENTIONS,
    )
    dice_batch_statistics: bool = option(
        False,
        "Dice normalises by the batch in evaluation and serving too, as the authors' code does: an "
        "answer then depends on the rows beside it, and that of a single row is NaN.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "above 0", ("temperature",), lambda value: value > 0)
        if not self.tower_units:
            raise ValueError("--tower_units: must be one width or more, got []")


class MacGNN(RankingModel):
    """s_t = Tower_t([x_u ; p_u1 ; p_u2 ; p_uN ; x_i ; p_i1 ; p_i2 ; p_iN ; x_c]).

        p_s = sum_m w_m a_m z_m V / sum_m w_m a_m    of a set of macro nodes
        w   = softmax_m(log(n_m + 1) / tau),  a = softmax_m(<z_m Q, e K> / sqrt(2 d))
        p_N = sum_j a_j e_j V                        of the micro neighbours of a node

    Source: Chen et al., WWW 2024. V, Q and K, d -> 2d without bias, are shared by all parts whose
    neighbours are users, and others by all whose neighbours are items; the target e is the embedded
    id of the row's user or item of the same kind. Body and macro nodes' embeddings are shared by
    the tasks; each has its tower 200-80-1, activated by `Dice`. Micro neighbours are those of all
    tasks together, up to T times the data set's `max_neighbors`; one that several tasks list counts
    for each.

    Deviations, and what comes closest to the original:
      Products w a sum to far less than 1, and are brought back to it. `--attention=constant` is the
      authors' code: w as it is, and the plain sum of micro neighbours.
      n are this project's macro edges, which weigh a pair by preference. The original's count: they
      are counts in a data set of one task, and near to counts, up to a factor, where it was
      prepared with a very low `--beta`; `--nopreference` changes the groups alone.
      Every row reads all embeddings and numbers of user, item and context, as all models here; with
      ids alone the towers read the original's 14 d numbers. No macro node stands for padding.
      Dice uses moving statistics in evaluation, unless `--dice_batch_statistics`.

    One body a task, as separate models have it, is a run for each with `--task_weights` that are 0
    for the others. With `macro` attention an export's graph holds each neighbour's embedding: T
    max_neighbors d numbers a node, against d with `constant`. Published: d 10, 20 neighbours, batch
    1024, learning rate 0.01 or 0.005, L2 1e-5 to 5e-5. Args, input and output as `RankingModel`.
    """

    options_class = MacGNNOptions
    options: MacGNNOptions
    explains = True

    def __init__(
        self, *, spec: DatasetSpec, options: MacGNNOptions | None = None, **kwargs: Any
    ) -> None:
        super().__init__(spec=spec, options=options, **kwargs)
        options = self.options
        dim = options.embedding_dim
        self.neighbor_bags = NeighborBags(neighbor_weights="one", name="neighbor_bags")
        self.macro_weights = MacroWeights(temperature=options.temperature, name="macro_weights")
        self.macro_nodes = MacroEmbeddings(
            num_tasks=1,
            num_macro_nodes={"user": spec.num_user_macro_nodes, "item": spec.num_item_macro_nodes},
            dim=dim,
            name="macro_nodes",
        )
        self.aggregators = {
            kind: NeighborAggregator(
                units=2 * dim, attention=options.attention, name=f"{kind}_aggregator"
            )
            for kind in NODES
        }
        self.towers = DiceTowers(
            num_tasks=len(spec.tasks),
            units=options.tower_units,
            dropout=options.dropout,
            batch_statistics=options.dice_batch_statistics,
            name="towers",
        )

    @property
    def _by_entry(self) -> bool:
        """Whether neighbours are looked up one by one, and not summed."""
        return self.options.attention != "constant"

    @property
    def _entries(self) -> int:
        return len(self.spec.tasks) * self.spec.max_neighbors

    @property
    def feature_names(self) -> tuple[str, ...]:
        names = [*super().feature_names, *NEIGHBOR_SETS]
        for owner in NODES:
            names += [feature.name for feature in neighbor_lists(self.spec, owner)]
            names += [feature.name for feature in neighbor_weights(self.spec, owner)]
        return tuple(names)

    @property
    def unpenalized_weights(self) -> tuple[tf.Variable, ...]:
        """Q and K: each has no gradient where the other is 0."""
        return tuple(w for one in self.aggregators.values() for w in one.score_kernels)

    @property
    def last_shared_weights(self) -> tuple[tf.Variable, ...]:
        return tuple(aggregator.value for aggregator in self.aggregators.values())

    def macro_embeddings(self) -> dict[str, tf.Tensor]:
        """Those of all tasks are the same."""
        tables = self.macro_nodes(None)
        return {kind: tf.repeat(tables[kind], len(self.spec.tasks), axis=0) for kind in NODES}

    def _id_name(self, owner: str) -> str:
        return self.spec.select(owner, "id")[0].name

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        entries = self._entries if self._by_entry else 1
        neighbors = (
            Lookup(f"{owner}_neighbors", self._id_name(_OTHER[owner]), owner, entries=entries)
            for owner in NODES
        )
        return (*super().lookups, *neighbors)

    def bags(
        self,
        features: Features,
        lookup: IdLookup | None = None,
        owners: Collection[str] = INPUT_OWNERS,
    ) -> dict[str, Bags]:
        found = super().bags(features, lookup, owners)
        for owner in (owner for owner in NODES if owner in owners):
            table = self._id_name(_OTHER[owner])
            # ids, scores: [B, T L]
            ids = tf.concat([features[f.name] for f in neighbor_lists(self.spec, owner)], axis=1)
            scores = tf.concat(
                [features[f.name] for f in neighbor_weights(self.spec, owner)], axis=1
            )
            if self._by_entry:
                # A list for each entry: [T L, B, 1]
                ids, scores = (tf.transpose(x)[..., tf.newaxis] for x in (ids, scores))
            bags = self.neighbor_bags({table: ids}, scores)[table]
            if lookup is not None:
                bags = bags._replace(ids=lookup.rows(table, bags.ids))
            found[f"{owner}_neighbors"] = bags
        return found

    def network_inputs(self, features: Features, sums: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        """x of all owners by row, and of users [R, ...], of items [B, ...]: e, n, neighbours."""
        neighbors = {owner: sums[f"{owner}_neighbors"] for owner in NODES}
        if self._by_entry:
            # [T L B, d] to [B, T L, d]
            shape = [self._entries, -1, self.options.embedding_dim]
            neighbors = {
                owner: tf.transpose(tf.reshape(value, shape), [1, 0, 2])
                for owner, value in neighbors.items()
            }
        inputs = {
            "rows": super().network_inputs(features, sums),
            "targets": {owner: sums[self._id_name(owner)] for owner in NODES},
            "edges": {name: features[name] for name in NEIGHBOR_SETS},
            "neighbors": neighbors,
        }
        if USER_ROW in features:
            inputs["user_row"] = features[USER_ROW]
        return inputs

    def _laid_out(self, inputs: Mapping[str, Any], owner: str, values: tf.Tensor) -> tf.Tensor:
        """What is known of users, or of items, by row."""
        return by_row(values, inputs.get("user_row") if owner == "user" else None)

    def _macro_inputs(
        self, inputs: Mapping[str, Any], name: str
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, bool]:
        """Macro nodes [K, d], levels [B, K] and targets [B, d] of a set; whether these are by row.

        They are not where the target is the owner: what a user's own two-hop neighbours say to the
        user is the same in all of its rows.
        """
        owner, kind = OWNERS[name], neighbor_sets.NODES[name]
        nodes = self.macro_nodes(None)[kind][0]
        levels, targets = self.macro_weights.levels(inputs["edges"][name]), inputs["targets"][kind]
        if owner == kind:
            return nodes, levels, targets, False
        levels, targets = (
            self._laid_out(inputs, whose, values)
            for whose, values in ((owner, levels), (kind, targets))
        )
        return nodes, levels, targets, True

    def _macro_part(self, inputs: Mapping[str, Any], name: str) -> tf.Tensor:
        """p of a set of macro nodes: [B, 2 d]."""
        *arguments, is_by_row = self._macro_inputs(inputs, name)
        part = self.aggregators[neighbor_sets.NODES[name]](*arguments)
        return part if is_by_row else self._laid_out(inputs, OWNERS[name], part)

    def _micro_part(self, inputs: Mapping[str, Any], owner: str) -> tf.Tensor:
        """p of the micro neighbours of users or items: [B, 2 d]."""
        kind = _OTHER[owner]
        aggregator, neighbors = self.aggregators[kind], inputs["neighbors"][owner]
        if not self._by_entry:
            return self._laid_out(inputs, owner, aggregator.project(neighbors))
        # The embedding of an absent neighbour is exactly 0.
        levels = tf.where(tf.reduce_max(tf.abs(neighbors), axis=-1) > 0.0, 0.0, _ABSENT)
        return aggregator(
            self._laid_out(inputs, owner, neighbors),
            self._laid_out(inputs, owner, levels),
            self._laid_out(inputs, kind, inputs["targets"][kind]),
        )

    def network(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        parts = {owner: [x] for owner, x in inputs["rows"].items()}
        for name in NEIGHBOR_SETS:
            parts[OWNERS[name]].append(self._macro_part(inputs, name))
        for owner in NODES:
            parts[owner].append(self._micro_part(inputs, owner))
        body = [tf.cast(part, tf.float32) for of_owner in parts.values() for part in of_owner]
        return self.by_task(self.towers(tf.concat(body, axis=-1), training=training))

    def _explained(self, inputs: Mapping[str, Any]) -> dict[str, dict[str, tf.Tensor]]:
        """By set: w, a and their product brought back to the sum 1, float32 [B, K] each."""
        found = {}
        for name in NEIGHBOR_SETS:
            nodes, levels, targets, is_by_row = self._macro_inputs(inputs, name)
            scores = self.aggregators[neighbor_sets.NODES[name]].scores(nodes, targets)
            weights = {"alpha": levels, "attention": scores, "weight": levels + scores}
            found[name] = {
                key: value if is_by_row else self._laid_out(inputs, OWNERS[name], value)
                for key, value in ((key, tf.nn.softmax(one)) for key, one in weights.items())
            }
        return found

    def explain(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """What the network attends to, row by row; all tasks attend to the same.

        Args:
          inputs: from `embed`.

        Returns:
          By task and neighbour set, float32 [B, K]: `alpha_<set>`, the macro weights w;
          `attention_<task>_<set>`, a, even where it is constant; `weight_<task>_<set>`, their
          product, brought back to the sum 1.
        """
        found = {}
        for name, weights in self._explained(inputs).items():
            found[f"alpha_{name}"] = weights["alpha"]
            for task in self.spec.task_names:
                found[f"attention_{task}_{name}"] = weights["attention"]
                found[f"weight_{task}_{name}"] = weights["weight"]
        return found

    def diagnostics(self, features: Features) -> dict[str, tf.Tensor]:
        """Means over a batch: `alpha/<set>` [K]; of attention that is not constant,
        `attention/<task>/<set>` [K], of all tasks the same."""
        found = {}
        for name, weights in self._explained(self.embed(features)).items():
            found[f"alpha/{name}"] = tf.reduce_mean(weights["alpha"], axis=0)
            for task in self.spec.task_names if self._by_entry else ():
                found[f"attention/{task}/{name}"] = tf.reduce_mean(weights["attention"], axis=0)
        return found

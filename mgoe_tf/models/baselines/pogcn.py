"""POGCN, graph convolution over behaviours in a partial order.

A little long: a model's file holds its options too, and this one has a loss of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy import sparse

from input_pipeline.commands.options import option
from input_pipeline.feature import NODES, USER_ROW
from input_pipeline.spec import DatasetSpec
from mgoe_tf.layers.id_embeddings import Bags
from mgoe_tf.layers.light_propagation import LightPropagation
from mgoe_tf.layers.pair_draws import PairDraws
from mgoe_tf.layers.user_rows import by_row
from mgoe_tf.models.base import Features, concatenated
from mgoe_tf.models.baselines.graph_model import Embed, GraphModel, OfNodes, graph_lookup
from mgoe_tf.models.graph_assets import CutGraph
from mgoe_tf.models.options import ModelOptions, require

CLASSES = ("all_levels", "above_lowest")


@dataclasses.dataclass(frozen=True)
class POGCNOptions(ModelOptions):
    """Sizes and readings of POGCN."""

    tower_units: tuple[int, ...] = option(
        (64, 32), "Hidden layers of each task's tower, which take the place of experts too."
    )
    graph_layers: int = option(3, "L, how often vectors are propagated.")
    rank_level: float = option(
        1.0, "Edges weigh their class's rank to this power; 0: all the same, as in LightGCN."
    )
    rank_classes: str = option(
        "all_levels",
        "Which behaviours tell the class of a pair. all_levels: all. above_lowest: those above the "
        "lowest level, as the authors' code has it, where everyone has done what is lowest.",
        CLASSES,
    )
    bpr_weight: float = option(
        0.0, "Of the ranking loss of pairs drawn from the graph beside the tasks' losses; 0: none."
    )
    bpr_sample_level: float = option(
        1.0,
        "Of that loss: pairs are drawn in proportion to their class's rank to this power; 0: all "
        "alike.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "at least 1", ("graph_layers",), lambda value: value >= 1)
        powers = ("rank_level", "bpr_weight", "bpr_sample_level")
        require(self, "at least 0", powers, lambda value: value >= 0)


def edge_weights(
    ranks: NDArray[Any], levels: Sequence[int], level: float, classes: str = "all_levels"
) -> NDArray[Any]:
    """r of pairs: the rank of their class, from 1 for the least important, to the power `level`.

    Args:
      ranks: rho(C) of each pair's behaviours, at least 1: sets are compared by how many behaviours
        of the highest level they hold, then of the next, and so on.
      levels: of the tasks.
      level: the power.
      classes: see `POGCNOptions.rank_classes`.
    """
    if classes == "above_lowest":
        # the last digit of rho counts the behaviours of the lowest level
        ranks = ranks // (1 + list(levels).count(min(levels))) + 1
    return np.asarray(ranks, np.float64) ** level


class POGCN(GraphModel):
    """s_t = Tower_t([z_u ; z_i ; z_u * z_i ; other fields]), z = mean(E^0, ..., E^L).

    E^l = A E^(l-1) over the graph of users and items, A = D^(-1/2) [[0, R], [R^T, 0]] D^(-1/2) with
    D the weighted degrees; r_ui is the rank, to the power `rank_level`, of the class of what u did
    on i in the partial order of behaviours (click < favour = cart < buy, say). A node without
    neighbours has E^0 / (L + 1).

    Source: Zhang et al., KDD 2024, and the authors' code. Published: width 64, L = 3, level 1,
    batch 2048, learning rate 1e-3, trained by BPR alone. Here the tasks' losses train it, as all
    models, and towers stand where the paper ranks by z_u . z_i; `bpr_weight` adds the mean over
    rows of softplus(z_u . z_j - z_u . z_i) for a pair (u, i) and an item j that u did nothing on,
    drawn for each row whose item is in a graph from that graph (see `PairDraws`). The authors'
    penalty of |z|^2 is left to `--l2`.

    The classes are a partition of the pairs, where the authors' code, given tasks of equal level,
    has some pairs in two classes and in others pairs that do not belong there: it takes a symmetric
    difference for an intersection, and orders such a group upside down.

    Args, input and output as `RankingModel`.
    """

    options_class = POGCNOptions
    options: POGCNOptions
    explains = True

    def __init__(
        self, *, spec: DatasetSpec, options: POGCNOptions | None = None, **kwargs: Any
    ) -> None:
        super().__init__(spec=spec, options=options, **kwargs)
        options = self.options
        self._walks = _Walks(
            self.graphs,
            [self._walk(graph) for graph in self.graphs],
            {owner: self.num_rows(owner) for owner in NODES},
        )
        self.towers = self.prediction_towers()
        if options.bpr_weight:
            self.pair_draws = PairDraws(
                graphs=[self._weighted(graph, options.bpr_sample_level) for graph in self.graphs],
                starts=self.nodes.starts,
                name="pair_draws",
            )

    def _weighted(self, graph: CutGraph, level: float) -> sparse.csr_matrix:
        """The ranks of the classes of pairs to a power."""
        ranks, levels = graph.ranks, [task.level for task in self.spec.tasks]
        weights = edge_weights(ranks.data, levels, level, self.options.rank_classes)
        return sparse.csr_matrix((weights, ranks.indices, ranks.indptr), ranks.shape)

    def _walk(self, graph: CutGraph) -> LightPropagation:
        options = self.options
        return LightPropagation(self._weighted(graph, options.rank_level), options.graph_layers)

    @property
    def penalty_names(self) -> tuple[str, ...]:
        return ("bpr",) if self.options.bpr_weight else ()

    def propagated(self, graph: int, embed: Embed) -> dict[str, tf.Tensor]:
        """(E^1 + ... + E^L) / (L + 1) of all nodes of one of `graphs`."""
        rows = self.graphs[graph].rows
        # whatever is embedded of a node without a neighbour, its edges weigh nothing
        sums = self._walks.of[graph](*(embed(owner, rows[owner]) for owner in NODES))
        layers = self.options.graph_layers + 1
        return {owner: of_owner / layers for owner, of_owner in zip(NODES, sums, strict=True)}

    def node_vectors(self, numbers: OfNodes, embed: Embed) -> dict[str, tf.Tensor]:
        """What neighbours say, of the graphs that occur; 0 of nodes without a graph."""
        total = zeros = {
            owner: tf.zeros([tf.size(numbers[owner]), self.tables[self.table_of(owner)].dim])
            for owner in NODES
        }
        for graph in range(len(self.graphs)):
            part = tf.cond(
                self.nodes.occurs(graph, numbers),
                lambda graph=graph: self._vectors_of_graph(graph, numbers, embed),
                lambda: zeros,
            )
            total = {owner: total[owner] + part[owner] for owner in NODES}
        return total

    def _vectors_of_graph(self, graph: int, numbers: OfNodes, embed: Embed) -> dict[str, tf.Tensor]:
        """The same, of one graph; 0 of the nodes of others."""
        vectors, found = self.propagated(graph, embed), {}
        for owner in NODES:
            local, inside = self.nodes.local(graph, owner, numbers[owner])
            its_own = tf.gather(vectors[owner], tf.where(inside, local, 0))
            found[owner] = tf.where(inside[:, tf.newaxis], its_own, 0.0)
        return found

    def reached_rows(self, numbers: OfNodes) -> dict[str, tf.Tensor]:
        """Of all nodes with a neighbour in the graphs that occur."""
        found = {owner: tf.zeros([self.num_rows(owner)], tf.bool) for owner in NODES}
        for graph in range(len(self.graphs)):
            occurs = self.nodes.occurs(graph, numbers)
            for owner in NODES:
                found[owner] |= occurs & self._walks.rows[graph][owner]
        return found

    def all_node_vectors(self, embed: Embed) -> dict[str, tf.Tensor]:
        found = {o: [tf.zeros([1, self.tables[self.table_of(o)].dim])] for o in NODES}
        for graph in range(len(self.graphs)):
            for owner, vectors in self.propagated(graph, embed).items():
                found[owner].append(vectors)
        return {owner: tf.concat(parts, axis=0) for owner, parts in found.items()}

    def sums(
        self, bags: Mapping[str, Bags], *, training: bool = False, served: bool = False
    ) -> dict[str, tf.Tensor]:
        """In training with `bpr_weight` also `margins`, z_u . (z_i - z_j) [B] of drawn pairs.

        And `drawn` [B], 1 where there is a pair, else 0.
        """
        if not (training and self.options.bpr_weight):
            return super().sums(bags, training=training, served=served)
        drawn = self.pair_draws(bags[graph_lookup("item")].ids)
        numbers = {
            "user": drawn.users,
            "item": tf.concat([drawn.positives, drawn.negatives], axis=0),
        }
        longer = dict(bags)
        for owner, of_owner in numbers.items():
            rows = tf.gather(tf.constant(self.nodes.rows[owner]), of_owner)
            for name, more in ((graph_lookup(owner), of_owner), (self.id_features[owner], rows)):
                longer[name] = Bags.of_single_ids(tf.concat([bags[name].ids, more], axis=0))
        # What was asked for comes first; own, neighbors: [M, D].
        sums, vectors = super().sums(longer, training=True), {}
        for owner, of_owner in numbers.items():
            parts = {}
            for name in (self.id_features[owner], graph_lookup(owner)):
                asked = tf.shape(sums[name])[0] - tf.size(of_owner)
                sums[name], parts[name] = sums[name][:asked], sums[name][asked:]
            own, neighbors = parts.values()
            vectors[owner] = own / (self.options.graph_layers + 1) + neighbors
        positives, negatives = tf.split(vectors["item"], 2)
        margins = tf.reduce_sum(vectors["user"] * (positives - negatives), axis=1)
        return sums | {"margins": margins, "drawn": tf.cast(drawn.valid, tf.float32)}

    def network_inputs(self, features: Features, sums: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        """`rows`, what the towers read; `own` and `neighbors`, which z is the sum of; `pairs`."""
        layers, user_row = self.options.graph_layers + 1, features.get(USER_ROW)
        own = {owner: sums[self.id_features[owner]] / layers for owner in NODES}
        neighbors = {owner: sums[graph_lookup(owner)] for owner in NODES}
        z = {owner: own[owner] + neighbors[owner] for owner in NODES}
        of_ids = {self.id_features[owner]: vectors for owner, vectors in z.items()}
        rows = super().network_inputs(features, {**sums, **of_ids})
        inputs = {
            "rows": {**rows, "product": by_row(z["user"], user_row) * z["item"]},
            **{
                name: {"user": by_row(part["user"], user_row), "item": part["item"]}
                for name, part in (("own", own), ("neighbors", neighbors))
            },
        }
        if "margins" in sums:
            inputs["pairs"] = {name: sums[name] for name in ("margins", "drawn")}
        return inputs

    def network(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        x = concatenated(inputs["rows"])
        return self.by_task(self.towers(x[tf.newaxis], training=training))

    def network_and_penalties(
        self, inputs: Mapping[str, Any], training: bool = False
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        logits = self.network(inputs, training=training)
        if "pairs" not in inputs:
            return logits, {}
        pairs = inputs["pairs"]
        losses = pairs["drawn"] * tf.math.softplus(-pairs["margins"])
        return logits, {"bpr": self.options.bpr_weight * tf.reduce_mean(losses)}

    def explain(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """How well user and item match, and what of it the graph says; float32 [B] each.

        Args:
          inputs: from `embed`.

        Returns:
          `affinity`, z_u . z_i, by which the paper ranks; `affinity_of_ids`, the same of what ids
          say by themselves, E^0 / (L + 1); `from_neighbors_<owner>`, in [0, 1]: n / (n + o) with
          the lengths n of what neighbours say of the user, or item, and o of what its id says.
        """
        own, neighbors = inputs["own"], inputs["neighbors"]
        z = [own[owner] + neighbors[owner] for owner in NODES]
        found = {
            "affinity": tf.reduce_sum(z[0] * z[1], axis=1),
            "affinity_of_ids": tf.reduce_sum(own["user"] * own["item"], axis=1),
        }
        for owner in NODES:
            length = tf.norm(neighbors[owner], axis=1)
            whole = length + tf.norm(own[owner], axis=1)
            found[f"from_neighbors_{owner}"] = tf.math.divide_no_nan(length, whole)
        return found

    def diagnostics(self, features: Features) -> dict[str, tf.Tensor]:
        """Means over a batch.

        Returns:
          `from_neighbors/<owner>`: how much longer what neighbours say is than what the id says,
          |z - E^0 / (L + 1)| / |E^0 / (L + 1)|, over all rows.
        """
        sums = self.sums(self.bags(features))
        found = {}
        for owner in NODES:
            own = tf.norm(sums[self.id_features[owner]]) / (self.options.graph_layers + 1)
            found[f"from_neighbors/{owner}"] = tf.math.divide_no_nan(
                tf.norm(sums[graph_lookup(owner)]), own
            )
        return found


class _Walks:
    """Apart from the model: the propagation over each graph, which has no weights.

    Attributes:
      of: by graph.
      rows: by graph and owner, bool [rows of the table]: those of nodes with a neighbour.
    """

    def __init__(
        self, graphs: Sequence[CutGraph], of: list[LightPropagation], num_rows: Mapping[str, int]
    ) -> None:
        self.of = of
        self.rows = []
        for graph in graphs:
            has_neighbor = [graph.ranks.getnnz(axis=axis) > 0 for axis in (1, 0)]
            with_row = {o: np.zeros(num_rows[o], bool) for o in NODES}
            for owner, has in zip(NODES, has_neighbor, strict=True):
                with_row[owner][graph.table_rows(owner, has)] = True
            self.rows.append(with_row)

"""MoGENet, a mixture of graph enhanced experts, reconstructed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray

from input_pipeline.commands.options import option
from input_pipeline.feature import NODES, USER_ROW
from input_pipeline.files import filesystem
from input_pipeline.spec import DatasetSpec
from mgoe_tf.layers.channel_fusion import ChannelFusion
from mgoe_tf.layers.context_gates import ContextGates
from mgoe_tf.layers.mlp_experts import MlpExperts
from mgoe_tf.layers.neighbor_attention import NeighborAttention
from mgoe_tf.layers.task_gates import TaskGates, mix
from mgoe_tf.layers.user_rows import by_row
from mgoe_tf.models.base import MADE, Features, concatenated
from mgoe_tf.models.baselines.graph_model import Embed, GraphModel, OfNodes, graph_lookup
from mgoe_tf.models.channel_neighbors import CHANNELS, ChannelNeighbors, neighbor_kind
from mgoe_tf.models.options import GatedOptions, require

_LAYERS = 2


@dataclasses.dataclass(frozen=True)
class MoGENetOptions(GatedOptions):
    """Sizes of MoGENet."""

    num_experts: int = option(4, "Number of experts, shared by all tasks.")
    expert_units: tuple[int, ...] = option((64, 32), "Layers of an expert.")
    num_neighbors: int = option(
        20, "Neighbours of a node per hop and channel: drawn ones, and the most similar ones."
    )
    graph_channels: tuple[str, ...] = option(
        CHANNELS,
        "Which graphs vectors come from. bipartite: who did what. similarity: users, and items, of "
        "similar rows of it.",
    )
    neighbor_seed: int = option(0, "Of the draws of neighbours, which are made once.")

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = ("num_experts", "expert_units", "num_neighbors")
        require(self, "at least 1", sizes, lambda value: value >= 1)
        require(self, "at least 0", ("neighbor_seed",), lambda value: value >= 0)
        require(self, f"of {CHANNELS}", ("graph_channels",), lambda value: value in CHANNELS)
        if len(set(self.graph_channels)) != len(self.graph_channels) or not self.graph_channels:
            raise ValueError(
                "--graph_channels: must be one or more different ones, got "
                f"{list(self.graph_channels)}"
            )


class MoGENet(GraphModel):
    """s_t = Tower_t(sum_e softmax_e(c W_t)_e MLP_e(c * sigmoid(W_e [h_u ; h_i]))).

    c = [x ; h_u ; h_i], where h_v is made of one vector a channel: h_v = sum_c beta_c h_v^c with
    beta = softmax_c(v^T tanh(W h_v^c + b)), parameters of users and items being their own. The
    vectors of a channel come from two layers h^l = ReLU(W_self h^(l-1) + W_nb sum_n alpha_n
    h_n^(l-1)), alpha the softmax over neighbours of LeakyReLU(a^T [h ; h_n]), and h^0 the
    embeddings of the ids. The neighbours of a user are, in the channel `bipartite`, items that the
    user did anything on, as many as `num_neighbors`, drawn once; in `similarity`, the users whose
    rows of numbers of behaviours by item are most similar by cosine. Those of an item are users and
    items likewise. A node without a graph has no neighbours and the embedding that unknown ids
    share.

    Source: PRICAI 2022. **A reconstruction**: of the paper only the abstract can be read, which
    tells of a graph network of several channels (users and items, similar users, similar items)
    and of experts enhanced by it; there is no public code. Equations and sizes are this project's.

    The vectors of layer 1 are computed once for every node that the batch reaches. Who is similar
    to whom takes long to find, and is kept in the model directory.

    Args, input and output as `RankingModel`.
    """

    options_class = MoGENetOptions
    options: MoGENetOptions
    explains = True

    def __init__(
        self, *, spec: DatasetSpec, options: MoGENetOptions | None = None, **kwargs: Any
    ) -> None:
        super().__init__(spec=spec, options=options, **kwargs)
        options = self.options
        self._neighbors = ChannelNeighbors(
            self.graphs,
            self.nodes,
            levels=[task.level for task in spec.tasks],
            channels=options.graph_channels,
            size=options.num_neighbors,
            seed=options.neighbor_seed,
            similar=read_similar(self.asset_paths),
        )
        # by channel, layer and owner
        self.attentions = {
            channel: [
                {
                    owner: NeighborAttention(
                        units=options.embedding_dim, name=f"{channel}_{layer}_{owner}"
                    )
                    for owner in NODES
                }
                for layer in range(1, _LAYERS + 1)
            ]
            for channel in options.graph_channels
        }
        self.fusions = {owner: ChannelFusion(name=f"{owner}_channels") for owner in NODES}
        self.context_gates = ContextGates(
            num_experts=options.num_experts,
            context_dim=len(NODES) * options.embedding_dim,
            name="context_gates",
        )
        # Each expert sees an input of its own, as a task's do elsewhere.
        self.experts = MlpExperts(
            num_tasks=options.num_experts,
            num_shared=0,
            num_task_experts=1,
            units=options.expert_units,
            dropout=options.dropout,
            name="experts",
        )
        self.gates = TaskGates(
            num_tasks=len(spec.tasks),
            num_experts=options.num_experts,
            temperature=options.gate_temperature,
            name="gates",
        )
        self.towers = self.prediction_towers()

    def made_assets(self) -> dict[str, NDArray[Any]]:
        """Who is similar to whom, int32 [numbers, L] of users and of items."""
        return {similar_name(owner): array for owner, array in self._neighbors.similar().items()}

    @property
    def last_shared_weights(self) -> tuple[tf.Variable, ...]:
        return (self.experts.kernels[-1],)

    @property
    def expert_names(self) -> tuple[str, ...]:
        return tuple(f"shared_{number}" for number in range(self.options.num_experts))

    def node_vectors(self, numbers: OfNodes, embed: Embed) -> dict[str, tf.Tensor]:
        channels = self.channel_vectors(numbers, embed)
        return {
            owner: fusion(tf.stack([vectors[owner] for vectors in channels.values()]))
            for owner, fusion in self.fusions.items()
        }

    def channel_vectors(self, numbers: OfNodes, embed: Embed) -> dict[str, dict[str, tf.Tensor]]:
        """By channel and owner, h^c of nodes, [N, D]."""
        return {
            channel: self._vectors(channel, _LAYERS, numbers, embed)
            for channel in self.options.graph_channels
        }

    def _vectors(
        self, channel: str, layer: int, numbers: OfNodes, embed: Embed
    ) -> dict[str, tf.Tensor]:
        """By owner, h^l of nodes in a channel, [N, D]."""
        if layer == 0:
            rows = {
                owner: tf.gather(self._neighbors.rows[owner], numbers[owner]) for owner in NODES
            }
            return {owner: embed(owner, rows[owner]) for owner in NODES}
        reach = self._neighbors.reach(channel, numbers)
        below = self._vectors(channel, layer - 1, reach.numbers, embed)
        found = {}
        for owner, attention in self.attentions[channel][layer - 1].items():
            found[owner] = attention(
                tf.gather(below[owner], reach.own[owner]),
                tf.gather(below[neighbor_kind(channel, owner)], reach.neighbors[owner]),
                reach.present[owner],
            )
        return found

    def reached_rows(self, numbers: OfNodes) -> dict[str, tf.Tensor]:
        counts = {owner: tf.zeros([self.num_rows(owner)], tf.int32) for owner in NODES}
        for channel in self.options.graph_channels:
            reached = numbers
            for _ in range(_LAYERS):
                reached = self._neighbors.reach(channel, reached).numbers
            for owner in NODES:
                ids = tf.gather(self._neighbors.rows[owner], reached[owner])
                rows = tf.reshape(self.rows_of(owner, ids), [-1])
                counts[owner] += tf.math.unsorted_segment_sum(
                    tf.ones_like(rows), rows, self.num_rows(owner)
                )
        return {owner: counts[owner] > 0 for owner in NODES}

    def network_inputs(self, features: Features, sums: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        inputs = super().network_inputs(features, sums)
        of_users, of_items = (sums[graph_lookup(owner)] for owner in NODES)
        # the last ones: see `ContextGates`
        return {
            **inputs,
            "graph": tf.concat([by_row(of_users, features.get(USER_ROW)), of_items], 1),
        }

    def network(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        c = concatenated(inputs)
        # outputs: [E, 1, B, H], then [1, E, B, H]; mixed: [T, B, H]
        outputs = self.experts(self.context_gates(c), training=training)
        mixed = mix(tf.transpose(outputs, [1, 0, 2, 3]), self.gates(c))
        return self.by_task(self.towers(mixed, training=training))

    def explain(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Which experts the tasks use.

        Args:
          inputs: from `embed`.

        Returns:
          `gates_<task>`, float32 [B, E], the weights of `expert_names`.
        """
        gates = self.by_task(tf.cast(self.gates(concatenated(inputs)), tf.float32))
        return {f"gates_{task}": gate for task, gate in gates.items()}

    def diagnostics(self, features: Features) -> dict[str, tf.Tensor]:
        """Means over a batch.

        Returns:
          What `describe_gates` says; and, where there are several channels, `channels/<owner>` [C],
          beta of the users' and the items' channels.
        """
        inputs = self.embed(features)
        found = self.describe_gates("gates", self.gates(concatenated(inputs)))
        if len(self.options.graph_channels) > 1:
            bags = self.bags(features)
            numbers = {owner: bags[graph_lookup(owner)].ids for owner in NODES}
            channels = self.channel_vectors(numbers, self.embed_rows)
            for owner, fusion in self.fusions.items():
                shares = fusion.shares(tf.stack([vectors[owner] for vectors in channels.values()]))
                found[f"channels/{owner}"] = tf.reduce_mean(shares, axis=1)
        return found


def similar_name(owner: str) -> str:
    """Of the asset that holds who is similar to whom."""
    return f"{MADE}similar_{owner}s.npy"


def read_similar(paths: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """By owner, what `MoGENet.made_assets` gave, of paths by name; {} where it is not there."""
    names = {owner: similar_name(owner) for owner in NODES}
    return {
        owner: filesystem.load_array(paths[name]) for owner, name in names.items() if name in paths
    }

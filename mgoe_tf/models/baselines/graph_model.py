"""What models have in common that walk the whole graph of who did what on what."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import tensorflow as tf

from input_pipeline.feature import NODES
from input_pipeline.spec import INPUT_OWNERS, DatasetSpec
from mgoe_tf.layers.id_embeddings import Bags
from mgoe_tf.layers.id_lookup import IdLookup
from mgoe_tf.models.base import Features, Lookup, RankingModel, vocabulary_of
from mgoe_tf.models.cut_nodes import CutNodes
from mgoe_tf.models.graph_assets import CutGraph, graph_assets, read_graphs
from mgoe_tf.models.options import ModelOptions

# From an owner and embedding rows to their embeddings, [..., D].
Embed: TypeAlias = Callable[[str, tf.Tensor], tf.Tensor]
# By owner: numbers of nodes, int32 [N], or what is known of them, [N, ...].
OfNodes: TypeAlias = Mapping[str, tf.Tensor]
_CHUNK = 1 << 14  # nodes whose vectors are computed at once for an export
_ROLES = ("graph_cut", "graph_node")


def graph_lookup(owner: str) -> str:
    """The name of the lookup of what the graph says of users, or of items."""
    return f"{owner}_graph"


class GraphModel(RankingModel):
    """A ranking model that reads vectors of users and items computed from the whole graph.

    A node is known by the number of the cut that its features come from and by its number in that
    cut's graph (`graph_cut`, `graph_node`), so that no row sees what came after it. Two more
    lookups, `user_graph` and `item_graph`, hold one number a node (`CutNodes`), and `sums` answers
    them with what `node_vectors` computes from the graph and the embeddings of the ids. An id's own
    embedding is looked up beside, as in any model: a node that the graph knows and training does
    not has vectors of its neighbours all the same.

    In training and evaluation vectors are computed with each batch. For an export `precompute`
    computes those of all nodes of all cuts once: what is served reads them from tables, and needs
    no graph.

    Args:
      spec, options, assets: see `RankingModel`.

    Raises:
      ValueError: the data set does not tell which graph rows come from.
    """

    def __init__(
        self,
        *,
        spec: DatasetSpec,
        options: ModelOptions | None = None,
        assets: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        lacking = [f"{o}_{role}" for o in NODES for role in _ROLES if not spec.select(o, role)]
        if lacking:
            raise ValueError(
                f"--model: {type(self).__name__} reads graphs, and the data set does not tell "
                f"which one a row comes from: it lacks {lacking}. Prepare it anew with this version"
            )
        super().__init__(spec=spec, options=options, assets=assets, **kwargs)
        self.id_features = {owner: spec.select(owner, "id")[0].name for owner in NODES}
        self._graphs = _Graphs(read_graphs(spec, self.asset_paths))

    @classmethod
    def assets(cls, spec: DatasetSpec) -> tuple[str, ...]:
        return graph_assets(spec)

    @property
    def graphs(self) -> tuple[CutGraph, ...]:
        """Of the cuts 1 .. n, then the latest."""
        return self._graphs.graphs

    @property
    def nodes(self) -> CutNodes:
        """The numbers of their nodes."""
        return self._graphs.nodes

    @property
    def feature_names(self) -> tuple[str, ...]:
        places = (self._place(owner, role) for owner in NODES for role in _ROLES)
        return (*super().feature_names, *places)

    def _place(self, owner: str, role: str) -> str:
        return self.spec.select(owner, role)[0].name

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        graph = (Lookup(graph_lookup(owner), self.table_of(owner), owner) for owner in NODES)
        return (*super().lookups, *graph)

    def table_of(self, owner: str) -> str:
        """The table of an owner's ids, whose width its vectors have."""
        return vocabulary_of(self.spec.select(owner, "id")[0])

    def num_rows(self, owner: str) -> int:
        """Rows of that table."""
        return self.spec.vocabulary(self.table_of(owner)).table_rows + 1

    def bags(
        self,
        features: Features,
        lookup: IdLookup | None = None,
        owners: Collection[str] = INPUT_OWNERS,
    ) -> dict[str, Bags]:
        found = super().bags(features, lookup, owners)
        for owner in (owner for owner in NODES if owner in owners):
            cut, node = (features[self._place(owner, role)] for role in _ROLES)
            numbers = self.nodes.numbers(owner, cut, node)
            found[graph_lookup(owner)] = Bags.of_single_ids(numbers)
        return found

    def node_vectors(self, numbers: OfNodes, embed: Embed) -> dict[str, tf.Tensor]:
        """What graphs say of nodes.

        Args:
          numbers: of the nodes; 0 of a node without a graph.
          embed: of the embedding rows that `reached_rows` tells of; of others in training anything,
            which is finite.

        Returns:
          float32 [N, D] by owner, of the width of the owner's ids.
        """
        raise NotImplementedError

    def reached_rows(self, numbers: OfNodes) -> dict[str, tf.Tensor]:
        """By owner, bool [rows of the table]: what `node_vectors` of the same nodes embeds."""
        raise NotImplementedError

    def all_node_vectors(self, embed: Embed) -> dict[str, tf.Tensor]:
        """The vectors of all numbers, in order."""
        nobody = dict.fromkeys(NODES, tf.zeros([0], tf.int32))
        found = {}
        for owner, rows in self.nodes.rows.items():
            parts = (
                tf.range(start, min(start + _CHUNK, len(rows)))
                for start in range(0, len(rows), _CHUNK)
            )
            vectors = [self.node_vectors(nobody | {owner: part}, embed)[owner] for part in parts]
            found[owner] = tf.concat(vectors, axis=0)
        return found

    def precompute(self) -> tuple[tf.Variable, ...]:
        self._graphs.vectors = {
            owner: tf.Variable(vectors, trainable=False, name=graph_lookup(owner))
            for owner, vectors in self.all_node_vectors(self.embed_rows).items()
        }
        return tuple(self._graphs.vectors.values())

    def embed_rows(self, owner: str, rows: tf.Tensor) -> tf.Tensor:
        """Embeddings [..., D] of rows [...] of an owner's table, where there is no training."""
        table = self.embeddings.tables[self.table_of(owner)]
        # [..., 1 or 2, D]
        found = tf.nn.embedding_lookup(table, self.rows_of(owner, rows))
        return tf.reduce_sum(found, axis=-2)

    def rows_of(self, owner: str, ids: tf.Tensor) -> tf.Tensor:
        """The rows of an owner's table whose sum embeds rows or codes [...]: int32 [..., 1 or 2]"""
        return self.embeddings.summed_rows(self.table_of(owner), tf.convert_to_tensor(ids))

    def sums(
        self, bags: Mapping[str, Bags], *, training: bool = False, served: bool = False
    ) -> dict[str, tf.Tensor]:
        graph = {o: bags[graph_lookup(o)].ids for o in NODES if graph_lookup(o) in bags}
        names = {graph_lookup(owner) for owner in graph}
        plain = {name: bag for name, bag in bags.items() if name not in names}
        if not graph:
            return super().sums(plain, training=training, served=served)
        if served and self._graphs.vectors:
            return super().sums(plain, served=True) | {
                graph_lookup(owner): self._precomputed(owner, of) for owner, of in graph.items()
            }
        numbers = dict.fromkeys(NODES, tf.zeros([0], tf.int32)) | graph
        embed: Embed = self.embed_rows
        if training:
            sums, embed = self._sums_among_rows(plain, self.reached_rows(numbers))
        else:
            sums = super().sums(plain, served=served)
        vectors = self.node_vectors(numbers, embed)
        return sums | {graph_lookup(owner): vectors[owner] for owner in graph}

    def _precomputed(self, owner: str, numbers: tf.Tensor) -> tf.Tensor:
        table = self._graphs.vectors[owner]
        # A server's optimizer does not know the shape of a gathered variable.
        return tf.reshape(tf.nn.embedding_lookup(table, numbers), [-1, table.shape[1]])

    def _sums_among_rows(
        self, bags: Mapping[str, Bags], reached: Mapping[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], Embed]:
        """The sums of other lookups in training, and the embeddings that vectors are made of.

        Each table is read once: its gradient is one of distinct rows, of those that the batch
        reaches, be it through the graph.
        """
        tables = {owner: self.table_of(owner) for owner in NODES}
        by_table, found = self.by_table(bags), {}
        others = [of for table, of in by_table.items() if table not in tables.values()]
        sums = super().sums({n: b for of in others for n, b in of.items()}, training=True)
        for owner, table in tables.items():
            lists = by_table.get(table, {})
            of_lists, *found[owner] = self.embeddings.among_rows(
                table, [*lists.values()], reached[owner]
            )
            sums |= dict(zip(lists, of_lists, strict=True))

        def embed(owner: str, rows: tf.Tensor) -> tf.Tensor:
            distinct, places = found[owner]
            of_rows = tf.gather(distinct, tf.gather(places, self.rows_of(owner, rows)))
            return tf.reduce_sum(of_rows, axis=-2)

        return sums, embed


class _Graphs:
    """Apart from the model: arrays and vectors that are no weights, and in no checkpoint."""

    def __init__(self, graphs: tuple[CutGraph, ...]) -> None:
        self.graphs = graphs
        self.nodes = CutNodes(graphs)
        self.vectors: dict[str, tf.Variable] = {}

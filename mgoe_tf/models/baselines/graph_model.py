"""What models have in common that walk the whole graph of who did what on what."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from input_pipeline.feature import NODES, Feature
from input_pipeline.spec import INPUT_OWNERS, DatasetSpec
from mgoe_tf.layers.id_embeddings import Bags
from mgoe_tf.layers.id_lookup import IdLookup
from mgoe_tf.models.base import Features, Lookup, RankingModel, vocabulary_of
from mgoe_tf.models.graph_assets import CutGraph, graph_assets, read_graphs
from mgoe_tf.models.options import ModelOptions

# From an owner and embedding rows to their embeddings, [..., D].
Embed: TypeAlias = Callable[[str, tf.Tensor], tf.Tensor]
Vectors: TypeAlias = dict[str, tf.Tensor]
_CHUNK = 1 << 14  # nodes whose vectors are computed at once for an export
_ROLES = ("graph_cut", "graph_node")


def graph_lookup(owner: str) -> str:
    """The name of the lookup of what the graph says of users, or of items."""
    return f"{owner}_graph"


class GraphModel(RankingModel):
    """A ranking model that reads vectors of users and items computed from the whole graph.

    A node is known by the number of the cut that its features come from and by its number in that
    cut's graph (`graph_cut`, `graph_node`), so that no row sees what came after it. Two more
    lookups, `user_graph` and `item_graph`, hold one id a node, and `sums` answers them with what
    `graph_vectors` computes from the graph and the embeddings of the ids, 0 for nodes without a
    graph. An embedding of a node itself comes from its id, as in any model: one that the graph
    knows and training does not has vectors of its neighbours all the same.

    In training and evaluation the vectors are computed with each batch, of the cuts that occur in
    it. For an export `precompute` computes those of all nodes of all cuts once: what is served
    reads them from tables and needs no graph.

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
        lacking = [f"{o}_{r}" for o in NODES for r in _ROLES if not spec.select(o, r)]
        if lacking:
            raise ValueError(
                f"--model: {type(self).__name__} reads graphs, and the data set does not tell "
                f"which one a row comes from: it lacks {lacking}. Prepare it anew with this version"
            )
        super().__init__(spec=spec, options=options, assets=assets, **kwargs)
        self.id_features = {owner: spec.select(owner, "id")[0].name for owner in NODES}
        self._graphs = _Graphs(read_graphs(spec, self.asset_paths), self._num_rows())

    @classmethod
    def assets(cls, spec: DatasetSpec) -> tuple[str, ...]:
        return graph_assets(spec)

    def _num_rows(self) -> dict[str, int]:
        """By owner, the rows of the table that its ids read."""
        return {o: self.spec.vocabulary(f).embedded + 1 for o, f in self.id_features.items()}

    @property
    def graphs(self) -> tuple[CutGraph, ...]:
        """Of the cuts 1 .. n, then the latest."""
        return self._graphs.graphs

    @property
    def feature_names(self) -> tuple[str, ...]:
        places = (self._place(owner, role).name for owner in NODES for role in _ROLES)
        return (*super().feature_names, *places)

    def _place(self, owner: str, role: str) -> Feature:
        return self.spec.select(owner, role)[0]

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        graph = (Lookup(graph_lookup(owner), self._table(owner), owner) for owner in NODES)
        return (*super().lookups, *graph)

    def _table(self, owner: str) -> str:
        """The table whose width vectors of an owner have."""
        return vocabulary_of(self.spec.select(owner, "id")[0])

    def bags(
        self,
        features: Features,
        lookup: IdLookup | None = None,
        owners: Collection[str] = INPUT_OWNERS,
    ) -> dict[str, Bags]:
        found = super().bags(features, lookup, owners)
        for owner in (owner for owner in NODES if owner in owners):
            cut, node = (features[self._place(owner, role).name] for role in _ROLES)
            found[graph_lookup(owner)] = Bags.of_single_ids(self._graphs.ids(owner, cut, node))
        return found

    def graph_vectors(self, graph: int, nodes: Mapping[str, tf.Tensor], embed: Embed) -> Vectors:
        """Vectors of some nodes.

        Args:
          graph: which of `graphs`.
          nodes: by owner, int32 [N], distinct rows and columns of the graph.
          embed: of embedding rows that `graph_rows` tells of.

        Returns:
          float32 [N, D] by owner, of the width of the owner's ids.
        """
        raise NotImplementedError

    def graph_rows(self, graph: int) -> dict[str, NDArray[Any]]:
        """By owner, bool [rows]: the embedding rows that vectors of a graph are computed from.

        By default of all nodes with a neighbour.
        """
        found, known = {}, self.graphs[graph]
        for axis, owner in enumerate(NODES):
            found[owner] = np.zeros(self._num_rows()[owner], bool)
            has_neighbor = known.ranks.getnnz(axis=1 - axis) > 0
            found[owner][known.rows[owner][has_neighbor]] = True
        return found

    def all_graph_vectors(self, graph: int, embed: Embed) -> Vectors:
        """Vectors of all nodes of a graph, in order."""
        parts: dict[str, list[tf.Tensor]] = {owner: [] for owner in NODES}
        nobody = dict.fromkeys(NODES, tf.zeros([0], tf.int32))
        for owner, size in self.graphs[graph].sizes.items():
            for start in range(0, max(1, size), _CHUNK):
                nodes = tf.range(start, min(size, start + _CHUNK))
                parts[owner].append(
                    self.graph_vectors(graph, nobody | {owner: nodes}, embed)[owner]
                )
        return {owner: tf.concat(vectors, axis=0) for owner, vectors in parts.items()}

    def precompute(self) -> tuple[tf.Variable, ...]:
        embed = self._embed_from_tables()
        # row 0 is of nodes without a graph
        vectors = {o: [tf.zeros([1, self.tables[self._table(o)].dim])] for o in NODES}
        for graph in range(len(self.graphs)):
            for owner, found in self.all_graph_vectors(graph, embed).items():
                vectors[owner].append(found)
        self._graphs.vectors = {
            owner: tf.Variable(tf.concat(parts, axis=0), trainable=False, name=graph_lookup(owner))
            for owner, parts in vectors.items()
        }
        return tuple(self._graphs.vectors.values())

    def _embed_from_tables(self) -> Embed:
        return lambda owner, rows: tf.nn.embedding_lookup(
            self.embeddings.tables[self._table(owner)], rows
        )

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
                graph_lookup(owner): self._precomputed(owner, ids) for owner, ids in graph.items()
            }
        ids = dict.fromkeys(NODES, tf.zeros([0], tf.int32)) | graph
        occurs = [self._graphs.occurs(number, ids) for number in range(len(self.graphs))]
        if training:
            sums, embed = self._sums_among_rows(plain, occurs)
        else:
            sums, embed = super().sums(plain, served=served), self._embed_from_tables()
        vectors = self._vectors(ids, occurs, embed)
        return sums | {graph_lookup(owner): vectors[owner] for owner in graph}

    def _precomputed(self, owner: str, ids: tf.Tensor) -> tf.Tensor:
        table = self._graphs.vectors[owner]
        # A server's optimizer does not know the shape of a gathered variable.
        return tf.reshape(tf.nn.embedding_lookup(table, ids), [-1, table.shape[1]])

    def _sums_among_rows(
        self, bags: Mapping[str, Bags], occurs: list[tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], Embed]:
        """The sums of other lookups in training, and the embeddings that vectors are made of.

        Each table is read once: its gradient is one of distinct rows, of those that the batch
        reaches, be it through the graph.
        """
        by_table, found = self.by_table(bags), {}
        others = {
            n: b for t in by_table if t not in self._tables_of_nodes for n, b in by_table[t].items()
        }
        sums = super().sums(others, training=True)
        for owner in NODES:
            lists = by_table.get(self._table(owner), {})
            wanted = tf.zeros([self._num_rows()[owner]], tf.bool)
            for number, occurring in enumerate(occurs):
                wanted |= occurring & self._graphs.rows_of(number, owner, self.graph_rows)
            of_lists, *found[owner] = self.embeddings.among_rows(
                self._table(owner), [*lists.values()], wanted
            )
            sums |= dict(zip(lists, of_lists, strict=True))

        def embed(owner: str, rows: tf.Tensor) -> tf.Tensor:
            embeddings, places = found[owner]
            return tf.gather(embeddings, tf.gather(places, rows))

        return sums, embed

    @property
    def _tables_of_nodes(self) -> set[str]:
        return {self._table(owner) for owner in NODES}

    def _vectors(self, ids: Vectors, occurs: list[tf.Tensor], embed: Embed) -> Vectors:
        """float32 [N, D] by owner, of ids [N]: 0 of id 0."""
        dims = {owner: self.tables[self._table(owner)].dim for owner in NODES}
        total = {owner: tf.zeros([tf.size(ids[owner]), dims[owner]]) for owner in NODES}
        zeros = total
        for number, occurring in enumerate(occurs):
            part = tf.cond(
                occurring,
                lambda number=number: self._vectors_of_graph(number, ids, embed),
                lambda: zeros,
            )
            total = {owner: total[owner] + part[owner] for owner in NODES}
        return total

    def _vectors_of_graph(self, number: int, ids: Vectors, embed: Embed) -> Vectors:
        """The same of the ids of one graph, 0 of others."""
        places, nodes, positions = {}, {}, {}
        for owner in NODES:
            local, inside = self._graphs.local(number, owner, ids[owner])
            places[owner] = tf.squeeze(tf.where(inside), axis=1)
            nodes[owner], positions[owner] = tf.unique(tf.gather(local, places[owner]))
        vectors = self.graph_vectors(number, nodes, embed)
        return {
            owner: tf.math.unsorted_segment_sum(
                tf.gather(vectors[owner], positions[owner]), places[owner], tf.size(ids[owner])
            )
            for owner in NODES
        }


class _Graphs:
    """The graphs of a model, and ids of their nodes: 0 for none, then graph by graph.

    Apart from the model, as these arrays and vectors are no weights.
    """

    def __init__(self, graphs: tuple[CutGraph, ...], num_rows: Mapping[str, int]) -> None:
        self.graphs = graphs
        self.vectors: dict[str, tf.Variable] = {}
        self._num_rows = num_rows
        self._sizes = {o: np.array([g.sizes[o] for g in graphs], np.int32) for o in NODES}
        self._starts = {
            owner: np.cumsum([1, *sizes[:-1]], dtype=np.int32)
            for owner, sizes in self._sizes.items()
        }
        self._rows: dict[tuple[int, str], NDArray[Any]] = {}

    def ids(self, owner: str, cut: tf.Tensor, node: tf.Tensor) -> tf.Tensor:
        """int32 [N]: of graphs that the model does not have, and nodes not in them, 0."""
        cut, node = tf.cast(cut, tf.int32), tf.cast(node, tf.int32)
        # as if there were a cut 0 without nodes
        place = tf.where((cut > 0) & (cut <= len(self.graphs)), cut, 0)
        size, start = (
            tf.gather(tf.constant(np.append(np.int32(0), values[owner])), place)
            for values in (self._sizes, self._starts)
        )
        return tf.where((node > 0) & (node <= size), start + node - 1, 0)

    def local(self, number: int, owner: str, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Of ids [N], rows or columns of a graph, int32, and which are its own, bool."""
        local = ids - self._starts[owner][number]
        return local, (local >= 0) & (local < self._sizes[owner][number])

    def occurs(self, number: int, ids: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Whether some ids are of a graph, bool scalar."""
        found = [tf.reduce_any(self.local(number, owner, ids[owner])[1]) for owner in NODES]
        return found[0] | found[1]

    def rows_of(
        self, number: int, owner: str, compute: Callable[[int], dict[str, NDArray[Any]]]
    ) -> NDArray[Any]:
        """What `graph_rows` computes, once."""
        if (number, owner) not in self._rows:
            for of_owner, rows in compute(number).items():
                self._rows[number, of_owner] = rows
        return self._rows[number, owner]

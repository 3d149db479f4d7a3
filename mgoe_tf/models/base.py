"""What all ranking models have in common.

Long, because one class says all that a new model may override.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf
from numpy.typing import NDArray

from input_pipeline.feature import USER_ROW, Feature
from input_pipeline.spec import INPUT_OWNERS, DatasetSpec
from mgoe_tf.layers.id_embeddings import Bags, IdEmbeddings
from mgoe_tf.layers.id_lookup import IdLookup, neighbor_side_features, side_feature_of
from mgoe_tf.layers.numeric_inputs import NumericInputs
from mgoe_tf.layers.prediction_towers import PredictionTowers
from mgoe_tf.layers.split_rows import SplitRows
from mgoe_tf.layers.user_rows import by_row
from mgoe_tf.models.node_network import NodeNetwork
from mgoe_tf.models.options import ModelOptions, from_json

# Features that are read by the embeddings of the ids that they hold.
EMBEDDED_ROLES = ("id", "side")
# Before the names of assets that a model made itself (`RankingModel.made_assets`).
MADE = "made/"
Features = Mapping[str, tf.Tensor]


class Table(NamedTuple):
    """An id table: the vocabulary whose embedded ids have a row each, and the width of a row."""

    vocabulary: str
    dim: int


class Lookup(NamedTuple):
    """Lists of ids whose embeddings a model sums, of every user, item or row.

    Attributes:
      name: of the lookup.
      table: the id table.
      owner: `user`, `item` or `context`: whose lists they are.
      by_task: whether there is a list a task, all nodes' of the first task first; else one.
      entries: how many entries of each list are looked up one by one, each as a list of its own,
        all nodes' first entries first; 1: the list is summed.
    """

    name: str
    table: str
    owner: str
    by_task: bool = False
    entries: int = 1

    def lists(self, num_tasks: int) -> int:
        """How many lists there are of each node."""
        return self.entries * (num_tasks if self.by_task else 1)


def concatenated(inputs: Mapping[str, tf.Tensor]) -> tf.Tensor | SplitRows:
    """x = [x_u ; x_i ; x_c] of what `RankingModel.embed` gives: [B, D_u + D_i + D_c].

    Of users [B, D_u] with candidates [B, N, D_i] it is `SplitRows`.
    """
    ranks = {len(part.shape) for part in inputs.values()}
    if len(ranks) > 1:
        return SplitRows(inputs["user"], inputs["item"], inputs.get("context"))
    return tf.concat([*inputs.values()], axis=-1)


def vocabulary_of(feature: Feature) -> str:
    """The vocabulary of an id or a side feature, which always have one."""
    assert feature.vocabulary is not None
    return feature.vocabulary


class RankingModel(tf.keras.Model):
    """A network from the encoded features of rows to one logit a task.

    A model's options are a frozen dataclass in its file, which `options_class` names; its arrays of
    the data set, if it needs any, are those that `assets` names. Both are kept in the model
    directory.

    A model is cut in two. `embed` reads the id tables; its shapes follow the data (distinct ids of
    the batch) and its gradients are sparse. `network` is everything else: dense, of static shapes,
    and what a training step hands to XLA where it is asked to. A new model writes its own
    `network`; one that reads more than ids and side features extends `feature_names`, `bags` and
    `network_inputs` too.

    Args:
      spec: of the data set; gives tasks, features and sizes of tables.
      options: of `options_class`; None: its defaults.
      assets: local paths of the files that `assets(spec)` names, and of any of `made_assets`. They
        are read in the constructor or in `build`, and may be gone later.

    Call arguments:
      features: as encoded by `IdLookup`: ids and neighbours int32 embedding rows, the rest as in
        the data set; at least `feature_names`. Rows may share users: with `user_row`, int32 [B],
        the user's features are those of R users, and row b is about user `user_row[b]`. What
        depends on the user alone is then computed R times.

    Returns:
      `{task: float32 [B]}`, logits.
    """

    options_class: ClassVar[type[ModelOptions]] = ModelOptions
    # Whether there is an `explain`, which an export then serves.
    explains: bool = False
    # Whether `network` reads `concatenated(inputs)` alone, by layers that take `SplitRows`.
    reads_concatenated: ClassVar[bool] = False

    def __init__(
        self,
        *,
        spec: DatasetSpec,
        options: ModelOptions | None = None,
        assets: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        # Edge weights must enter uncast, whatever the precision policy.
        super().__init__(**{**kwargs, "autocast": False})
        options = self.options_class() if options is None else options
        if type(options) is not self.options_class:
            raise ValueError(
                f"options: {type(self).__name__} takes {self.options_class.__name__}, got "
                f"{type(options).__name__}"
            )
        needed, given = set(self.assets(spec)), dict(assets or {})
        if needed != {name for name in given if not name.startswith(MADE)}:
            raise ValueError(
                f"assets: {type(self).__name__} takes {sorted(needed)}, got {sorted(given)}"
            )
        self.spec = spec
        self.options = options
        self.asset_paths = given
        tables = self.tables
        self.embeddings = IdEmbeddings(
            sizes={name: spec.vocabulary(t.vocabulary).table_rows for name, t in tables.items()},
            dim={name: table.dim for name, table in tables.items()},
            hashed=[n for n, t in tables.items() if spec.vocabulary(t.vocabulary).hash_rows],
            name="id_embeddings",
        )
        self.numeric_inputs = {
            owner: NumericInputs(
                transforms={
                    f.name: f.transform for f in spec.select(owner, "numeric") if f.transform
                },
                name=f"{owner}_numeric_inputs",
            )
            for owner in INPUT_OWNERS
        }

    @classmethod
    def assets(cls, spec: DatasetSpec) -> tuple[str, ...]:
        """The files of the data set that the model needs: paths below its directory.

        `("graph/3/merging_matrix.npz",)`, say. By default none.
        """
        return ()

    def made_assets(self) -> dict[str, NDArray[Any]]:
        """What took long to make of `assets`, kept in the model directory for later constructions.

        Arrays by name, `made/<name>.npy`; a later construction is given them among its assets, but
        has to do without where there are none. By default nothing.
        """
        return {}

    @property
    def tables(self) -> dict[str, Table]:
        """The id tables by name: one of `embedding_dim` a vocabulary by default.

        A model with other tables, one a task, say, names them here, in `lookups` and in `bags`.
        Known from spec and options alone: the constructor makes the tables before anything else.
        """
        dim = self.options.embedding_dim
        return {v.name: Table(v.name, dim) for v in self.spec.vocabularies}

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The input features that the model reads: by default ids, side features and numbers."""
        return tuple(
            feature.name
            for feature in self.spec.input_features
            if feature.role in (*EMBEDDED_ROLES, "numeric")
        )

    @property
    def unpenalized_weights(self) -> tuple[tf.Variable, ...]:
        """Dense weights that the L1 and L2 penalties would ruin."""
        return ()

    @property
    def last_shared_weights(self) -> tuple[tf.Variable, ...]:
        """Kernels of the last layer that the losses of all tasks reach; () where none is known."""
        return ()

    @property
    def penalty_names(self) -> tuple[str, ...]:
        """Of what `network_and_penalties` adds to the losses; `penalty/<name>` in TensorBoard."""
        return ()

    @property
    def expert_names(self) -> tuple[str, ...]:
        """What the experts of `gates/<task>` in `diagnostics` are called; () without gates.

        Names of experts that all tasks share begin with `shared`, others with `own`.
        """
        return ()

    def macro_embeddings(self) -> dict[str, tf.Tensor]:
        """`{"user": [T, K_U, D], "item": [T, K_I, D]}` of a model that has them, else {}."""
        return {}

    def embedded(self, owner: str) -> tuple[Feature, ...]:
        """The features of an owner that are read by their embeddings: its id, its side features.

        Lists come last: a neighbour has the embeddings before them, entry by entry like its node's.
        """
        found = (f for f in self.spec.select(owner) if f.role in EMBEDDED_ROLES)
        return tuple(sorted(found, key=lambda feature: feature.length is not None))

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        """What is looked up in the id tables; `bags` makes one entry of each."""
        return tuple(
            Lookup(feature.name, vocabulary_of(feature), owner)
            for owner in INPUT_OWNERS
            for feature in self.embedded(owner)
        )

    def bags(
        self,
        features: Features,
        lookup: IdLookup | None = None,
        owners: Collection[str] = INPUT_OWNERS,
    ) -> dict[str, Bags]:
        """The ids of each of `lookups`, by its name.

        Args:
          features: encoded; with `lookup`, raw ones, of which no padding is then looked up.
          lookup: from raw ids to rows.
          owners: whose lookups; `features` need not have those of others.
        """
        found = {}
        for feature in (
            f for owner in INPUT_OWNERS if owner in owners for f in self.embedded(owner)
        ):
            ids = features[feature.name]
            if feature.length is None:
                bags = Bags.of_single_ids(ids)
            else:
                filler = feature.encoded_filler if lookup is None else feature.filler
                bags = Bags.of_means(ids, ids != tf.constant(filler, ids.dtype))
            if lookup is not None:
                bags = bags._replace(ids=lookup.rows(vocabulary_of(feature), bags.ids))
            found[feature.name] = bags
        return found

    def sums(
        self, bags: Mapping[str, Bags], *, training: bool = False, served: bool = False
    ) -> dict[str, tf.Tensor]:
        """The weighted sums of embeddings of each of `bags`: float32 [lists, D] by name.

        Args:
          bags: by the name of their lookup.
          training, served: see `IdEmbeddings`.
        """
        by_table = self.by_table(bags)
        lists = {table: [*of_table.values()] for table, of_table in by_table.items()}
        sums = self.embeddings(lists, training=training, served=served)
        return {
            name: value
            for table, of_table in by_table.items()
            for name, value in zip(of_table, sums[table], strict=True)
        }

    def by_table(self, bags: Mapping[str, Bags]) -> dict[str, dict[str, Bags]]:
        """The given ones of `bags`, by the table that they read and the name of their lookup."""
        found: dict[str, dict[str, Bags]] = {}
        for lookup in self.lookups:
            if lookup.name in bags:
                found.setdefault(lookup.table, {})[lookup.name] = bags[lookup.name]
        return found

    def precompute(self) -> tuple[tf.Variable, ...]:
        """Computes what `sums` reads where it is served and weights alone tell; by default nothing.

        An export calls it once, before anything is traced, and holds the variables, which are no
        weights of the model.
        """
        return ()

    def embed(
        self, features: Features, *, lookup: IdLookup | None = None, training: bool = False
    ) -> dict[str, Any]:
        """Everything that reads the id tables.

        Args:
          features: encoded; with `lookup`, raw ones.
          lookup: from raw ids to rows.
          training: whether there will be gradients.

        Returns:
          The inputs of `network`; `user` [B, D_u] and `item` [B, D_i] are x_u and x_i: the
          embeddings of the id and of the side features, then numbers, one after the other;
          `context` [B, D_c] the same of the row itself, where the data have any.
        """
        missing = [name for name in self.feature_names if name not in features]
        if missing:
            raise ValueError(f"features: must have {missing}, got {sorted(features)}")
        sums = self.sums(self.bags(features, lookup), training=training, served=lookup is not None)
        return self.network_inputs(features, sums)

    def network_inputs(self, features: Features, sums: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        """The inputs of `network`, from the features and what `sums` gave."""
        nodes = {owner: self.node_inputs(owner, features, sums) for owner in INPUT_OWNERS}
        inputs = {owner: x for owner, x in nodes.items() if x is not None}
        inputs["user"] = by_row(inputs["user"], features.get(USER_ROW))
        return inputs

    def node_inputs(
        self, owner: str, features: Features, sums: Mapping[str, tf.Tensor]
    ) -> tf.Tensor | None:
        """x of users, of items or of the context alone, [V, D]; None where there is nothing."""
        parts = [sums[feature.name] for feature in self.embedded(owner)]
        if self.numeric_inputs[owner].width:
            parts.append(self.numeric_inputs[owner](features))
        return tf.concat(parts, axis=-1) if parts else None

    def input_width(self, owner: str) -> int:
        """D of `node_inputs`; 0 where there is nothing."""
        widths = [self.tables[vocabulary_of(f)].dim for f in self.embedded(owner)]
        return sum(widths) + self.numeric_inputs[owner].width

    def node_network(self) -> NodeNetwork | None:
        """The network from what depends on one node alone, as an export serves it.

        None where a model has nothing to split: an export then keeps features and sums of nodes. By
        default a `NodeNetwork` where `reads_concatenated`. To be called when the weights are there;
        only where the compute dtype is float32.
        """
        # A subclass with other inputs has to say itself what is a node's.
        has_default_inputs = type(self).network_inputs is RankingModel.network_inputs
        return NodeNetwork(self) if self.reads_concatenated and has_default_inputs else None

    def network(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        """From `embed`'s answer to logits by task name."""
        raise NotImplementedError

    def network_and_penalties(
        self, inputs: Mapping[str, Any], training: bool = False
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """What `network` gives, and what training minimises beside the losses of the tasks.

        A model with penalties overrides this and `penalty_names`, and lets `network` return the
        first part. Penalties are not computed in evaluation. L1 and L2 are the optimizer's.

        Returns:
          Logits by task name; and by `penalty_names` scalars, float32, each with its coefficient: a
          mean over the rows of this replica, or of weights alone.
        """
        return self.network(inputs, training=training), {}

    def training_labels(self, labels: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The labels that training takes for the data's; evaluation goes by the data's.

        Args:
          labels: by task name, float32 [B], -1 for none.

        Returns:
          The same; by default the labels as they are.
        """
        return dict(labels)

    def begin_epoch(self, epoch: int) -> bool:
        """Called before the first step of an epoch, outside of the training step.

        A model that is trained in phases overrides this, may change its non-trainable weights, and
        fold some into others. Variables decide by what the network goes: it is not traced again.

        Args:
          epoch: from 0. A run that was killed and goes on at the beginning of an epoch calls this
            for it again, with the weights of before the first call.

        Returns:
          Whether a new phase of training begins: the optimizer then begins anew, and the best score
          so far and the patience are forgotten.
        """
        del epoch
        return False

    @property
    def idle_weights(self) -> tuple[tf.Variable, ...]:
        """Trainable weights that the present phase of training leaves as they are.

        Their gradients are 0, and they are among `unpenalized_weights`.
        """
        return ()

    def prediction_towers(self, number: int | None = None) -> PredictionTowers:
        """Towers of the sizes that the options say, for the constructor of a model.

        Args:
          number: how many; None: one a task.
        """
        return PredictionTowers(
            num_tasks=len(self.spec.tasks) if number is None else number,
            units=self.options.tower_units,
            dropout=self.options.dropout,
            name="towers",
        )

    def by_task(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Names the rows of [T, B]."""
        return dict(zip(self.spec.task_names, tf.unstack(logits), strict=True))

    def call(self, features: Features, training: bool = False) -> dict[str, tf.Tensor]:
        inputs = self.embed(features, training=bool(training))
        return self.network(inputs, training=bool(training))

    def diagnostics(self, features: Features) -> dict[str, tf.Tensor]:
        """Inner quantities of a batch worth plotting, by name; not a part of the training step.

        `gates/<task>` and `<stage>_gates/<task>` [X] are the mean weights of the `expert_names`
        (`describe_gates`); other vectors are the mean weights of what their name says.
        """
        return {}

    def describe_gates(self, name: str, gates: tf.Tensor) -> dict[str, tf.Tensor]:
        """What `diagnostics` says of gates.

        Args:
          name: `gates` or `<stage>_gates`.
          gates: [T, B, X].

        Returns:
          By task, `<name>/<task>` [X], the mean weight of each expert, and the scalar
          `<name>_entropy/<task>`, the mean over rows of H(g) / ln X: 1 where a row's gate is even,
          0 where it is one expert's alone.
        """
        gates = tf.cast(gates, tf.float32)
        entropy = -tf.reduce_sum(tf.math.xlogy(gates, gates), axis=-1)
        evenness = entropy / math.log(max(gates.shape[-1], 2))
        found = {}
        for index, task in enumerate(self.spec.task_names):
            found[f"{name}/{task}"] = tf.reduce_mean(gates[index], axis=0)
            found[f"{name}_entropy/{task}"] = tf.reduce_mean(evenness[index])
        return found

    def explain(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """What the network attends to, row by row: [B, ...] by name, of `embed`'s answer.

        Only of models that say so in `explains`.
        """
        raise NotImplementedError(f"{type(self).__name__} explains nothing")

    def zero_features(self, batch_size: int = 1) -> dict[str, tf.Tensor]:
        """Encoded features of unknown users and items without a graph."""

        def missing(feature: Feature) -> tf.Tensor:
            shape = [batch_size, *feature.shape]
            if feature.vocabulary is not None:
                hashed = self.spec.vocabulary(feature.vocabulary).hash_rows
                kind = tf.int64 if hashed else tf.int32
                return tf.fill(shape, tf.constant(feature.encoded_filler, kind))
            dtype = {"float": tf.float32, "int64": tf.int64}[feature.dtype]
            return tf.broadcast_to(tf.constant(feature.filler, dtype), shape)

        features = [self.spec.feature(name) for name in self.feature_names]
        found = {feature.name: missing(feature) for feature in features}
        for feature in features:
            for column in neighbor_side_features(self.spec, feature):
                name = side_feature_of(feature.name, column)
                found[name] = tf.zeros_like(found[feature.name], tf.int32)
        return found

    def get_config(self) -> dict[str, Any]:
        return {
            "spec": self.spec.to_json(),
            "options": dataclasses.asdict(self.options),
            "assets": dict(self.asset_paths),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> RankingModel:
        return cls(
            spec=DatasetSpec.from_json(config["spec"]),
            options=from_json(cls.options_class, config["options"], "config"),
            assets=config["assets"],
        )

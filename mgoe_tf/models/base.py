"""What all ranking models have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from input_pipeline.spec import USER_ROW, DatasetSpec, Feature
from mgoe_tf.config import ModelOptions
from mgoe_tf.layers.id_embeddings import Bags, IdEmbeddings
from mgoe_tf.layers.id_lookup import IdLookup, neighbor_side_features, side_feature_of
from mgoe_tf.layers.user_rows import by_row

OWNERS = ("user", "item")
Features = Mapping[str, tf.Tensor]


class RankingModel(tf.keras.Model):
    """A network from the encoded features of rows to one logit a task.

    A model is cut in two. `embed` reads the id tables; its shapes follow the data (distinct ids of
    the batch) and its gradients are sparse. `network` is everything else: dense, of static shapes,
    and what a training step hands to XLA where it is asked to. A new model writes its own
    `network`; one that reads more than ids and side features extends `feature_names`, `bags` and
    `network_inputs` too.

    Args:
      spec: of the data set; gives tasks, features and sizes of tables.
      options: sizes of the network.

    Call arguments:
      features: as encoded by `IdLookup`: ids and neighbours int32 embedding rows, the rest as in
        the data set; at least `feature_names`. Rows may share users: with `user_row`, int32 [B],
        the user's features are those of R users, and row b is about user `user_row[b]`. What
        depends on the user alone is then computed R times.

    Returns:
      `{task: float32 [B]}`, logits.
    """

    def __init__(self, *, spec: DatasetSpec, options: ModelOptions, **kwargs: Any) -> None:
        # Edge weights must enter uncast, whatever the precision policy.
        super().__init__(**{**kwargs, "autocast": False})
        self.spec = spec
        self.options = options
        self.embeddings = IdEmbeddings(
            sizes={v.name: v.embedded for v in spec.vocabularies},
            dim=options.embedding_dim,
            name="id_embeddings",
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The input features that the model reads: by default ids and side features."""
        return tuple(name for owner in OWNERS for name in self.columns(owner))

    @property
    def unpenalized_weights(self) -> tuple[tf.Variable, ...]:
        """Dense weights that the L1 and L2 penalties would ruin."""
        return ()

    @property
    def last_shared_weights(self) -> tuple[tf.Variable, ...]:
        """Kernels of the last layer that the losses of all tasks reach; () where none is known."""
        return ()

    def columns(self, owner: str) -> tuple[str, ...]:
        """The id and the side features of `user` or `item`."""
        return (f"{owner}_id", *self.spec.side_features(owner))

    def bags(self, features: Features, lookup: IdLookup | None = None) -> dict[str, list[Bags]]:
        """The lookups in each id table; the first one is the row's own id.

        Args:
          features: encoded; with `lookup`, raw ones, of which no padding is then looked up.
          lookup: from raw ids to rows.
        """
        return {
            name: [
                Bags.of_single_ids(
                    features[name] if lookup is None else lookup.rows(name, features[name])
                )
            ]
            for owner in OWNERS
            for name in self.columns(owner)
        }

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
          embeddings of the id and of the side features, one after the other.
        """
        missing = [name for name in self.feature_names if name not in features]
        if missing:
            raise ValueError(f"features: must have {missing}, got {sorted(features)}")
        sums = self.embeddings(
            self.bags(features, lookup), training=training, served=lookup is not None
        )
        return self.network_inputs(features, sums)

    def network_inputs(
        self, features: Features, sums: Mapping[str, list[tf.Tensor]]
    ) -> dict[str, Any]:
        """The inputs of `network`, from the features and the lookups of `bags`."""
        user, item = (
            tf.concat([sums[name][0] for name in self.columns(owner)], axis=-1) for owner in OWNERS
        )
        return {"user": by_row(user, features.get(USER_ROW)), "item": item}

    def network(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        """From `embed`'s answer to logits by task name."""
        raise NotImplementedError

    def by_task(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Names the rows of [T, B]."""
        return dict(zip(self.spec.task_names, tf.unstack(logits), strict=True))

    def call(self, features: Features, training: bool = False) -> dict[str, tf.Tensor]:
        inputs = self.embed(features, training=bool(training))
        return self.network(inputs, training=bool(training))

    def diagnostics(self, features: Features) -> dict[str, tf.Tensor]:
        """Inner quantities of a batch worth plotting, by name; not a part of the training step."""
        return {}

    def zero_features(self, batch_size: int = 1) -> dict[str, tf.Tensor]:
        """Encoded features of unknown users and items without a graph."""

        def zeros(feature: Feature) -> tf.Tensor:
            shape = [batch_size] if feature.length is None else [batch_size, feature.length]
            encoded = feature.name.endswith("_macro") or feature.dtype == "float"
            dtype = {"float": tf.float32, "int64": tf.int64}[feature.dtype] if encoded else tf.int32
            return tf.zeros(shape, dtype)

        found = {name: zeros(self.spec.feature(name)) for name in self.feature_names}
        for name in self.feature_names:
            for column in neighbor_side_features(self.spec, name):
                found[side_feature_of(name, column)] = tf.zeros_like(found[name])
        return found

    def get_config(self) -> dict[str, Any]:
        return {"spec": self.spec.to_json(), "options": dataclasses.asdict(self.options)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> RankingModel:
        return cls(
            spec=DatasetSpec.from_json(config["spec"]), options=ModelOptions(**config["options"])
        )

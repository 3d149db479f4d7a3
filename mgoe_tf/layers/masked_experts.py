"""Experts that are masked copies of one network."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mgoe_tf.layers.batch_norm import BatchNorm
from mgoe_tf.layers.dropout import Dropout
from mgoe_tf.layers.initializers import StackedGlorotUniform

_OPEN = 0.5  # mu of a mask at first, and from which on a mask that is made binary is open


class MaskedExperts(tf.keras.layers.Layer):
    """h_e of one base network W, whose layers are Dropout(ReLU(BN(in M_e))), in two phases.

        model mask:    M_e = diag(z) W,                z = clip(mu + eps, 0, 1), mu [F]
        expert masks:  M_e = diag(k) (z_e * W),  z_e = clip(mu_e + eps_e, 0, 1), mu_e [F, H]

    eps are normal, of deviation sigma, in training and 0 otherwise; every mu is 0.5 at first. In
    the first phase all experts are the same network. `begin_expert_masks` ends it: W becomes
    diag(z) W, k, which was 1, becomes 0 where z is 0, and mu stays as it is from then on. W and the
    normalisation are those of all experts in both phases. Weights of the other phase have gradient
    0. Variables decide by which phase it goes, and no shape changes: what a row of W that k closes
    would cost is paid on.

    There are no biases, which the normalisation would take out. The gradient of a mask is 0 where
    mu + eps is outside [0, 1], where it can return by noise alone.

    Args:
      num_experts: E.
      units: widths H of the layers.
      deviation: sigma, above 0.
      dropout: rate after each layer.
      model_mask: whether the first phase is there; without, expert masks begin at once.
      binarize_at_eval: whether masks are 0 or 1 out of training, 1 where mu is at least 0.5.
      normalize_by_expert: whether, in training, each expert's outputs are normalised by themselves.
        Else they are by those of all experts, as they are out of training in either case.

    Call arguments:
      inputs: [B, F].
      training: whether to draw noise, drop, and normalise by the batch.

    Returns:
      [E, B, H], H the last of `units`.

    Example:

    >>> MaskedExperts(num_experts=3, units=[64, 32], deviation=0.5)(tf.zeros([5, 20])).shape
    TensorShape([3, 5, 32])
    """

    def __init__(
        self,
        *,
        num_experts: int,
        units: Sequence[int],
        deviation: float,
        dropout: float = 0.0,
        model_mask: bool = True,
        binarize_at_eval: bool = False,
        normalize_by_expert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_experts < 1:
            raise ValueError(f"num_experts: must be at least 1, got {num_experts}")
        if not units or min(units) < 1:
            raise ValueError(f"units: must be one or more widths of at least 1, got {list(units)}")
        if not deviation > 0:
            raise ValueError(f"deviation: must be above 0, got {deviation}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: must be in [0, 1), got {dropout}")
        self.num_experts = num_experts
        self.units = tuple(units)
        self.deviation = deviation
        self.dropout = dropout
        self.model_mask = model_mask
        self.binarize_at_eval = binarize_at_eval
        self.normalize_by_expert = normalize_by_expert

    def build(self, input_shape: Any) -> None:
        widths = (input_shape[-1], *self.units)
        shapes = [widths[layer : layer + 2] for layer in range(len(self.units))]
        half = tf.keras.initializers.Constant(_OPEN)
        self.kernels, self.neuron_masks, self.expert_masks, self.kept = [], [], [], []
        self.norms = []
        for layer, (rows, columns) in enumerate(shapes):
            self.kernels.append(
                self.add_weight(
                    name=f"kernel_{layer}",
                    shape=[1, rows, columns],
                    initializer=StackedGlorotUniform(),
                )
            )
            self.neuron_masks.append(
                self.add_weight(name=f"neuron_mask_{layer}", shape=[1, rows, 1], initializer=half)
            )
            self.expert_masks.append(
                self.add_weight(
                    name=f"expert_masks_{layer}",
                    shape=[self.num_experts, rows, columns],
                    initializer=half,
                )
            )
            self.kept.append(
                self.add_weight(
                    name=f"kept_{layer}", shape=[1, rows, 1], initializer="ones", trainable=False
                )
            )
            norm = BatchNorm(name=f"norm_{layer}")
            norm.build([None, columns])
            self.norms.append(norm)
        self.has_expert_masks = self.add_weight(
            name="has_expert_masks",
            shape=[],
            initializer="zeros" if self.model_mask else "ones",
            trainable=False,
        )
        # tf.keras.utils.set_random_seed seeds Python's random numbers too
        with tf.init_scope():
            self.generator = tf.random.Generator.from_seed(random.randrange(2**31))
        self.dropout_layer = Dropout(rate=self.dropout, dtype=self.dtype_policy)
        self.dropout_layer.build(input_shape)
        super().build(input_shape)

    def in_second_phase(self) -> tf.Tensor:
        """Whether experts have masks of their own by now, bool."""
        return tf.cast(self.has_expert_masks, tf.float32) > 0.5

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        outputs = inputs
        masks = (
            self._drawn_masks()
            if training
            else [self._masks(layer) for layer in range(len(self.units))]
        )
        for kernel, mask, norm in zip(self.kernels, masks, self.norms, strict=True):
            weights = tf.cast(mask, self.compute_dtype) * tf.cast(kernel, self.compute_dtype)
            if outputs.shape.rank == 2:
                # What all experts make of the same input, in one product. flat: [F, E * H]
                flat = tf.reshape(tf.transpose(weights, [1, 0, 2]), [weights.shape[1], -1])
                products = tf.reshape(outputs @ flat, [-1, self.num_experts, kernel.shape[-1]])
                outputs = tf.transpose(products, [1, 0, 2])
            else:
                outputs = tf.matmul(outputs, weights)
            outputs = tf.nn.relu(self._normalized(norm, outputs, training))
            outputs = self.dropout_layer(outputs, training=training)
        return outputs

    def _normalized(self, norm: BatchNorm, outputs: tf.Tensor, training: bool | None) -> tf.Tensor:
        if training and self.normalize_by_expert:
            # One after the other: each moves the statistics that the next one moves on.
            return tf.stack([norm(one, training=True) for one in tf.unstack(outputs)])
        rows = tf.reshape(outputs, [-1, outputs.shape[-1]])
        rows = norm(rows, training=training)
        return tf.reshape(rows, [self.num_experts, -1, outputs.shape[-1]])

    def _drawn_masks(self) -> list[tf.Tensor]:
        """The masks of each layer with noise, [E, F, H]."""
        seeds = tf.unstack(self.generator.make_seeds(2 * len(self.units)), axis=1)
        masks = []
        for layer in range(len(self.units)):
            neurons, experts = (
                self.deviation * tf.random.stateless_normal(mask.shape, seed)
                for mask, seed in zip(
                    (self.neuron_masks[layer], self.expert_masks[layer]),
                    seeds[2 * layer : 2 * layer + 2],
                    strict=True,
                )
            )
            masks.append(self._masks(layer, neurons, experts))
        return masks

    def _masks(
        self, layer: int, neuron_noise: tf.Tensor | None = None, noise: tf.Tensor | None = None
    ) -> tf.Tensor:
        """By what the kernel of a layer is multiplied, float32 [E, F, H]."""
        neurons = self._opened(self.neuron_masks[layer], neuron_noise)
        experts = self._opened(self.expert_masks[layer], noise)
        kept = tf.cast(self.kept[layer], tf.float32)
        return tf.where(self.in_second_phase(), kept * experts, neurons)

    def _opened(self, mask: tf.Variable, noise: tf.Tensor | None = None) -> tf.Tensor:
        """clip(mu + eps, 0, 1), without noise made binary where that is asked for."""
        mu = tf.cast(mask, tf.float32)
        if noise is not None:
            return tf.clip_by_value(mu + noise, 0.0, 1.0)
        if self.binarize_at_eval:
            return tf.cast(mu >= _OPEN, tf.float32)
        return tf.clip_by_value(mu, 0.0, 1.0)

    def begin_expert_masks(self) -> None:
        """Ends the first phase: folds its masks into the kernels and closes rows for good."""
        for kernel, mask, kept in zip(self.kernels, self.neuron_masks, self.kept, strict=True):
            opened = self._opened(mask)
            kernel.assign(opened * kernel)
            kept.assign(tf.cast(opened > 0.0, tf.float32))
        self.has_expert_masks.assign(1.0)

    def expected_open(self) -> tuple[tf.Tensor, tf.Tensor]:
        """What the penalties are of, two scalars.

        Returns:
          sum_l mean Phi(mu / sigma), the share of neurons that noise leaves open, summed over
          layers, 0 in the second phase; and sum_e sum_l mean Phi(mu_e / sigma) over the rows that
          are kept, 0 in the first phase.
        """
        neurons, experts = [], []
        for mask, own, kept in zip(self.neuron_masks, self.expert_masks, self.kept, strict=True):
            neurons.append(tf.reduce_mean(self._probability(mask)))
            weights = tf.cast(kept, tf.float32)
            rows = tf.reduce_sum(self._probability(own) * weights, axis=[0, 1])
            experts.append(tf.math.divide_no_nan(tf.reduce_mean(rows), tf.reduce_sum(weights)))
        second = self.in_second_phase()
        zero = tf.zeros([])
        return (
            tf.where(second, zero, tf.add_n(neurons)),
            tf.where(second, tf.add_n(experts), zero),
        )

    def _probability(self, mask: tf.Variable) -> tf.Tensor:
        """Phi(mu / sigma), by which mu + eps is above 0."""
        return 0.5 * (
            1.0 + tf.math.erf(tf.cast(mask, tf.float32) / (self.deviation * math.sqrt(2)))
        )

    def sparsity(self) -> dict[str, tf.Tensor]:
        """How much masks close out of training, scalars by name.

        Returns:
          By layer `closed_neurons/<layer>`, the share of its input neurons whose mask is 0; in the
          second phase `closed_weights/<layer>`, the share of entries of its kernel that an expert
          does not use, on average over experts; and `openness/<layer>`, the mean of the masks.
        """
        found = {}
        for layer, kernel in enumerate(self.kernels):
            masks = tf.broadcast_to(self._masks(layer), [self.num_experts, *kernel.shape[1:]])
            closed = tf.cast(masks == 0.0, tf.float32)
            # a neuron is closed where no expert uses it for anything
            rows = tf.reduce_min(closed, axis=[0, 2])
            found[f"closed_neurons/layer_{layer}"] = tf.reduce_mean(rows)
            found[f"closed_weights/layer_{layer}"] = tf.reduce_mean(closed)
            found[f"openness/layer_{layer}"] = tf.reduce_mean(masks)
        return found

    def get_config(self) -> dict[str, Any]:
        names = ("num_experts", "units", "deviation", "dropout", "model_mask")
        switches = ("binarize_at_eval", "normalize_by_expert")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in (*names, *switches)},
        }

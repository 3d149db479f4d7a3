"""The layers that models are composed of: one public layer a file.

Axes in shape comments: B batch, T tasks, X experts that one task uses, K macro nodes, L neighbours,
D embedding width, H units. Task and expert axes lead, so that a bank of experts is one batched
product.
"""

from mgoe_tf.keras_seeds import accept_float_bounds

accept_float_bounds()

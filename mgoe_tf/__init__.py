"""MGOE (Macro Graph of Experts): a multi-task ranking model, its training and evaluation."""

import input_pipeline  # noqa: F401  (selects Keras 2 before TensorFlow is imported)

__version__ = "0.1.0"

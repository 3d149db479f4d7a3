"""Export to SavedModel, a server like TensorFlow Serving, a client without TensorFlow."""

import input_pipeline  # noqa: F401  (selects Keras 2 before TensorFlow is imported)

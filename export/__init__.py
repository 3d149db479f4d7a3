"""Export to SavedModel, a server like TensorFlow Serving, a client without TensorFlow."""

import input_pipeline  # noqa: F401  (sets how much TensorFlow prints, before it is imported)

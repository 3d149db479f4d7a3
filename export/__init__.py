"""SavedModel export, an embedded TensorFlow Serving compatible server, a client without TensorFlow."""

import input_pipeline  # noqa: F401  (selects Keras 2 before TensorFlow is imported)

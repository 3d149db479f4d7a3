"""How quick all models are on a GPU: in TensorFlow, or as modules that JAX's compiler takes."""

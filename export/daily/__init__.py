"""Daily life of a model, tried on a generated log: each day a new data set, model and version."""

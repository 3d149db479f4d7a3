"""The generated world: a credible log whose true probabilities are known."""

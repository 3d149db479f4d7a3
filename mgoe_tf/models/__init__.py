"""Models: networks from encoded features to logits by task name."""

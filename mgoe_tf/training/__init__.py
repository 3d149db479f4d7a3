"""Training: without flags, so that tests and notebooks call it."""

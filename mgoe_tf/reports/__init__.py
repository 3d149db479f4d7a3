"""Pages about trained models."""

"""What computes the stages of preparation: `engine.py` says which, `registry.py` by whom."""

"""What computes the stages of preparation: `engine.py` says what they are, `registry.py` by whom."""

"""The engine that computes with arrays in the memory of one process."""

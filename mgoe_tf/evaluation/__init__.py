"""Exact metrics and what is told of them."""

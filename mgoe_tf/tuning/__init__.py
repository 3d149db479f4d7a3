"""Hyper-parameter search: spaces, samplers, pruning, the study and its trials."""

"""The engine that computes on Spark: Spark sorts, joins and shuffles, NumPy computes on the parts.

Files that lie between stages are in `Workspace`, which all executors see; nodes and pairs stay
there, and what comes back to the driver is of constant size or K x r.
"""

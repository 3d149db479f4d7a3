"""The four neighbour sets of a macro graph expert, and what each one reads (model.md 2.3)."""

from __future__ import annotations

# The kind of macro nodes that are the neighbours.
NODES = {"user_1hop": "item", "user_2hop": "user", "item_1hop": "user", "item_2hop": "item"}
NEIGHBOR_SETS = tuple(NODES)
# The target node whose edges they are.
OWNERS = {"user_1hop": "user", "user_2hop": "user", "item_1hop": "item", "item_2hop": "item"}
NEIGHBOR_SETS = tuple(NODES)
# The target node whose embedding is the attention's query, by reading.
QUERIES = {"target": NODES, "owner": OWNERS}

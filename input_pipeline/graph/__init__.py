"""The macro task merging graph (MTMG): pure functions on arrays."""

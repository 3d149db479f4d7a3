"""What a provider of features is told, and what it answers.

A provider says which features it adds to a data set, how the columns of a node's table that hold
them are computed at a cut from what came before it, and how nodes first seen later read. A new
kind of feature is a provider in a file of its own and a line in `registry.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from scipy import sparse

from input_pipeline.feature import Feature, Vocabulary
from input_pipeline.graph.merging_matrix import Pairs
from input_pipeline.graph.node_table import NodeTable
from input_pipeline.log.interactions import Interactions, Past


@dataclasses.dataclass(frozen=True)
class LogFacts:
    """What is known of a log before anything is computed of it.

    Attributes:
      tasks: names in task order.
      vocabularies: of ids, and of side and context features that are ids, by name.
      num_macro_nodes: K_U and K_I, under the keys `user` and `item`.
      max_neighbors: L.
      has_clock: whether rows have a timestamp.
      list_lengths: of columns whose cells hold several ids, by name, how many at most.
      numbers: of columns of numbers, by name, their owner and kind of transform.
      activity: whether activity features were asked for.
      timestamp_unit: one of UNITS where rows have a timestamp.
    """

    tasks: tuple[str, ...]
    vocabularies: Mapping[str, Vocabulary]
    num_macro_nodes: Mapping[str, int]
    max_neighbors: int
    has_clock: bool
    list_lengths: Mapping[str, int] = dataclasses.field(default_factory=dict)
    numbers: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    activity: bool = False
    timestamp_unit: str | None = None


@dataclasses.dataclass(frozen=True)
class Since:
    """What was known at an earlier cut of the same grouping, and what has changed since.

    Attributes:
      tables: by owner, of all nodes known then.
      touched: by owner, ascending: the nodes of all pairs that were touched since.
      joined: by owner, ascending: the nodes that have a macro node since then.
    """

    tables: Mapping[str, NodeTable]
    touched: Mapping[str, NDArray[Any]]
    joined: Mapping[str, NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Cut:
    """What is known at one cut. U and I users and items have appeared.

    Attributes:
      facts: of the log.
      past: events up to the cut.
      pairs: (user, item) pairs, [P].
      matrix: E, CSR [U, I].
      macro: int32 [U] and [I] by owner, -1 for cold nodes.
      codes: by owner, int64: the order of raw ids by vocabulary row.
      since: what a provider may go on from; None: it computes its columns of all nodes.
    """

    facts: LogFacts
    past: Past
    pairs: Pairs
    matrix: sparse.csr_matrix
    macro: Mapping[str, NDArray[Any]]
    codes: Mapping[str, NDArray[Any]]
    since: Since | None = None

    def known(self, owner: str) -> int:
        """U or I."""
        return len(self.macro[owner])


class Provider:
    """Adds features to the rows of a data set. Override what applies; by default, nothing."""

    def describe(self, facts: LogFacts) -> tuple[Feature, ...]:
        """The features, in the order in which a row holds them.

        What a model reads a number through is found when the data set is written: it takes mean,
        deviation and `has_missing` of a `Transform` from the events up to t_{n-1}.
        """
        return ()

    def entry_names(self, feature: Feature, tasks: tuple[str, ...]) -> tuple[str, ...]:
        """What the entries of a feature are, in words; () for features of other providers.

        Only of features of a fixed number of entries with a meaning each.

        Args:
          feature: any of the data set's.
          tasks: names in task order.
        """
        return ()

    def columns(self, cut: Cut) -> Mapping[str, NodeTable]:
        """By owner, the columns of the table of all nodes known at a cut, [U, ...] or [I, ...].

        Computed from what came before the cut alone. A feature is held by the column of its name,
        or of the feature that it is aligned with. A dense column holds values, or the rows of the
        feature's vocabulary; a list column holds `rows` of the vocabulary, and `weights` for the
        features that are aligned with it.
        """
        return {}

    def of_events(self, log: Interactions, events: NDArray[Any]) -> NodeTable:
        """Columns of the context of rows, entry by entry of the events that tell them, [E]."""
        return {}

    def next_window(self, past: Past, nodes: Mapping[str, NDArray[Any]]) -> Mapping[str, NodeTable]:
        """By owner, columns as the rows of the window after the past see them.

        For features that new nodes bring along with their first event, such as a category. Columns
        that are not given here go on from the last cut, new nodes having what the column says of
        missing ones.

        Args:
          past: up to the cut before the window.
          nodes: by owner, the nodes of the window that the columns are of: ascending vocabulary
            rows.
        """
        return {}


def other(owner: str) -> str:
    """`item` of `user`, and the other way round."""
    return {"user": "item", "item": "user"}[owner]

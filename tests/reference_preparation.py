"""Data preparation word by word, with dicts and loops: slow, and independent of input_pipeline.

Only the draws are taken as given: the permutation of `random`, the macro nodes of history, and the
negatives. Everything else of a data set is computed here from the lines of the log.
"""

from __future__ import annotations

import dataclasses
import fractions
import functools
import itertools
import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

# Of a feature: an id, several of them, a number (NaN: none), or None where there is no id.
Value: TypeAlias = "int | bytes | tuple[int | bytes, ...] | float | None"


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of the log: raw ids, the tasks that it shows, and those that it does not tell of."""

    user: int | bytes
    item: int | bytes
    tasks: frozenset[int]
    timestamp: int | None = None
    unlabeled: frozenset[int] = frozenset()
    user_features: tuple[tuple[str, Value], ...] = ()
    item_features: tuple[tuple[str, Value], ...] = ()
    context_features: tuple[tuple[str, Value], ...] = ()


def rank_of_sets(levels: Sequence[int]) -> dict[frozenset[int], int]:
    """rho of every non-empty set of tasks, by enumerating and sorting them."""
    tasks = range(len(levels))
    sets = [frozenset(c) for n in tasks for c in itertools.combinations(tasks, n + 1)]

    def key(tasks_of_set):
        ordered = sorted(set(levels), reverse=True)
        return tuple(sum(levels[t] == level for t in tasks_of_set) for level in ordered)

    keys = sorted({key(s) for s in sets})
    return {s: keys.index(key(s)) + 1 for s in sets}


def positions_from_the_end(users, cuts):
    """By default of `order`: by line, its position, and the positions at which windows begin."""
    lines_of = {}
    for n, user in enumerate(users):
        lines_of.setdefault(user, []).append(n)
    positions, others = [None] * len(users), []
    for lines in lines_of.values():
        kept, last = lines[:1], lines[1:]
        if last:
            positions[last.pop()] = 2.0
        if last:
            positions[last.pop()] = 1.0
        kept += last
        others += [(fractions.Fraction(k, len(kept)), n) for k, n in enumerate(kept)]
    for rank, (_, n) in enumerate(sorted(others)):
        positions[n] = rank / len(others)
    return positions, [*(cut / cuts[-2] for cut in cuts[:-2]), 1.0, 2.0]


class Reference:
    """The windows, vocabularies, graphs and rows of a log.

    Args:
      lines: in the order of the file.
      times: by line, what takes the place of a timestamp.
      positions: by line, what the cuts apply to where that is not the time (`order`).
    """

    def __init__(self, lines, times, cuts, num_tasks, levels, beta, limit, positions=None):
        self.lines, self.times = lines, times
        self.num_tasks, self.beta, self.limit = num_tasks, beta, limit
        self.rho = rank_of_sets(levels)
        if positions is None:
            ordered = sorted(times)
            # method="lower" of numpy.quantile: the order statistic at floor(q (N - 1)).
            self.cut_times = [ordered[int(np.floor(q * (len(ordered) - 1)))] for q in cuts]
            self.window = [sum(time > cut for cut in self.cut_times) for time in times]
        else:
            self.cut_times = list(cuts)
            self.window = [sum(p >= cut for cut in cuts) for p in positions]
        self.num_windows = len(cuts) + 1
        # Lines by window, then time, then line.
        self.order = sorted(range(len(lines)), key=lambda n: (self.window[n], times[n], n))
        for name in ("known", "scores", "neighbors", "side_features", "pair_rows", "touched"):
            setattr(self, name, functools.cache(getattr(self, name)))
        self.users = self.vocabulary(lambda line: line.user)
        self.items = self.vocabulary(lambda line: line.item)

    def vocabulary(self, column):
        first = {}
        for n in self.order:
            first.setdefault(column(self.lines[n]), (self.window[n], self.times[n]))
        return sorted(first, key=lambda value: (*first[value], value))

    def known(self, column, window):
        """How many values of a column appear in the windows before `window`."""
        return len({column(self.lines[n]) for n in self.order if self.window[n] < window})

    def before(self, window):
        return [n for n in self.order if self.window[n] < window]

    def sets(self, window):
        """C of every pair that the graph at the cut before `window` knows, empty sets left out."""
        found = {}
        for n in self.before(window):
            if self.lines[n].tasks:
                pair = self.lines[n].user, self.lines[n].item
                found[pair] = found.get(pair, frozenset()) | self.lines[n].tasks
        return found

    def scores(self, window):
        """S as a dict (Eq. 6)."""
        return {pair: self.score(self.rho[c]) for pair, c in self.sets(window).items()}

    def score(self, rho):
        if self.beta == 0:
            return math.log(rho + 1)
        return ((rho + 1) ** self.beta - 1) / self.beta

    def matrix(self, window):
        """S as an array in vocabulary order."""
        users = self.users[: self.known(lambda line: line.user, window)]
        items = self.items[: self.known(lambda line: line.item, window)]
        scores = self.scores(window)
        return np.array([[scores.get((u, i), 0.0) for i in items] for u in users])

    def neighbors(self, window, side, task):
        """By raw id: [(neighbour, weight)], newest first."""
        scores, latest = self.scores(window), {}
        for n in self.before(window):
            line = self.lines[n]
            if task in line.tasks:
                pair = line.user, line.item
                latest[pair] = max(latest.get(pair, self.times[n]), self.times[n])
        lists = {}
        for (user, item), time in latest.items():
            node, other = (user, item) if side == "user" else (item, user)
            lists.setdefault(node, []).append((-time, other, scores[user, item]))
        return {
            node: [(other, weight) for _, other, weight in sorted(entries)[: self.limit]]
            for node, entries in lists.items()
        }

    def task_table(self, window, macro, num_macro_nodes):
        """L as a dict from user to [T, K_I], given the macro nodes by item."""
        tables = {}
        for (user, item), tasks in self.sets(window).items():
            table = tables.setdefault(user, np.zeros((self.num_tasks, num_macro_nodes)))
            for task in tasks:
                if macro[item] >= 0:
                    table[task, macro[item]] += 1
        return tables

    def side_features(self, window, side):
        """By raw id and name: of the latest event before `window`, else of the first one in it."""
        found = {}
        for n in self.order:
            line = self.lines[n]
            node = line.user if side == "user" else line.item
            features = dict(line.user_features if side == "user" else line.item_features)
            if self.window[n] < window:
                found[node] = features
            elif self.window[n] == window:
                found.setdefault(node, features)
        return found

    def ids_of(self, owner, name):
        """A function from a line to the ids that it tells by a feature: none, one or several."""

        def ids(line):
            value = dict(getattr(line, f"{owner}_features"))[name]
            return () if value is None else value if isinstance(value, tuple) else (value,)

        return ids

    def vocabulary_of(self, ids):
        """All ids in order of first appearance, `ids` being a function as `ids_of` gives."""
        first = {}
        for n in self.order:
            for value in ids(self.lines[n]):
                first.setdefault(value, (self.window[n], self.times[n]))
        return sorted(first, key=lambda value: (*first[value], value))

    def contexts(self, window):
        """By (user, item), the context features of the pair's first line in the window."""
        found = {}
        for n in self.order:
            line = self.lines[n]
            if self.window[n] == window:
                found.setdefault((line.user, line.item), dict(line.context_features))
        return found

    def event_contexts(self, window):
        """The context features of each line of the window, in the order of `event_rows`."""
        lines = [self.lines[n] for n in self.order if self.window[n] == window]
        return [dict(line.context_features) for line in lines]

    def activity(self, window, side):
        """By raw id, ln(1 + events) by task, and days since the first and the latest event."""
        events = {}
        for n in self.before(window):
            line = self.lines[n]
            events.setdefault(line.user if side == "user" else line.item, []).append(line)
        now = self.cut_times[window - 1] if window else None
        found = {}
        for node, lines in events.items():
            counts = [sum(task in line.tasks for line in lines) for task in range(self.num_tasks)]
            times = [line.timestamp for line in lines]
            ages = [(now - min(times)) / 86400, (now - max(times)) / 86400]
            found[node] = [math.log(1 + count) for count in counts] + ages
        return found

    def numbers(self, owner, name):
        """What the lines up to t_{n-1} tell by a numeric feature."""
        last = self.num_windows - 2
        lines = [self.lines[n] for n in self.order if self.window[n] < last]
        return [dict(getattr(line, f"{owner}_features"))[name] for line in lines]

    def pair_rows(self, window):
        """{(user, item): (labels, timestamp)}; a label is None where no event tells of it."""
        rows = {}
        for n in self.order:
            if self.window[n] != window:
                continue
            line = self.lines[n]
            pair = line.user, line.item
            labels, timestamp = rows.get(pair, ((None,) * self.num_tasks, line.timestamp))
            told = [
                1
                if t in line.tasks or labels[t] == 1
                else (labels[t] if t in line.unlabeled else 0)
                for t in range(self.num_tasks)
            ]
            rows[pair] = tuple(told), timestamp
        return rows

    def event_rows(self, window):
        """[(user, item, labels, timestamp)]."""
        rows = []
        for n in self.order:
            if self.window[n] == window:
                line = self.lines[n]
                labels = tuple(
                    1 if t in line.tasks else None if t in line.unlabeled else 0
                    for t in range(self.num_tasks)
                )
                rows.append((line.user, line.item, labels, line.timestamp))
        return rows

    def touched(self, window):
        """The pairs of all lines up to the end of `window`."""
        return {(self.lines[n].user, self.lines[n].item) for n in self.before(window + 1)}

    def window_items(self, window):
        return {self.lines[n].item for n in self.order if self.window[n] == window}


def macro_edges(matrix, user_macro, item_macro, num_users, num_items):
    """One and two hops of users and items (Eq. 10), by summing over neighbours one by one."""
    one_user = np.zeros((len(user_macro), num_items))
    one_item = np.zeros((len(item_macro), num_users))
    two_user = np.zeros((len(user_macro), num_users))
    two_item = np.zeros((len(item_macro), num_items))
    for u, i in zip(*np.nonzero(matrix), strict=True):
        if item_macro[i] >= 0:
            one_user[u, item_macro[i]] += matrix[u, i]
        if user_macro[u] >= 0:
            one_item[i, user_macro[u]] += matrix[u, i]
    for u, i in zip(*np.nonzero(matrix), strict=True):
        two_user[u] += matrix[u, i] * one_item[i]
        two_item[i] += matrix[u, i] * one_user[u]
    return {
        "user_1hop": one_user,
        "user_2hop": two_user,
        "item_1hop": one_item,
        "item_2hop": two_item,
    }


def grouping_weights(matrix, preference=True, activity="baseline", omega=(2.0, 0.5), baseline=None):
    """The rows of S that have an interaction, and omega of each, by default thresholds (Eq. 8)."""
    if activity == "copreference":
        similar = matrix @ matrix.T
        sums = similar.sum(axis=1) - np.diag(similar)
    else:
        b = matrix[matrix > 0].mean() if baseline is None else baseline
        sums = np.array([sum(e for e in row if e > b) for row in matrix])
    nodes = [v for v, row in enumerate(matrix) if row.any()]
    high, low = np.quantile(sums[nodes], 0.8), np.quantile(sums[nodes], 0.2)
    weights = [omega[0] if sums[v] > high else omega[1] if sums[v] < low else 1.0 for v in nodes]
    return nodes, np.array(weights) if preference else np.ones(len(nodes))


def unit(row):
    return row / np.linalg.norm(row) if row.any() else row


@dataclasses.dataclass
class RowPlaces:
    """x_v = S_v / ||S_v||, of [S > 0] without preference; `known`: users and items of history."""

    known: tuple[int, int]
    preference: bool = True

    def of(self, row, owner):
        row = row[: self.known[1 if owner == "user" else 0]]
        return unit(row if self.preference else (row > 0).astype(float))

    def history(self, matrix, owner):
        return np.array([self.of(row, owner) for row in matrix])


@dataclasses.dataclass
class SpectralPlaces:
    """Places in a truncated SVD, which is taken as given; `check` says whether it is one."""

    projection: dict[str, np.ndarray]
    scale: str = "none"
    power: int = 1
    preference: bool = True

    def decomposed(self, matrix):
        """S' of users by items."""
        matrix = matrix if self.preference else (matrix > 0).astype(float)
        if self.scale == "none":
            return matrix
        sums = [matrix.sum(axis=1), matrix.sum(axis=0)]
        if self.scale == "regularized":
            sums = [degrees + sum(degrees) / len(degrees) for degrees in sums]
        for owner, degrees in zip(("user", "item"), sums, strict=True):
            np.testing.assert_allclose(self.projection[f"{owner}_degree"], degrees)
        root = np.outer(np.sqrt(sums[0]), np.sqrt(sums[1]))
        return np.divide(matrix, root, out=np.zeros_like(matrix), where=root > 0)

    def check(self, matrix, dim):
        """The largest singular triplets of S', as numpy's dense SVD has them."""
        matrix = self.decomposed(matrix)
        r = min(dim, max(1, min(matrix.shape) - 1))
        user, values, item = (
            self.projection[name].astype(float) for name in ("user", "singular_values", "item")
        )
        assert (user.shape, item.shape) == ((len(matrix), r), (matrix.shape[1], r))
        np.testing.assert_allclose(
            values, np.linalg.svd(matrix, compute_uv=False)[:r], atol=1e-9 * values[0]
        )
        # Where S' has less than r dimensions, the others are empty.
        present = np.diag((values > 0).astype(float))
        for vectors in (user, item):
            np.testing.assert_allclose(vectors.T @ vectors, present, atol=1e-5)
        np.testing.assert_allclose(matrix @ item, user * values, atol=1e-5 * values[0])
        np.testing.assert_allclose(matrix.T @ user, item * values, atol=1e-5 * values[0])

    def history(self, matrix, owner):
        return np.array(
            [
                unit(row * (self.projection["singular_values"] ** self.power))
                for row in self.projection[owner].astype(float)
            ]
        )

    def of(self, row, owner):
        """Of a later node: unit(s_v D^-1/2 B Sigma^(p - 1)), zero where B knows nothing of it."""
        other = "item" if owner == "user" else "user"
        vectors = self.projection[other].astype(float)
        row = row[: len(vectors)]
        row = row if self.preference else (row > 0).astype(float)
        if self.scale != "none":
            degree = self.projection[f"{other}_degree"]
            row = np.array(
                [s / np.sqrt(d) if d > 0 else 0.0 for s, d in zip(row, degree, strict=True)]
            )
        place = np.zeros(vectors.shape[1])
        for s, vector in zip(row, vectors, strict=True):
            place += s * vector
        if np.linalg.norm(place) <= 1e-6 * np.linalg.norm(row):
            return np.zeros_like(place)
        return unit(place * self.projection["singular_values"] ** (self.power - 1))


def assign(matrix, macro_before, centroids, places, owner):
    """Macro nodes at a later cut, node by node."""
    macro = list(macro_before) + [-1] * (len(matrix) - len(macro_before))
    for v, row in enumerate(matrix):
        x = places.of(row, owner)
        if macro[v] >= 0 or not x.any():
            continue
        distance = [
            ((x - c) ** 2).sum() if c.any() else np.inf  # An empty macro node has no centroid.
            for c in centroids
        ]
        macro[v] = int(np.argmin(distance))
    return np.array(macro)

"""What a short script with scipy and scikit-learn makes of a log: the peer of suite `graph`."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import randomized_svd

_MACRO_NODES = 20
_NEIGHBORS = 20
_DIMENSIONS = 16
_POWER = 2


def scripted_graph(
    user: np.ndarray, item: np.ndarray, behaviors: np.ndarray, time: np.ndarray, num_tasks: int
) -> float:
    """Everything that `graph/<k>` holds, without writing it.

    Args:
      user, item: int32 [N], of each event.
      behaviors: uint32 [N]; bit t is set where the event shows task t.
      time: int64 [N].
      num_tasks: T; tasks in a strict order, so that rho(C) is the set of bits.

    Returns:
      The weighted inertia of both groupings together.
    """
    num_items = int(item.max()) + 1
    keys, pair = np.unique(user.astype(np.int64) * num_items + item, return_inverse=True)
    sets = np.zeros(len(keys), np.uint32)
    np.bitwise_or.at(sets, pair, behaviors)
    u, i = keys // num_items, keys % num_items
    E = sparse.csr_matrix((sets.astype(float), (u, i)))
    A, sigma, B = randomized_svd(E, _DIMENSIONS, random_state=0)
    users, user_inertia = _group(E, A * sigma**_POWER)
    items, item_inertia = _group(E.T.tocsr(), B.T * sigma**_POWER)
    P_u, P_i = (sparse.csr_matrix(np.eye(_MACRO_NODES)[macro]) for macro in (users, items))
    edges = [E @ P_i, E @ (E.T @ P_u), E.T @ P_u, E.T @ (E @ P_i)]
    table = np.zeros((E.shape[0], num_tasks, _MACRO_NODES))
    neighbors = []
    for task in range(num_tasks):
        did = (sets >> task) & 1 > 0
        np.add.at(table, (u[did], task, items[i[did]]), 1)
        latest = np.zeros(len(keys), np.int64)
        shows = (behaviors >> task) & 1 > 0
        np.maximum.at(latest, pair[shows], time[shows])
        for owner, other in ((u[did], i[did]), (i[did], u[did])):
            order = np.lexsort((other, -latest[did], owner))
            first = np.searchsorted(owner[order], owner[order])
            kept = order[np.arange(len(order)) - first < _NEIGHBORS]
            neighbors.append((owner[kept], other[kept], E.data[did][kept]))
    # Nobody is to be faster for having left something out.
    assert (len(edges), len(neighbors)) == (4, 2 * num_tasks)
    return user_inertia + item_inertia


def _group(E: sparse.csr_matrix, x: np.ndarray) -> tuple[np.ndarray, float]:
    """Preference-weighted k-means (Eq. 8 and 9) of x, every row of E having an entry."""
    above = E.multiply(np.mean(E.data) < E)
    activity = np.asarray(above.sum(axis=1)).ravel()
    low, high = np.quantile(activity, (0.2, 0.8))
    omega = np.where(activity > high, 2.0, np.where(activity < low, 0.5, 1.0))
    clusters = min(_MACRO_NODES, E.shape[0])
    found = KMeans(clusters, n_init=2, random_state=0).fit(normalize(x), sample_weight=omega)
    return found.labels_, found.inertia_

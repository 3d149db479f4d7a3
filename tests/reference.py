"""The networks' equations in NumPy, one row, task, expert and neighbour at a time.

Written from the equations and not from the code under test: no batching, no folding, no TensorFlow,
float64 throughout. Kernels are those of a textbook: `x @ W`, one matrix per expert.
"""

from collections.abc import Mapping, Sequence

import numpy as np

SETS = ("user_1hop", "user_2hop", "item_1hop", "item_2hop")
NODES = {"user_1hop": "item", "user_2hop": "user", "item_1hop": "user", "item_2hop": "item"}
OWNER = {"user_1hop": "user", "user_2hop": "user", "item_1hop": "item", "item_2hop": "item"}
Layers = Sequence[tuple[np.ndarray, np.ndarray]]  # (kernel, bias) of each layer


def softmax(x: np.ndarray) -> np.ndarray:
    exponentials = np.exp(x - x.max())
    return exponentials / exponentials.sum()


def mean_embedding(rows, table) -> np.ndarray:
    """Of a list of ids; -1 fills it up. The zero vector where there are none."""
    present = [row for row in rows if row >= 0]
    return sum((table[row] for row in present), np.zeros(table.shape[1])) / max(len(present), 1)


def numbers(values, kind: str, mean, deviation, has_missing: bool) -> np.ndarray:
    """What is read of one row's numbers of a feature."""
    read, flags = [], []
    for value, m, s in zip(np.atleast_1d(values), mean, deviation, strict=True):
        value = float(value)
        if kind == "log":
            value = np.log(1.0 + value) if value >= 0 else -np.log(1.0 - value)
        is_missing = np.isnan(value)
        read.append(0.0 if is_missing else (value - m) / s)
        flags.append(float(is_missing))
    return np.array([*read, *(flags if has_missing else [])])


def macro_weights(edges: np.ndarray, temperature: float) -> np.ndarray:
    """alpha of one row and set (Eq. 14)."""
    return softmax(np.log(1.0 + edges.astype(np.float64)) / temperature)


def attention(query, nodes, w_q, w_k) -> np.ndarray:
    """r of one row, set and expert (Eq. 16)."""
    h = w_q.shape[1]
    return softmax(np.array([(query @ w_q) @ (z @ w_k) / np.sqrt(h) for z in nodes]))


def head(query, nodes, alpha, w_q, w_k, w_v) -> np.ndarray:
    """v_s of one row, set and expert (Eq. 15, 17)."""
    r = attention(query, nodes, w_q, w_k)
    return len(nodes) * sum(a * b * (z @ w_v) for a, b, z in zip(alpha, r, nodes, strict=True))


def macro_graph_expert(targets, alphas, tables, kernels, query_of=NODES) -> np.ndarray:
    """MGE(x) of one row: `kernels[set]` is (W_Q, W_K, W_V); `tables` are one task's Z."""
    return np.concatenate(
        [head(targets[query_of[s]], tables[NODES[s]], alphas[s], *kernels[s]) for s in SETS]
    )


def gate(inputs, kernel) -> np.ndarray:
    return softmax(inputs @ kernel)


def mixture(weights, outputs) -> np.ndarray:
    return sum(weight * output for weight, output in zip(weights, outputs, strict=True))


def bottom_gate_input(targets, alphas, tables) -> np.ndarray:
    """c_t of one row (Eq. 12)."""
    summaries = [alphas[s] @ tables[NODES[s]] for s in SETS]
    return np.concatenate([*node_inputs(targets), *summaries])


def node_inputs(targets) -> list[np.ndarray]:
    """x = [x_u ; x_i ; x_c], the last where the data have any."""
    return [targets[owner] for owner in ("user", "item", "context") if owner in targets]


def bottom(targets, edges, tables, experts, gate_kernel, temperature, query_of=NODES):
    """h_t of one row and task (Eq. 13): `experts` are the kernels of the task's experts."""
    alphas = {s: macro_weights(edges[s], temperature) for s in SETS}
    outputs = [macro_graph_expert(targets, alphas, tables, e, query_of) for e in experts]
    return mixture(gate(bottom_gate_input(targets, alphas, tables), gate_kernel), outputs)


def neighbor_sum(neighbors, scores, table, weights: str) -> np.ndarray:
    """n^t_v of one row (Eq. 18); entries of score 0 are padding."""
    total = np.zeros(table.shape[1])
    for neighbor, score in zip(neighbors, scores, strict=True):
        if score > 0:
            total += (score / scores.sum() if weights == "score" else 1.0) * table[neighbor]
    return total


def mlp(x, layers: Layers) -> np.ndarray:
    for kernel, bias in layers:
        x = np.maximum(x @ kernel + bias, 0.0)
    return x


def tower(x, layers: Layers) -> float:
    """Hidden layers, then one unit without activation."""
    kernel, bias = layers[-1]
    return (mlp(x, layers[:-1]) @ kernel + bias).item()


def macro_match(edges, temperature: float) -> list[float]:
    """How well the macro edges of one row match, and how many there are."""
    alphas = {s: macro_weights(edges[s], temperature) for s in SETS}
    found = []
    for of_user, of_item in (("user_1hop", "item_2hop"), ("user_2hop", "item_1hop")):
        terms = [a * b for a, b in zip(alphas[of_user], alphas[of_item], strict=True)]
        found.append(float(np.log(len(terms) * sum(terms))))
    for s in ("user_1hop", "item_1hop"):
        total = float(sum(edges[s].astype(np.float64)))
        found += [float(total == 0), np.log(1 + total) / 5]
    return found


def fusion_input(targets, h, neighbors, interactions: bool, match=()) -> np.ndarray:
    """f_t of one row: Eq. 18, 19 and this project's additions."""
    user, item = targets["user"], targets["item"]
    near_user, near_item = neighbors["user"], neighbors["item"]

    def product(a, b):
        return [x * y for x, y in zip(a, b, strict=False)]

    if not interactions:
        return np.concatenate([*node_inputs(targets), match, h, near_user, near_item])
    row = [*node_inputs(targets), match, product(user, item)]
    products = [product(item, near_user), product(user, near_item)]
    return np.concatenate([*row, h, near_user, near_item, *products])


def fusion(f, experts: Sequence[Layers], gate_kernel) -> np.ndarray:
    """o_t of one row and task (Eq. 2, 20)."""
    return mixture(gate(f, gate_kernel), [mlp(f, layers) for layers in experts])


def cascade(outputs, towers: Sequence[Layers], thetas) -> np.ndarray:
    """p of one row (Eq. 21): the first kernel of each later tower has a last row for p_{t-1}."""
    logits = [tower(outputs[0], towers[0])]
    for o, layers, theta in zip(outputs[1:], towers[1:], thetas, strict=True):
        logits.append(tower(np.concatenate([o, [theta * logits[-1]]]), layers))
    return np.array(logits)


def advantage(counts: np.ndarray, item_macro: int) -> np.ndarray:
    """a of one row (Eq. 22): `counts` is L[u], [T, K_I]."""
    if item_macro < 0:
        return np.zeros(len(counts))
    logs = np.log(1.0 + counts.astype(np.float64))
    return logs[:, item_macro] - logs.mean(axis=1)


def loss(labels: Mapping[str, np.ndarray], logits: Mapping[str, np.ndarray], weights) -> float:
    """Eq. 1 without penalties; a label of -1 is none."""
    total = 0.0
    for task, weight in weights.items():
        terms = [
            -np.log(1.0 / (1.0 + np.exp(-logit if label == 1 else logit)))
            for label, logit in zip(labels[task], logits[task], strict=True)
            if label >= 0
        ]
        total += weight * (sum(terms) / len(terms) if terms else 0.0)
    return total


def adam(weights, gradients, *, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """The weights after one step per gradient, from zero moments."""
    weights = np.array(weights, np.float64)
    m, v = np.zeros_like(weights), np.zeros_like(weights)
    for step, gradient in enumerate(gradients, start=1):
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient**2
        rate = learning_rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        weights = weights - rate * m / (np.sqrt(v) + epsilon)
    return weights

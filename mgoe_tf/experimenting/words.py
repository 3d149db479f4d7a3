"""Sentences that say what tables show, made from their numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mgoe_tf.experimenting.results import MEAN, Results
from mgoe_tf.experimenting.statistics import Paired, lead
from mgoe_tf.reports.differences import Difference

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


def ordinal(place: int) -> str:
    """`first` of 1."""
    return _ORDINALS[place - 1] if place <= len(_ORDINALS) else f"number {place}"


def count(number: int, thing: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "none"


def p_value(value: float | None) -> str:
    """With the digits that mean something."""
    if value is None:
        return "not defined"
    return f"{value:.3f}" if value >= 0.001 else "below 0.001"


def verdict(
    results: Results,
    data: str,
    ranking: Sequence[str],
    subject: str,
    over_users: dict[str, dict[str, Difference]],
) -> str:
    """Where the model of interest stands by mean AUC, and whether that is beyond the noise.

    Args:
      results: metrics.
      data: which data set.
      ranking: models by mean AUC.
      subject: the model of interest.
      over_users: by rival and task, its AUC less theirs.
    """
    if subject not in ranking:
        return f"{subject} has no finished run."
    place = ranking.index(subject)
    ours = results.spread(data, subject, "auc", MEAN)
    others = [model for model in ranking if model != subject]
    assert ours is not None
    if not others:
        return f"{subject} has a mean AUC of {ours.mean:.4f}; no other model has a finished run."
    rival = others[0]
    theirs = results.spread(data, rival, "auc", MEAN)
    assert theirs is not None
    percent = lead(ours.mean, theirs.mean)
    side = f"{percent:.2f} % above" if percent >= 0 else f"{-percent:.2f} % below"
    difference = results.difference(data, (rival, ""), (subject, ""))
    users = over_users.get(rival, {}).get(MEAN)
    return (
        f"{subject} is {ordinal(place + 1)} of {count(len(ranking), 'model')} by mean AUC, "
        f"{ours.mean:.4f}, {side} the best rival, {rival} ({theirs.mean:.4f}). "
        f"{_over_seeds(difference)} {_over_users(users)}"
    )


def _over_seeds(difference: Paired | None) -> str:
    if difference is None or difference.reach is None:
        return "With one seed nothing is known of how far seeds move it."
    known = "beyond" if difference.is_beyond else "within"
    return (
        f"Over {count(difference.number, 'seed')} the difference is {known} the noise (paired t "
        f"test, p = {p_value(difference.p_value)}: {difference.value:+.4f} &plusmn; "
        f"{difference.reach:.4f})."
    )


def _over_users(difference: Difference | None) -> str:
    if difference is None or difference.reach is None:
        return ""
    known = "beyond" if difference.is_beyond else "within"
    return (
        f"For other users of the kind, by the first seed's runs, it is {known} the noise "
        f"({difference.value:+.4f} &plusmn; {difference.reach:.4f})."
    )


def told_apart(
    results: Results,
    data: str,
    ranking: Sequence[str],
    subject: str,
    over_users: dict[str, dict[str, Difference]],
) -> str:
    """Which rivals are beyond the noise of users and of seeds, and which are not; see `verdict`."""
    surely: list[str] = []
    within: list[str] = []
    noises: set[str] = set()
    for rival in (model for model in ranking if model != subject):
        seeds = results.difference(data, (rival, ""), (subject, ""))
        users = over_users.get(rival, {}).get(MEAN)
        known = {
            name: one.is_beyond
            for name, one in {"seeds": seeds, "users": users}.items()
            if one is not None and one.reach is not None
        }
        noises |= set(known)
        (surely if known and all(known.values()) else within).append(rival)
    if not noises:
        return ""
    noise = f"the noise of {listed(sorted(noises))}"
    if not within:
        return f"All rivals differ from {subject} by more than {noise}."
    if not surely:
        return f"No rival differs from {subject} by more than {noise}."
    return (
        f"Beyond {noise} differ {listed(surely)}; not told apart from {subject}: {listed(within)}."
    )


def best_setting(
    results: Results,
    data: str,
    subject: str,
    named: Sequence[tuple[str, str]],
    seeds: Collection[int],
) -> str:
    """Which of some settings has the best mean AUC, and whether all lie within the noise.

    Args:
      results: metrics.
      data: which data set.
      subject: the model whose settings they are.
      named: a setting and its title each.
      seeds: whose runs are compared.
    """
    found = {
        title: spread
        for setting, title in named
        if (spread := results.spread(data, subject, "auc", MEAN, setting=setting, seeds=seeds))
    }
    if len(found) < 2:
        return ""
    best = max(found, key=lambda title: found[title].mean)
    worst = min(found, key=lambda title: found[title].mean)
    width = found[best].mean - found[worst].mean
    deviations = [spread.deviation for spread in found.values() if spread.deviation is not None]
    base = results.spread(data, subject, "auc", MEAN)
    if not deviations and base and base.deviation is not None:
        deviations = [base.deviation]
    text = (
        f"{data}: best at {best} ({found[best].mean:.4f}), worst at {worst} "
        f"({found[worst].mean:.4f})"
    )
    if not deviations:
        return f"{text}; of one seed each, so that nothing is known of the noise."
    noise = max(deviations)
    verdict = "no more than" if width <= 2 * noise else "more than"
    return f"{text}: {verdict} twice the deviation over seeds ({noise:.4f}) apart."


def low_weight(data: str, values: Mapping[tuple[float, float], float]) -> str:
    """Told where the weight of inactive nodes changes nothing.

    Args:
      data: which data set.
      values: mean AUC by the weights of active and of inactive nodes.
    """
    by_high: dict[float, set[float]] = {}
    for (high, _), value in values.items():
        by_high.setdefault(high, set()).add(value)
    if len(by_high) == len(values) or any(len(found) > 1 for found in by_high.values()):
        return ""
    return (
        f"{data}: the weight of inactive nodes changes nothing, as if no node lay below the limit; "
        "none does by default where a fifth of all nodes or more share the least activity "
        "(--theta_low sets another limit)."
    )

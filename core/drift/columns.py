"""Whether each column of a window drifted: its PSI is above a threshold, and above what chance explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from config.schema import Drift
from core.drift.clusters import TableEffect
from core.drift.counts import Counts, all_counts, missing_share, other_share
from core.drift.divergence import ChiSquare, KolmogorovSmirnov, chi_square, hellinger, jensen_shannon
from core.drift.profile import BinnedProfile, ColumnProfile, LevelProfile
from core.drift.psi_null import PsiTest, chance_beyond, psi_test
from core.metrics.class_rates import ClassRate, class_rate
from core.metrics.metrics import Floats
from core.text import listed, percent, readable

Role = Literal["feature", "target", "prediction", "unused"]
Pair = tuple[Role, ColumnProfile, ColumnProfile]
"""Role of a column, its reference profile, and its counts in the window over the same bins."""


@dataclass(frozen=True)
class ColumnDrift:
    """Distances of a column of the window from the reference.

    Parameters
    ----------
    name, role
        Name and role of the column; the target and the predictions are named ``target`` and ``prediction``. A column
        that the model file declares and the champion does not use is ``unused``; it decides nothing.
    kind
        ``numeric``, ``date``, ``levels`` or ``forms`` (of identifiers).
    psi
        Population stability index over the reference's bins, with missing values as a bin; at least 0.
    bound
        Threshold of the PSI (``drift.psi`` or ``drift.class_psi``).
    critical
        PSI that chance alone exceeds with the probability that the correction for all columns allows this one.
    p_value, method
        Probability of such a PSI without drift, 0 to 1, before the correction, and how it was computed.
    jensen_shannon, hellinger
        Distances over the same bins, 0 to 1.
    chi_square
        Test of homogeneity over the same bins.
    n_reference, n_current
        Number of rows on each side; for the target, rows with a label.
    missing, missing_reference
        Shares of the rows without a value, 0 to 1.
    other, other_reference
        Shares of the rows with a level that has no bin in the reference, 0 to 1; None for numbers and dates.
    importance
        Share of the champion's feature importance, 0 to 1; 0 for all but features.
    drifted
        Whether the PSI is above its threshold and above what chance explains; of a target's classes also whether the
        ratio of ``rate`` is outside its bounds and the PSI above what chance explains.
    ks, wasserstein
        Distances of the values themselves; None if they were not requested.
    remark
        A sentence if the column lost its values, its variation or all its levels; otherwise empty.
    rate
        Of a target's classes: the class whose rate changed most clearly; otherwise None.
    """

    name: str
    role: Role
    kind: str
    psi: float
    bound: float
    critical: float
    p_value: float
    method: Literal["chi-square", "simulated"]
    jensen_shannon: float
    hellinger: float
    chi_square: ChiSquare
    n_reference: int
    n_current: int
    missing: float
    missing_reference: float
    other: float | None
    other_reference: float | None
    importance: float
    drifted: bool
    ks: KolmogorovSmirnov | None = None
    wasserstein: float | None = None
    remark: str = ""
    rate: ClassRate | None = None


def column_drifts(
    pairs: Sequence[Pair],
    importance: Mapping[str, float],
    drift: Drift,
    seed: int,
    effects: Mapping[str, TableEffect] | None = None,
) -> tuple[ColumnDrift, ...]:
    """Measure each column and decide which drifted.

    A column drifted if its PSI is above ``drift.psi`` (the target's classes: ``drift.class_psi``, or the rate of a
    class beyond ``drift.class_ratio``) and the weighted Holm procedure rejects chance at the family level
    ``(1 - drift.confidence) / 2``; the other half of the error probability is for performance. Half of the weight is
    shared evenly, half by importance; target and predictions have the weight of an average feature.

    In large windows chance hardly ever takes a PSI above its threshold. Such a column needs less of the error
    probability than its share, and the rest goes to the other columns.

    Parameters
    ----------
    pairs
        Columns without rows on one side (an empty window, a target without labels) are omitted from the result.
    importance
        Permutation importance by feature, in units of the metric's loss; a value at or below 0 counts as 0. If no
        feature is above 0, all have equal shares.
    drift
        Thresholds and confidence of the model file.
    seed
        Seed of the simulated null distributions.
    effects
        Design effects by name of column; a column without one has independent rows.

    Raises
    ------
    ValueError
        The two sides of a pair have different bins.
    """
    shares = importance_shares([reference.name for role, reference, _ in pairs if role == "feature"], importance)
    return _judged(pairs, shares, drift, (1 - drift.confidence) / 2, seed, effects or {})


def unused_drifts(pairs: Sequence[Pair], drift: Drift, seed: int) -> tuple[ColumnDrift, ...]:
    """Measure each column that is not a feature, and find those that changed.

    They decide nothing, so they are a family of their own and take no error probability from the features: without any
    change, at most a share ``1 - drift.confidence`` of the windows has a column that is said to have changed.

    Parameters
    ----------
    pairs
        Columns without rows on one side are omitted from the result.
    drift
        Threshold ``drift.psi`` and confidence of the model file.
    seed
        Seed of the simulated null distributions.
    """
    return _judged(pairs, {}, drift, 1 - drift.confidence, seed, {})


def _judged(
    pairs: Sequence[Pair],
    shares: Mapping[str, float],
    drift: Drift,
    level: float,
    seed: int,
    effects: Mapping[str, TableEffect],
) -> tuple[ColumnDrift, ...]:
    judged = [pair for pair in pairs if all(counts.any() for counts in _counts(pair))]
    if not judged:
        return ()
    weights = np.array([_weight(pair, shares) for pair in judged])
    clustered = [effects.get(reference.name) for _, reference, _ in judged]
    first, holm = _first_levels(judged, weights, level, drift, seed, clustered)
    sides = zip(judged, first.tolist(), clustered, strict=True)
    tests = [psi_test(*_counts(pair), alpha, seed, effect) for pair, alpha, effect in sides]
    p_values, levels = np.array([test.p_value for test in tests]), first.copy()
    rejected = p_values <= first
    if holm.any():
        rejected[holm], levels[holm] = weighted_holm(p_values[holm], weights[holm], first[holm].sum())
    steps = zip(judged, tests, levels.tolist(), rejected.tolist(), clustered, strict=True)
    return tuple(
        _measured(
            pair,
            _at_its_step(pair, test, alpha, seed, effect) if beyond else test,
            shares,
            drift,
            beyond,
            alpha,
            1.0 if effect is None else effect.design.effect,
        )
        for pair, test, alpha, beyond, effect in steps
    )


def _first_levels(
    judged: Sequence[Pair],
    weights: Floats,
    level: float,
    drift: Drift,
    seed: int,
    effects: Sequence[TableEffect | None],
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the first level of each column, shape (m,), and which columns take part in Holm's procedure.

    A column whose threshold chance passes more rarely than its share allows is judged by itself; what it does not need
    is shared among the others. By the union bound the family level is kept: the sum of all probabilities of a false
    alarm is at most ``level``.
    """
    first = level * weights / weights.sum()
    sides = zip(judged, effects, strict=True)
    needed = np.array([_chance_beyond_bound(pair, drift, seed, effect) for pair, effect in sides])
    holm = needed > first
    if holm.any():
        first[holm] = (level - needed[~holm].sum()) * weights[holm] / weights[holm].sum()
    return first, holm


def _chance_beyond_bound(pair: Pair, drift: Drift, seed: int, effect: TableEffect | None) -> float:
    # A ratio of classes has no threshold in PSI, and chance with clusters is known too roughly for small probabilities.
    return 1.0 if _has_classes(pair) or effect is not None else chance_beyond(*_counts(pair), drift.psi, seed)


def with_moving_cause(
    columns: Sequence[ColumnDrift], usual: Sequence[ColumnDrift], names: Sequence[str]
) -> tuple[ColumnDrift, ...]:
    """Say of predictions that did not drift by themselves that columns which move by construction moved them.

    Parameters
    ----------
    columns
        All columns; the predictions with training values in the columns that move by construction.
    usual
        The predictions as they are.
    names
        The features that move by construction.
    """
    moved = next((one for one in usual if one.drifted), None)
    if moved is None:
        return tuple(columns)
    caused = (
        f"the predictions drifted (PSI {moved.psi:.2g}) only because of {listed([*names])}, which moves by "
        "construction: with its values of the training rows"
        if len(names) == 1
        else f"the predictions drifted (PSI {moved.psi:.2g}) only because of columns that move by construction "
        f"({listed([*names])}): with their values of the training rows"
    )
    return tuple(
        replace(one, remark=f"{caused} the PSI is {one.psi:.2g}")
        if one.role == "prediction" and not one.drifted
        else one
        for one in columns
    )


def importance_shares(features: Sequence[str], importance: Mapping[str, float]) -> dict[str, float]:
    """Return the share of each feature in the total importance, 0 to 1; equal shares if no importance is above 0.

    Examples
    --------
    >>> importance_shares(["income", "age"], {"income": 0.03, "age": -0.001})
    {'income': 1.0, 'age': 0.0}
    """
    positive = {name: max(0.0, importance.get(name, 0.0)) for name in features}
    total = sum(positive.values())
    if not total > 0:
        return dict.fromkeys(features, 1 / len(features)) if features else {}
    return {name: value / total for name, value in positive.items()}


def weighted_holm(p_values: Floats, weights: Floats, level: float) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Reject hypotheses by the weighted Holm procedure, with a familywise error rate of at most ``level``.

    Parameters
    ----------
    p_values
        Shape (m,), float64, 0 to 1.
    weights
        Shape (m,), float64, above 0; a hypothesis of larger weight is rejected more easily.
    level
        Familywise error rate, 0 to 1.

    Returns
    -------
    rejected, levels
        Shape (m,) each: which hypotheses are rejected (bool), and the level of each in its step (float64, 0 to 1).

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 65-70,
    section 3 (weights).

    Examples
    --------
    >>> weighted_holm(np.array([0.03, 0.001, 0.04]), np.ones(3), 0.05)[0].tolist()
    [False, True, False]
    """
    order = np.argsort(p_values / weights, kind="stable")
    remaining = weights[order][::-1].cumsum()[::-1]
    rejected, levels = np.zeros(len(order), dtype=bool), np.zeros(len(order))
    levels[order] = level * weights[order] / remaining
    rejected[order] = np.logical_and.accumulate(p_values[order] <= levels[order])
    return rejected, levels


def _bound(pair: Pair, drift: Drift) -> float:
    # A target has fewer bins than a feature, so the same shift of its shares gives a smaller PSI.
    return drift.class_psi if _has_classes(pair) else drift.psi


def _has_classes(pair: Pair) -> bool:
    return pair[0] == "target" and isinstance(pair[1], LevelProfile)


def _weight(pair: Pair, shares: Mapping[str, float]) -> float:
    role, reference, _ = pair
    return 0.5 + 0.5 * len(shares) * shares[reference.name] if role == "feature" else 1.0


def _counts(pair: Pair) -> tuple[Counts, Counts]:
    role, reference, current = pair
    if _bins(reference) != _bins(current):
        raise ValueError(f"expected counts of {reference.name!r} over the reference's bins, found others")
    # A missing target is a label that has not arrived; that is not drift.
    end = -1 if role == "target" else None
    return all_counts(reference)[:end], all_counts(current)[:end]


def _at_its_step(pair: Pair, test: PsiTest, alpha: float, seed: int, effect: TableEffect | None) -> PsiTest:
    """Lower the critical value of a rejected column to that of its step: later Holm steps have higher levels."""
    if test.psi > test.critical:
        return test
    return replace(test, critical=min(test.psi, psi_test(*_counts(pair), alpha, seed, effect).critical))


def _measured(
    pair: Pair,
    test: PsiTest,
    shares: Mapping[str, float],
    drift: Drift,
    beyond_chance: bool,
    alpha: float,
    design: float,
) -> ColumnDrift:
    role, reference, current = pair
    counts, bound, rate = _counts(pair), _bound(pair, drift), _rate(pair, drift, alpha, design)
    return ColumnDrift(
        name=reference.name,
        role=role,
        kind=reference.kind,
        psi=test.psi,
        bound=bound,
        critical=test.critical,
        p_value=test.p_value,
        method=test.method,
        jensen_shannon=jensen_shannon(*counts),
        hellinger=hellinger(*counts),
        chi_square=chi_square(*counts),
        n_reference=int(counts[0].sum()),
        n_current=int(counts[1].sum()),
        missing=missing_share(current),
        missing_reference=missing_share(reference),
        other=other_share(current),
        other_reference=other_share(reference),
        importance=shares[reference.name] if role == "feature" else 0.0,
        drifted=beyond_chance and (test.psi > bound or (rate is not None and rate.is_large)),
        remark=_unused_remark(reference, current) if role == "unused" else _remark(reference, current),
        rate=rate,
    )


def _rate(pair: Pair, drift: Drift, alpha: float, design: float) -> ClassRate | None:
    _, reference, _ = pair
    if not (_has_classes(pair) and isinstance(reference, LevelProfile) and len(reference.levels) > 1):
        return None
    counts = _counts(pair)
    return class_rate(reference.levels, *counts, bound=drift.class_ratio, confidence=1 - alpha, design=design)


def _remark(reference: ColumnProfile, current: ColumnProfile) -> str:
    name, n_before, n_now = readable(current.name, 60), _n_present(reference), _n_present(current)
    if not (n_before and n_now):
        return _emptiness(name, reference, n_before, n_now)
    if isinstance(current, LevelProfile) and current.other == n_now:
        # Rare levels of the reference have no bin; where there are such, a value may be one of them.
        known = isinstance(reference, LevelProfile) and reference.other
        return f"no value of {name} is {'one of the frequent levels' if known else 'a level'} of the reference"
    value = _only_value(current)
    if value is None or value == _only_value(reference):
        return ""
    rows = "every row that has a value" if current.missing else "every row"
    return f"{rows} has {name} = {readable(value, 60)}"


def _unused_remark(reference: ColumnProfile, current: ColumnProfile) -> str:
    name, value = readable(reference.name, 60), _only_value(reference)
    if value is not None and (n_others := _n_present(current) - _n_of(current, value)):
        others = f"now {percent(n_others / int(all_counts(current).sum()))} of the rows have others"
        advice = "it may be worth training with it"
        return f"{name} had one value in the training rows ({readable(value, 60)}); {others}: {advice}"
    if not _n_present(reference) or not _n_present(current):
        return _emptiness(name, reference, _n_present(reference), _n_present(current))
    return ""


def _n_of(column: ColumnProfile, value: str) -> int:
    """Return the number of rows with the only value of the reference, which has a bin of its own."""
    if isinstance(column, LevelProfile):
        return column.counts[column.levels.index(value)]
    # The edges of an only value are itself and the next number.
    return column.counts[1]


def _emptiness(name: str, reference: ColumnProfile, n_before: int, n_now: int) -> str:
    if n_now:
        return f"{name} has values in this window, but none in the reference"
    return (
        f"{name} has no value in this window ({percent(missing_share(reference))} in the reference)" if n_before else ""
    )


def _n_present(column: ColumnProfile) -> int:
    return int(all_counts(column)[:-1].sum())


def _only_value(column: ColumnProfile) -> str | None:
    if np.count_nonzero(all_counts(column)[:-1]) != 1:
        return None
    if isinstance(column, LevelProfile):
        return None if column.other else column.levels[np.argmax(column.counts)]
    if column.minimum is None or column.minimum != column.maximum:
        return None
    return f"{column.minimum:.10g}" if isinstance(column.minimum, float) else str(column.minimum)


def _bins(column: ColumnProfile) -> tuple[str, tuple[float, ...] | tuple[str, ...]]:
    return column.kind, column.edges if isinstance(column, BinnedProfile) else column.levels

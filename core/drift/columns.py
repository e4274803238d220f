"""Whether each column of a window drifted: its PSI is above a threshold, and above what chance explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from config.schema import Drift
from core.drift.counts import Counts, all_counts, missing_share, other_share
from core.drift.divergence import ChiSquare, KolmogorovSmirnov, chi_square, hellinger, jensen_shannon
from core.drift.profile import BinnedProfile, ColumnProfile, LevelProfile
from core.drift.psi_null import PsiTest, psi_test
from core.metrics.metrics import Floats
from core.text import percent, readable

Role = Literal["feature", "target", "prediction"]
Pair = tuple[Role, ColumnProfile, ColumnProfile]
"""Role of a column, its reference profile, and its counts in the window over the same bins."""


@dataclass(frozen=True)
class ColumnDrift:
    """Distances of a column of the window from the reference.

    Parameters
    ----------
    name, role
        Name and role of the column; the target and the predictions are named ``target`` and ``prediction``.
    kind
        ``numeric``, ``date`` or ``levels``.
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
        Share of the champion's feature importance, 0 to 1; 0 for the target and the predictions.
    drifted
        Whether the PSI is above its threshold and above what chance explains.
    ks, wasserstein
        Distances of the values themselves; None if they were not requested.
    remark
        A sentence if the column lost its values, its variation or all its levels; otherwise empty.
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


def column_drifts(
    pairs: Sequence[Pair], importance: Mapping[str, float], drift: Drift, seed: int
) -> tuple[ColumnDrift, ...]:
    """Measure each column and decide which drifted.

    A column drifted if its PSI is above ``drift.psi`` (the target's classes: ``drift.class_psi``) and the weighted Holm
    procedure rejects chance at the family level ``(1 - drift.confidence) / 2``; the other half of the error probability
    is for performance. Half of the weight is shared evenly, half by importance; target and predictions have the weight
    of an average feature.

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

    Raises
    ------
    ValueError
        The two sides of a pair have different bins.
    """
    shares = importance_shares([reference.name for role, reference, _ in pairs if role == "feature"], importance)
    judged = [pair for pair in pairs if all(counts.any() for counts in _counts(pair))]
    if not judged:
        return ()
    weights = np.array([_weight(pair, shares) for pair in judged])
    level = (1 - drift.confidence) / 2
    first = level * weights / weights.sum()
    tests = [psi_test(*_counts(pair), alpha, seed) for pair, alpha in zip(judged, first.tolist(), strict=True)]
    rejected, levels = weighted_holm(np.array([test.p_value for test in tests]), weights, level)
    steps = zip(judged, tests, levels.tolist(), rejected.tolist(), strict=True)
    return tuple(
        _measured(pair, _at_its_step(pair, test, alpha, seed) if beyond else test, shares, _bound(pair, drift), beyond)
        for pair, test, alpha, beyond in steps
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
    role, reference, _ = pair
    return drift.class_psi if role == "target" and isinstance(reference, LevelProfile) else drift.psi


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


def _at_its_step(pair: Pair, test: PsiTest, alpha: float, seed: int) -> PsiTest:
    """Lower the critical value of a rejected column to that of its step: later Holm steps have higher levels."""
    if test.psi > test.critical:
        return test
    return replace(test, critical=min(test.psi, psi_test(*_counts(pair), alpha, seed).critical))


def _measured(pair: Pair, test: PsiTest, shares: Mapping[str, float], bound: float, beyond_chance: bool) -> ColumnDrift:
    role, reference, current = pair
    counts = _counts(pair)
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
        drifted=beyond_chance and test.psi > bound,
        remark=_remark(reference, current),
    )


def _remark(reference: ColumnProfile, current: ColumnProfile) -> str:
    name, n_before, n_now = readable(current.name, 60), _n_present(reference), _n_present(current)
    if not (n_before and n_now):
        return _emptiness(name, reference, n_before, n_now)
    if isinstance(current, LevelProfile) and current.other == n_now:
        return f"no value of {name} is a level of the reference"
    value = _only_value(current)
    if value is None or value == _only_value(reference):
        return ""
    rows = "every row that has a value" if current.missing else "every row"
    return f"{rows} has {name} = {readable(value, 60)}"


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

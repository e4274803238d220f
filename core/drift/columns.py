"""Whether each column of a window drifted: by more than is small, and by more than chance makes of all columns."""

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
"""What a column is to the model, its reference and its counts in the window over the same bins."""


@dataclass(frozen=True)
class ColumnDrift:
    """How far a column of the window is from the reference.

    Parameters
    ----------
    name, role
        Column; the target and the predictions are named ``target`` and ``prediction``.
    kind
        ``numeric``, ``date`` or ``levels``.
    psi
        Population stability index over the reference's bins, missing values as one of them.
    bound
        PSI up to which a change is small.
    critical
        PSI that chance alone exceeds as rarely as the correction over all columns allows this one.
    p_value, method
        Probability of such a PSI without drift, before the correction, and how it was found.
    jensen_shannon, hellinger
        Distances over the same bins, 0 to 1.
    chi_square
        Of homogeneity over the same bins.
    n_reference, n_current
        Rows on each side; of the target, rows that have one.
    missing, missing_reference
        Shares of the rows without a value, 0 to 1.
    other, other_reference
        Shares of the rows with a level the reference does not name, 0 to 1; None for numbers and dates.
    importance
        Share of the champion's, 0 to 1; 0 for the target and the predictions.
    drifted
        PSI is above its bound and not chance.
    ks, wasserstein
        On the values themselves; None where nobody asked.
    remark
        A sentence where the column lost its values, its variation or all its levels; else empty.
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
    """Measure each column and tell which drifted.

    A column drifted where its PSI is above ``drift.psi`` (the target's classes: ``drift.class_psi``) and weighted Holm
    rejects chance at the family level ``(1 - drift.confidence) / 2``, the other half being performance's. Half of the
    weight is shared evenly, half by importance; target and predictions have the weight of an average feature.

    Parameters
    ----------
    pairs
        Columns without rows on a side (an empty window, a target that nobody knows yet) are left out.
    importance
        Loss per feature as permutation found it; at or below 0 counts as none. Where no feature has any, all have the
        same.
    seed
        Of the simulated null distributions.

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
    """Share of each feature, 0 to 1, together 1; negative importance is none, and no importance at all is equal shares.

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
    """Reject hypotheses so that one true hypothesis or more is among them with a probability of at most ``level``.

    Parameters
    ----------
    p_values
        Shape (m,).
    weights
        Above zero, shape (m,); a heavier hypothesis is rejected more easily.

    Returns
    -------
    rejected, levels
        Which are, and the level each was held against in its step, shape (m,) each.

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
    # A few classes have fewer bins than a feature: the same shift of their shares is a smaller PSI.
    role, reference, _ = pair
    return drift.class_psi if role == "target" and isinstance(reference, LevelProfile) else drift.psi


def _weight(pair: Pair, shares: Mapping[str, float]) -> float:
    role, reference, _ = pair
    return 0.5 + 0.5 * len(shares) * shares[reference.name] if role == "feature" else 1.0


def _counts(pair: Pair) -> tuple[Counts, Counts]:
    role, reference, current = pair
    if _bins(reference) != _bins(current):
        raise ValueError(f"expected counts of {reference.name!r} over the reference's bins, found others")
    # A target without a value is not known yet; that is no drift.
    end = -1 if role == "target" else None
    return all_counts(reference)[:end], all_counts(current)[:end]


def _at_its_step(pair: Pair, test: PsiTest, alpha: float, seed: int) -> PsiTest:
    """Show a rejected column what it was held against: Holm's later steps ask for less than the first."""
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
        return f"no value of {name} is a level that the reference names"
    value = _only_value(current)
    if value is None or value == _only_value(reference):
        return ""
    rows = "every row that has a value" if current.missing else "every row"
    return f"{rows} has {name} = {readable(value, 60)}"


def _emptiness(name: str, reference: ColumnProfile, n_before: int, n_now: int) -> str:
    if n_now:
        return f"{name} has values in this window and has none in the reference"
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

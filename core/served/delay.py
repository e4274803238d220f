"""How long labels take to arrive, from those that arrived and from the predictions that still wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

COMPLETE = 0.95
"""Share of the labels that ever arrive, from which the labels of a prediction's day count as complete."""

MIN_LABELS = 30
"""Labels below which no delay is estimated."""


@dataclass(frozen=True)
class LabelDelay:
    """The estimated delay of labels.

    Parameters
    ----------
    median_days, complete_days
        Age of predictions in whole days at which half, and :data:`COMPLETE`, of the labels that arrive have arrived.
    n_labels
        Labels from which it was estimated.
    coverage
        Estimated share of predictions that have a label at the largest delay that was observed, 0 to 1.
    """

    median_days: int
    complete_days: int
    n_labels: int
    coverage: float


def label_delay(arrived: Mapping[int, int], waiting: Mapping[int, int]) -> LabelDelay | None:
    """Estimate the delay of labels; None with fewer than :data:`MIN_LABELS` labels.

    The mean of the delays that were observed would be too short: late labels of new predictions have not arrived yet.
    So predictions without a label count as censored at their age (product-limit estimator), and the quantiles are those
    of the labels that arrive within the largest observed delay.

    Parameters
    ----------
    arrived
        Number of labelled predictions by delay of their label in whole days, at least 0.
    waiting
        Number of predictions without a label by age in whole days, at least 0.

    References
    ----------
    Kaplan & Meier (1958), Nonparametric estimation from incomplete observations, JASA 53.

    Examples
    --------
    >>> label_delay({1: 50, 2: 50}, {})
    LabelDelay(median_days=1, complete_days=2, n_labels=100, coverage=1.0)
    >>> label_delay({1: 50, 10: 25}, {5: 50}).coverage
    1.0
    """
    n_labels = sum(arrived.values())
    if n_labels < MIN_LABELS:
        return None
    at_risk, without = n_labels + sum(waiting.values()), 1.0
    known: list[tuple[int, float]] = []
    for day in sorted({*arrived, *waiting}):
        if n_arrived := arrived.get(day, 0):
            without *= 1 - n_arrived / at_risk
            known.append((day, 1 - without))
        # A prediction that waits at an age could still have got its label at that age.
        at_risk -= n_arrived + waiting.get(day, 0)
    coverage = known[-1][1]
    median, complete = (next(day for day, share in known if share >= q * coverage - 1e-12) for q in (0.5, COMPLETE))
    return LabelDelay(median, complete, n_labels, coverage)

"""Rows that come in clusters (customers, days, sessions), and how much less they say than independent rows.

Rows of one customer or one day resemble each other, so a mean over them varies more than over as many independent rows.
The *design effect* is the ratio of the two variances. Both follow from the rows' influences on a metric: the variance
under independence sums their squares, the cluster-robust one sums the squares of the clusters' sums. For the ROC AUC
with DeLong's influences the latter is Obuchowski's variance for clustered data.

Clusters are the model's key, where it repeats, and periods of its time: days, or hours if there are fewer than ten
days. If both matter, their excess variances add up (two-way clustering). Whether clusters matter is tested first: under
independence the ratio is a chi-square over its degrees of freedom, the effective number of clusters. The test errs on
the side of clusters (:data:`LEVEL`), because an overlooked one gives false alarms and a needless one some power.

Periods are handled in one of two ways:

- for a comparison of two models, neighbouring periods are joined until their sums are not correlated any more, as batch
  means are;
- for the monitor, the variance comes from differences of successive periods. A step or trend within the window adds
  little to them, so drift does not pass for noise; only variation from one period to the next does.

References
----------
Kish (1965), Survey Sampling, chapter 5 (design effect 1 + (m - 1) ICC; for unequal clusters m is their mean size
weighted by rows).
Liang & Zeger (1986), Longitudinal data analysis using generalized linear models, Biometrika 73, 13-22 (the variance).
Obuchowski (1997), Nonparametric analysis of clustered ROC curve data, Biometrics 53, 567-578.
Cameron, Gelbach & Miller (2011), Robust inference with multiway clustering, J. Business & Economic Statistics 29,
238-249. Cameron & Miller (2015), A practitioner's guide to cluster-robust inference, J. Human Resources 50, 317-372
(G / (G - 1), Student's quantile). Carter, Schnepel & Steigerwald (2017), Asymptotic behavior of a t-test robust to
cluster heterogeneity, Review of Economics and Statistics 99, 698-709 (effective number of clusters).
Law & Carson (1979), A sequential procedure for determining the length of a steady-state simulation, Operations Research
27, 1011-1025 (joining batches while they are correlated).
von Neumann, Kent, Bellinson & Hart (1941), The mean square successive difference, Annals of Mathematical Statistics 12,
153-162; Wolter (2007), Introduction to Variance Estimation, chapter 8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, fdtrc, logit, ndtri, stdtrit

from core.metrics.metrics import Floats, Scale
from core.text import readable, significant

MIN_CLUSTERS = 10
"""Minimum clusters for a variance: with fewer it is too uncertain."""

MIN_REPEATS = 30
"""Minimum rows that share their cluster with an earlier row."""

LEVEL = 0.25
"""Level of the test whether clusters matter."""

CORRELATED = 1.645
"""Neighbouring periods are joined if their lag-1 autocorrelation exceeds this over the root of their number."""

Unit = Literal["", "day", "hour"]


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which rows belong together by one column.

    Parameters
    ----------
    column
        Name of the column: the model's key or its time.
    unit
        Length of a period of time; empty for a key.
    codes
        Cluster of each row, shape (n,), intp, from 0; periods in their order.
    """

    column: str
    unit: Unit
    codes: npt.NDArray[np.intp]

    @property
    def label(self) -> str:
        """Words for the clusters: the key's name, or the period."""
        name = readable(self.column, 60)
        return f"{self.unit}s of {name}" if self.unit else name


@dataclass(frozen=True, eq=False)
class Clusters:
    """All groupings of the same rows.

    Parameters
    ----------
    groupings
        Empty if the rows have neither a key that repeats nor a time.
    by_differences
        Whether the variance of periods comes from successive differences (the monitor) or joined periods (the gate).
    """

    groupings: tuple[Grouping, ...] = ()
    by_differences: bool = False

    def take(self, rows: npt.NDArray[Any]) -> Self:
        """Return the clusters of some of the rows: positions, or a mask."""
        return replace(self, groupings=tuple(replace(one, codes=one.codes[rows]) for one in self.groupings))


@dataclass(frozen=True)
class DesignEffect:
    """How much larger the variance of a mean over clustered rows is than over as many independent rows.

    Parameters
    ----------
    clusters
        What the rows come in clusters of, in words.
    icc
        Intraclass correlation by which clusters of these sizes give this effect.
    effect
        Ratio of the variances, above 1.
    n_clusters
        Number of clusters.
    freedom
        Degrees of freedom of the cluster-robust variance.
    """

    clusters: str
    icc: float
    effect: float
    n_clusters: int
    freedom: float

    @property
    def widening(self) -> float:
        """Ratio of the standard errors."""
        return float(np.sqrt(self.effect))

    @property
    def sentence(self) -> str:
        """The numbers, for people.

        Examples
        --------
        >>> DesignEffect("customer", 0.31, 4.2, 120, 100.0).sentence
        'rows come in clusters of customer (ICC 0.31, design effect 4.2): intervals are wider by 2.05'
        """
        numbers = f"ICC {significant(self.icc, 2)}, design effect {significant(self.effect, 2)}"
        return f"rows come in clusters of {self.clusters} ({numbers}): intervals are wider by {self.widening:.3g}"


def row_clusters(frame: pd.DataFrame, key: str | None, time: str | None, *, by_differences: bool = False) -> Clusters:
    """Return the clusters of rows by the model's key, if it repeats, and by periods of its time.

    A row without a key or a time is a cluster of its own. Periods are days; hours if there are fewer than ten days;
    none if there are fewer than ten hours.

    Parameters
    ----------
    frame
        n rows; a column that it lacks gives no clusters.
    key, time
        Names of the columns; None if the model has none.
    by_differences
        See :class:`Clusters`.
    """
    found: list[Grouping | None] = []
    if key is not None and key in frame:
        found.append(Grouping(key, "", _own(pd.factorize(frame[key])[0])))
    if time is not None and time in frame:
        found.append(_periods(time, frame[time]))
    return Clusters(tuple(one for one in found if one is not None and is_clustered(one.codes)), by_differences)


def design_effect(influence: Floats, clusters: Clusters | None, share: float = 1.0) -> DesignEffect | None:
    """Return the design effect of a statistic from the rows' influences on it; None if clusters do not matter.

    The null hypothesis of the test before it is that the influences are independent within clusters.

    Parameters
    ----------
    influence
        Influence of each row, shape (n,), float64, with mean zero.
    clusters
        Clusters of the same rows; None for none.
    share
        Share of the statistic's rows that are given, above 0 and at most 1: in a sample the clusters are smaller.
    """
    groupings = () if clusters is None else clusters.groupings
    by_differences = clusters is not None and clusters.by_differences
    found = [_effect(influence, grouping, by_differences, share) for grouping in groupings]
    return combined([one for one in found if one is not None])


def combined(effects: Sequence[DesignEffect]) -> DesignEffect | None:
    """Add the excess variances of several groupings; the smallest degrees of freedom count.

    Examples
    --------
    >>> day, customer = DesignEffect("day", 0.1, 3.0, 20, 19.0), DesignEffect("customer", 0.3, 2.0, 90, 89.0)
    >>> both = combined([customer, day])
    >>> both.clusters, both.effect, both.freedom
    ('customer and day', 4.0, 19.0)
    """
    if not effects:
        return None
    largest = max(effects, key=lambda one: one.effect)
    return replace(
        largest,
        clusters=" and ".join(one.clusters for one in effects),
        effect=1 + sum(one.effect - 1 for one in effects),
        freedom=min(one.freedom for one in effects),
    )


def stretch(effect: DesignEffect, freedom: float, confidence: float) -> float:
    """Return the ratio of a clustered interval's width to that of one for independent rows.

    Parameters
    ----------
    effect
        The design effect.
    freedom
        Degrees of freedom of Student's quantile in the interval for independent rows; infinity for a normal one.
    confidence
        Confidence of the interval, above 0 and below 1.
    """
    level = (1 + confidence) / 2
    before = ndtri(level) if np.isinf(freedom) else stdtrit(freedom, level)
    return effect.widening * float(stdtrit(min(freedom, effect.freedom), level) / before)


def stretched_interval(
    value: float, ends: tuple[float, float], factor: float, scale: Scale | None = None
) -> tuple[float, float]:
    """Widen an interval around its value by a factor, on the scale on which a metric is unbounded.

    Parameters
    ----------
    value
        Value of the metric.
    ends
        Ends of the interval.
    factor
        Ratio of the widths, at least 0.
    scale
        Bounds of the metric, see :class:`~core.metrics.metrics.Metric`; None if the value has none, as a difference.

    Examples
    --------
    >>> stretched_interval(0.1, (0.0, 0.3), 2)
    (-0.1, 0.5)
    >>> [round(end, 3) for end in stretched_interval(0.95, (0.9, 0.99), 2, "unit")]
    [0.81, 0.998]
    """
    to, back = _UNBOUNDED[scale]
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = to(value)
        low, high = (float(back(centre + factor * (to(end) - centre))) for end in ends)
    if np.isfinite(low) and np.isfinite(high):
        return low, high
    # A value at a bound, such as an accuracy of 1, has no place on the other scale.
    lowest, highest = _BOUNDS[scale]
    low, high = (value + factor * (end - value) for end in ends)
    return max(lowest, low), min(highest, high)


def _effect(influence: Floats, grouping: Grouping, by_differences: bool, share: float) -> DesignEffect | None:
    codes = np.unique(grouping.codes, return_inverse=True)[1]
    if not is_clustered(codes) or not influence.any():
        return None
    centred, label, differences = influence - influence.mean(), grouping.label, by_differences and bool(grouping.unit)
    if grouping.unit and not differences:
        codes, width = _joined(centred, codes)
        label = f"blocks of {width} {label}" if width > 1 else label
    sizes = np.bincount(codes)
    sums = _sums(centred, codes)
    ratio = (_successive(sums, sizes) if differences else _between(sums)) / float((centred**2).sum())
    freedom = effective_freedom(sizes, by_differences=differences)
    if fdtrc(freedom, len(codes) - len(sizes), ratio) > LEVEL:
        return None
    return DesignEffect(
        clusters=label,
        icc=float(min(1.0, (ratio - 1) / (mean_size(sizes) - 1))),
        effect=1 + (ratio - 1) / share,
        n_clusters=len(sizes),
        freedom=freedom if differences else min(freedom, _kurtosis_freedom(sums)),
    )


def effective_freedom(sizes: npt.NDArray[Any], *, by_differences: bool) -> float:
    """Return the degrees of freedom of a cluster-robust variance, for independent rows in clusters of these sizes.

    Parameters
    ----------
    sizes
        Rows of each cluster, shape (g,), at least 1.
    by_differences
        See :class:`Clusters`: a mean square successive difference has two thirds of the degrees.

    Examples
    --------
    >>> effective_freedom(np.full(20, 50), by_differences=False)
    19.0
    """
    n_effective = float(sizes.sum()) / mean_size(sizes)
    if by_differences:
        return 2 * (n_effective - 1) ** 2 / (3 * n_effective - 4)
    return n_effective - 1


def mean_size(sizes: npt.NDArray[Any]) -> float:
    """Return the mean size of the rows' clusters: clusters weighted by their rows."""
    return float((sizes.astype("float64") ** 2).sum() / sizes.sum())


def _sums(values: Floats, codes: npt.NDArray[np.intp]) -> Floats:
    return np.bincount(codes, weights=values).astype("float64")


def _between(sums: Floats) -> float:
    return float((sums**2).sum() * len(sums) / (len(sums) - 1))


def _successive(sums: Floats, sizes: npt.NDArray[np.intp]) -> float:
    """Return the variance of a sum over periods, from the differences of successive periods' means."""
    steps = np.diff(sums / sizes)
    return float((sizes[1:] * sizes[:-1] * steps**2).sum() / 2 * len(sums) / (len(sums) - 1))


def _joined(centred: Floats, codes: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], int]:
    """Join neighbouring periods while their sums are correlated; return the codes and the number of joined periods."""
    width, joined = 1, codes
    while (n_clusters := int(joined.max()) + 1) >= 2 * MIN_CLUSTERS:
        sums = _sums(centred, joined)
        products = float((sums[1:] * sums[:-1]).sum() / max((sums**2).sum(), np.finfo(float).tiny))
        if products <= CORRELATED / np.sqrt(n_clusters):
            break
        width, joined = 2 * width, joined // 2
    return joined, width


def _kurtosis_freedom(sums: Floats) -> float:
    """Return the degrees of freedom of the clusters' sum of squares: few if few clusters decide it."""
    squares, n = sums**2, len(sums)
    kurtosis = ((squares / squares.mean()) ** 2).mean()
    return float(2 * n / max(kurtosis - (n - 3) / (n - 1), 2 * n / (n - 1)))


def _own(codes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Make each row without a code (-1) a cluster of its own, after all others."""
    missing = codes < 0
    codes = codes.astype(np.intp)
    codes[missing] = codes.max(initial=-1) + 1 + np.arange(int(missing.sum()))
    return codes


def _periods(name: str, times: pd.Series[Any]) -> Grouping | None:
    moments = times.to_numpy("datetime64[us]")
    known = ~np.isnat(moments)
    for unit, code in _UNITS:
        starts, found = np.unique(moments[known].astype(f"datetime64[{code}]"), return_inverse=True)
        if len(starts) >= MIN_CLUSTERS:
            codes = np.full(len(moments), -1, dtype=np.intp)
            codes[known] = found
            return Grouping(name, unit, _own(codes))
    return None


def is_clustered(codes: npt.NDArray[np.intp]) -> bool:
    """Return whether there are enough clusters, and enough rows that share one, for a variance over clusters."""
    n_clusters = len(np.unique(codes))
    return n_clusters >= MIN_CLUSTERS and len(codes) - n_clusters >= MIN_REPEATS


_UNITS: tuple[tuple[Unit, str], ...] = (("day", "D"), ("hour", "h"))


def _same(value: Any) -> Any:
    return value


_UNBOUNDED: dict[Scale | None, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    None: (_same, _same),
    "unit": (logit, expit),
    "positive": (np.log, np.exp),
    "below_one": (lambda value: -np.log1p(-value), lambda value: -np.expm1(-value)),
}

_BOUNDS: dict[Scale | None, tuple[float, float]] = {
    None: (-np.inf, np.inf),
    "unit": (0.0, 1.0),
    "positive": (0.0, np.inf),
    "below_one": (-np.inf, 1.0),
}

"""Design effects of a window's columns: how much larger the chance of a PSI is where rows come in clusters.

PSI without drift is about ``(1/n + 1/m)`` times a chi-square only if rows are independent. With clusters, it is a sum
of chi-squares whose weights are the eigenvalues of the ratio of the two covariances of the shares, the generalized
design effects. Their mean divides the PSI, and their spread lowers its degrees of freedom (Rao and Scott); because the
covariance is estimated from few clusters, F takes the place of chi-square (Thomas and Rao).

The effects are measured in the sample of the window's rows, and are taken to hold for the reference's rows too.

References
----------
Rao & Scott (1981), The analysis of categorical data from complex sample surveys: chi-squared tests for goodness of fit
and independence in two-way tables, JASA 76, 221-230; Rao & Scott (1984), Annals of Statistics 12, 46-60.
Thomas & Rao (1987), Small-sample comparisons of level and power for simple goodness-of-fit statistics under cluster
sampling, JASA 82, 630-636.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import chdtrc

from core.drift.counts import all_counts
from core.drift.profile import ColumnProfile, LevelProfile
from core.feature_contract import level_text
from core.metrics.clusters import (
    Clusters,
    DesignEffect,
    Grouping,
    combined,
    effective_freedom,
    is_clustered,
    mean_size,
)
from core.metrics.metrics import Floats
from core.text import readable, significant

LEVEL = 0.1
"""Level of the test whether clusters matter for a column; lower than for a metric, because columns also have a bound of
the PSI, which a small design effect does not reach."""

MIN_CELL = 5
"""Minimum rows of a bin; smaller bins are judged together, because their shares vary too much for a covariance."""


@dataclass(frozen=True)
class TableEffect:
    """Design effect of a column's counts.

    Parameters
    ----------
    design
        The mean of the generalized design effects, with the clusters behind it.
    spread
        Squared coefficient of variation of the generalized design effects, at least 0.
    """

    design: DesignEffect
    spread: float


def column_effect(
    profile: ColumnProfile, values: pd.Series[Any], clusters: Clusters, share: float = 1.0, *, with_missing: bool = True
) -> TableEffect | None:
    """Return the design effect of a column's counts; None if clusters do not matter for it.

    Parameters
    ----------
    profile
        The reference's bins.
    values
        The column in a sample of the window's rows, shape (n,).
    clusters
        Clusters of the sample's rows.
    share
        Share of the window's rows that are in the sample, above 0 and at most 1.
    with_missing
        Whether rows without a value are a bin; otherwise they are left out.
    """
    codes = bin_codes(profile, values)
    if not with_missing:
        present = codes < len(all_counts(profile)) - 1
        codes, clusters = codes[present], clusters.take(present)
    effects = [
        effect
        for grouping in clusters.groupings
        if (effect := _effect(codes, grouping, clusters.by_differences, share)) is not None
    ]
    total = combined([effect.design for effect in effects])
    return None if total is None else TableEffect(total, max(effect.spread for effect in effects))


def column_effects(
    columns: Sequence[tuple[ColumnProfile, pd.Series[Any], bool]], clusters: Clusters, share: float
) -> dict[str, TableEffect]:
    """Return the design effects of a window's columns, by the profile's name; those that matter only.

    Parameters
    ----------
    columns
        The reference's bins, the values in a sample of the rows, and whether rows without a value are a bin.
    clusters
        Clusters of the sample's rows.
    share
        Share of the window's rows that are in the sample, above 0 and at most 1.
    """
    if not clusters.groupings:
        return {}
    found = {
        profile.name: column_effect(profile, values, clusters, share, with_missing=with_missing)
        for profile, values, with_missing in columns
    }
    return {name: effect for name, effect in found.items() if effect is not None}


def bin_codes(profile: ColumnProfile, values: pd.Series[Any]) -> npt.NDArray[np.intp]:
    """Return the bin of each value, as its place in :func:`~core.drift.counts.all_counts`, shape (n,).

    Examples
    --------
    >>> region = LevelProfile("region", "levels", ("north", "south"), (5, 3), 2, 1)
    >>> bin_codes(region, pd.Series(["south", "west", None])).tolist()
    [1, 2, 3]
    """
    last = len(all_counts(profile)) - 1
    if isinstance(profile, LevelProfile):
        codes, levels = pd.factorize(values)
        places = {level: place for place, level in enumerate(profile.levels)}
        found = np.array([places.get(level_text(level), last - 1) for level in levels] + [last], dtype=np.intp)
        return found[codes]
    if profile.kind == "date":
        return np.where(values.isna(), last, 0).astype(np.intp)
    numbers = values.to_numpy("float64", na_value=np.nan)
    return np.where(np.isnan(numbers), last, np.searchsorted(profile.edges, numbers, side="right")).astype(np.intp)


def cluster_note(effects: Mapping[str, TableEffect], rows: DesignEffect | None) -> tuple[str, ...]:
    """Return a sentence on the clusters of a window's rows; none if they do not matter.

    Parameters
    ----------
    effects
        By column; a column for which clusters do not matter has none.
    rows
        Effect on the performance of labelled rows; None if there is none.
    """
    if not effects:
        return () if rows is None else (rows.sentence,)
    name, worst = max(effects.items(), key=lambda item: item[1].design.effect)
    columns = f"{len(effects)} columns" if len(effects) > 1 else "1 column"
    counted = (
        f"rows come in clusters of {worst.design.clusters}, which matter for {columns}: chance explains a PSI up to "
        f"{significant(worst.design.effect, 2)} times as large as with independent rows ({readable(name, 60)}, "
        f"ICC {significant(worst.design.icc, 2)})"
    )
    return (counted,) if rows is None else (counted, f"performance: {rows.sentence}")


def _effect(codes: npt.NDArray[np.intp], grouping: Grouping, by_differences: bool, share: float) -> TableEffect | None:
    clusters = np.unique(grouping.codes, return_inverse=True)[1]
    cells = _cells(codes)
    n_cells, differences = int(cells.max(initial=0)) + 1, by_differences and bool(grouping.unit)
    if n_cells < 2 or not is_clustered(clusters):
        return None
    table = np.bincount(clusters * n_cells + cells, minlength=(clusters.max() + 1) * n_cells).astype("float64")
    covariance = _relative_covariance(table.reshape(-1, n_cells), differences)
    sizes, ratio = np.bincount(clusters), float(np.trace(covariance)) / (n_cells - 1)
    freedom = effective_freedom(sizes, by_differences=differences)
    degrees = freedom * (n_cells - 1)
    if chdtrc(degrees, ratio * degrees) > LEVEL:
        return None
    icc = min(1.0, (ratio - 1) / (mean_size(sizes) - 1))
    design = DesignEffect(grouping.label, icc, 1 + (ratio - 1) / share, len(sizes), freedom)
    squares = float((covariance**2).sum())
    return TableEffect(design, max(0.0, squares / ((n_cells - 1) * ratio**2) - 1))


def _cells(codes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Put the bins that hold too few rows together, and number the bins from 0."""
    counts = np.bincount(codes)
    large = counts >= MIN_CELL
    places = np.where(large, np.cumsum(large), 0)[codes]
    return np.unique(places, return_inverse=True)[1].astype(np.intp)


def _relative_covariance(table: Floats, differences: bool) -> Floats:
    """Return the covariance of the shares over clusters, divided by the variances of independent rows."""
    sizes, shares = table.sum(axis=1, keepdims=True), table.sum(axis=0) / table.sum()
    n_clusters = len(table)
    if differences:
        deviations = np.diff(table / sizes, axis=0) * np.sqrt(sizes[1:] * sizes[:-1] / 2)
    else:
        deviations = table - sizes * shares
    scaled = deviations / np.sqrt(shares)
    found: Floats = scaled.T @ scaled * (n_clusters / (n_clusters - 1) / table.sum())
    return found

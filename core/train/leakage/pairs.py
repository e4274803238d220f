"""How well pairs of columns predict the target: differences, sums, ratios, products, tables, a line per level.

All pairs of numbers are screened at once by the R² of two columns, which follows from three correlations. Only the
pairs with the largest gain over their better column are scored.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from core.train.leakage.scores import Codes, Vector, group_codes, grouped_score, single_feature_score, standardised

MAX_SCREENED = 1000
"""Maximum number of columns whose pairs are screened: a million correlations are 8 MB and a tenth of a second."""

MAX_DATES = 12
MAX_CLOCKS = 8
MAX_SCORED = 10
"""Maximum number of pairs that are scored, for each way to combine two numbers and each class."""

MAX_LEFT = 0.6
MAX_LEFT_CLASSES = 0.95
"""Pairs that leave more of their better column's error are not scored; R² understates a step in the target."""

MAX_TABLE_COLUMNS = 12
MAX_CLASSES = 5
TABLE_BINS = 16
MIN_ROWS = 100
MIN_TABLE_ROWS = 20
"""Minimum mean rows per cell of a table of two columns."""

SAME_WEIGHT = 0.02
DAY_MINUTES = 1440


@dataclass(frozen=True)
class Table:
    """Columns beside the target.

    Parameters
    ----------
    columns
        Name: shape (n_rows,), numbers with NaN if missing (booleans, and dates in a unit of time), or levels.
    dates
        Names of the columns of dates.
    y
        Shape (n_rows,). Binary: 0 and 1; multiclass: codes from 0; regression: numbers.
    task
        ``binary``, ``multiclass`` or ``regression``.
    scores
        Score of each column alone.
    fixed
        Columns that are known beforehand or are no features, such as the time column: only their pairs are judged.
    """

    columns: Mapping[str, npt.NDArray[Any]]
    dates: Set[str]
    y: npt.NDArray[Any]
    task: str
    scores: Mapping[str, float]
    fixed: Set[str] = frozenset()

    def without(self, names: Container[str]) -> Table:
        """Return the table without some columns."""
        return replace(self, columns={name: x for name, x in self.columns.items() if name not in names})

    @property
    def numbers(self) -> list[str]:
        """Names of the columns of numbers and dates, the best alone first, at most :data:`MAX_SCREENED`."""
        names = [name for name, x in self.columns.items() if x.dtype.kind == "f"]
        return sorted(names, key=lambda name: (name not in self.dates, -self.scores[name]))[:MAX_SCREENED]

    @property
    def goals(self) -> list[Vector]:
        """The target as numbers; for classes, an indicator of each of the most frequent ones."""
        if self.task != "multiclass":
            return [self.y.astype(np.float64)]
        labels, counts = np.unique(self.y, return_counts=True)
        frequent = labels[np.argsort(-counts, kind="stable")][:MAX_CLASSES]
        return [(self.y == label).astype(np.float64) for label in frequent]


@dataclass(frozen=True)
class Pair:
    """Two columns and how well they predict the target together.

    Parameters
    ----------
    names
        The two columns.
    words
        How they are combined, with ``{}`` for each name.
    score
        Out-of-fold AUC or R², as of a single column, on the rows that have both values.
    alone
        The better score of the two alone.
    """

    names: tuple[str, str]
    words: str
    score: float
    alone: float


@dataclass(frozen=True)
class Triple:
    """Three columns of numbers and how well a weighted sum of them separates two classes.

    Parameters
    ----------
    names
        The columns, the best alone first.
    score, alone
        As of :class:`Pair`.
    """

    names: tuple[str, ...]
    score: float
    alone: float


def pair_scores(table: Table) -> list[Pair]:
    """Return the best way to combine each promising pair of columns, the pair with the smallest error first."""
    best: dict[frozenset[str], Pair] = {}
    for pair in _scored(table):
        known = best.get(frozenset(pair.names))
        if known is None or pair.score > known.score + 1e-4:
            best[frozenset(pair.names)] = pair
    return sorted(best.values(), key=lambda pair: (-round(pair.score, 4), pair.alone, pair.names))


def triple_scores(table: Table) -> list[Triple]:
    """Return the pairs that separate two classes together with the best column of numbers, the best first.

    A delay at departure says much about one at arrival; with the elapsed and the planned minutes it says everything,
    though neither of these says anything alone.
    """
    numbers = sorted(table.numbers, key=lambda name: -table.scores[name])
    if table.task != "binary" or len(numbers) < 3:
        return []
    best, y = numbers[0], table.y.astype(np.float64)
    codes = group_codes(table.columns[best])
    means = np.bincount(codes, y) / np.maximum(np.bincount(codes), 1)
    rest = [name for name in numbers[1:] if name not in table.dates]
    pairs = _screened(table, rest, [y - means[codes]], {})
    return sorted((_triple(table, (best, *names)) for *names, _ in pairs), key=lambda triple: -triple.score)


def _triple(table: Table, names: tuple[str, ...]) -> Triple:
    from sklearn.linear_model import LogisticRegression

    X = standardised(np.column_stack([table.columns[name] for name in names])) * np.sqrt(len(table.y))
    fitted = LogisticRegression(C=100.0, solver="newton-cholesky").fit(X, table.y)
    score = single_feature_score(fitted.decision_function(X), table.y, table.task)
    return Triple(names, score, max(table.scores[name] for name in names))


def n_unscreened(table: Table) -> int:
    """Return the number of columns of numbers whose pairs :func:`pair_scores` does not look at."""
    return max(0, sum(x.dtype.kind == "f" for x in table.columns.values()) - MAX_SCREENED)


def _scored(table: Table) -> Iterator[Pair]:
    numbers = table.numbers
    dates = [name for name in numbers if name in table.dates][:MAX_DATES]
    clocks = [name for name in numbers if name not in table.dates and is_clock(table.columns[name])][:MAX_CLOCKS]
    for names in combinations(dates, 2):
        yield from _pair(table, names, "{} minus {}", table.columns[names[0]] - table.columns[names[1]])
    for names in combinations(clocks, 2):
        apart = minutes(table.columns[names[0]]) - minutes(table.columns[names[1]])
        around = (apart + DAY_MINUTES / 2) % DAY_MINUTES - DAY_MINUTES / 2
        yield from _pair(table, names, "{} minus {}, as times of day,", around)
    yield from _sums(table, numbers)
    yield from _products(table, [name for name in numbers if name not in table.dates])
    yield from _tables(table)


def _pair(table: Table, names: tuple[str, str], words: str, combined: Vector) -> Iterator[Pair]:
    known = np.isfinite(combined)
    if known.sum() >= MIN_ROWS:
        score = single_feature_score(combined[known], table.y[known], table.task)
        yield Pair(names, words, score, max(table.scores[name] for name in names))


def _sums(table: Table, names: Sequence[str]) -> Iterator[Pair]:
    for first, second, goal in _screened(table, names, table.goals, {}):
        a, b = table.columns[first], table.columns[second]
        weights = _weights(a, b, goal)
        if weights is None:
            continue
        ratio = weights[1] / weights[0]
        if abs(abs(ratio) - 1) <= SAME_WEIGHT:
            ratio = float(np.sign(ratio))
        words = {1.0: "{} plus {}", -1.0: "{} minus {}"}.get(ratio, "a weighted sum of {} and {}")
        yield from _pair(table, (first, second), words, a + ratio * b)


def _products(table: Table, names: Sequence[str]) -> Iterator[Pair]:
    """Score products and ratios: in logarithms they are sums and differences."""
    logs = {name: np.log(x) for name in names if _is_positive(x := table.columns[name])}
    goals = table.goals
    if table.task == "regression":
        goals = [np.log(goals[0])] if np.all(goals[0] > 0) else goals
    for first, second, goal in _screened(table, list(logs), goals, logs):
        weights = _weights(logs[first], logs[second], goal)
        if weights is None:
            continue
        power = weights[1] / weights[0]
        if abs(abs(power) - 1) <= SAME_WEIGHT:
            power = float(np.sign(power))
        words = {1.0: "{} times {}", -1.0: "{} divided by {}"}.get(power, "a product of powers of {} and {}")
        yield from _pair(table, (first, second), words, np.exp(logs[first] + power * logs[second]))


def _is_positive(x: Vector) -> bool:
    known = x[np.isfinite(x)]
    return len(known) >= MIN_ROWS and bool(np.all(known > 0)) and float(np.ptp(known)) > 0


def _screened(
    table: Table, names: Sequence[str], goals: Iterable[Vector], values: Mapping[str, Vector]
) -> Iterator[tuple[str, str, Vector]]:
    """Choose the pairs whose R² leaves the smallest part of the error of the better column."""
    if len(names) < 2:
        return
    X = standardised(np.column_stack([values.get(name, table.columns[name]) for name in names]))
    between = X.T @ X
    rows, columns = np.triu_indices(len(names), 1)
    for goal in goals:
        y = standardised(goal[:, None])[:, 0]
        left = _error_left(X.T @ y, between[rows, columns], rows, columns)
        chosen = np.argsort(left, kind="stable")[:MAX_SCORED]
        for place in chosen[left[chosen] <= (MAX_LEFT if table.task == "regression" else MAX_LEFT_CLASSES)]:
            yield names[rows[place]], names[columns[place]], goal


def _error_left(r: Vector, between: Vector, rows: Codes, columns: Codes) -> Vector:
    """Return 1 - R² of each pair, relative to 1 - R² of its better column."""
    a, b = r[rows], r[columns]
    free = 1 - between**2
    with np.errstate(divide="ignore", invalid="ignore"):
        both = (a**2 + b**2 - 2 * a * b * between) / free
    better = np.maximum(a**2, b**2)
    both = np.where(free > 1e-12, np.clip(both, better, 1), better)
    left: Vector = (1 - both + 1e-9) / (1 - better + 1e-9)
    return left


def _weights(a: Vector, b: Vector, y: Vector) -> Vector | None:
    """Return the least-squares weights of two columns; None if the first has none."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < MIN_ROWS:
        return None
    centred = np.column_stack([a[known] - a[known].mean(), b[known] - b[known].mean()])
    norms = np.maximum(np.linalg.norm(centred, axis=0), 1e-300)
    weights: Vector = np.linalg.lstsq(centred / norms, y[known] - y[known].mean(), rcond=1e-14)[0] / norms
    return weights if weights[0] and np.isfinite(weights).all() else None


def _tables(table: Table) -> Iterator[Pair]:
    """Score tables of the best columns: an exact function of two columns, also if it is no formula."""
    best = sorted(table.columns, key=lambda name: -table.scores[name])[:MAX_TABLE_COLUMNS]
    codes = {name: group_codes(table.columns[name], TABLE_BINS) for name in best}
    for first, second in combinations(best, 2):
        cells = codes[first] * (int(codes[second].max()) + 1) + codes[second]
        if len(np.unique(cells)) * MIN_TABLE_ROWS <= len(cells):
            score = grouped_score(cells, table.y, table.task)
            alone = max(table.scores[first], table.scores[second])
            yield Pair((first, second), "a table of {} and {}", score, alone)
        for number, level in ((first, second), (second, first)):
            yield from _lines(table, number, level)


def _lines(table: Table, number: str, level: str) -> Iterator[Pair]:
    """Score a line per level, as of amounts in several currencies."""
    x, levels = table.columns[number], group_codes(table.columns[level], TABLE_BINS)
    if table.task != "regression" or x.dtype.kind != "f" or table.columns[level].dtype.kind == "f":
        return
    if len(np.unique(levels)) * MIN_TABLE_ROWS > len(x):
        return
    known = np.isfinite(x)
    fitted = np.full(len(x), np.nan)
    for code in np.unique(levels[known]):
        rows = known & (levels == code)
        if rows.sum() >= MIN_TABLE_ROWS and np.ptp(x[rows]) > 0:
            fitted[rows] = np.polynomial.Polynomial.fit(x[rows], table.y[rows], 1)(x[rows])
    left = np.nansum((table.y - fitted) ** 2) / max(np.sum((table.y - table.y.mean()) ** 2), 1e-300)
    if left <= MAX_LEFT * (1 - max(table.scores[number], table.scores[level])):
        yield from _pair(table, (number, level), "{} in units that depend on {}", fitted)


def is_clock(x: Vector) -> bool:
    """Return whether numbers are times of day such as 1745: whole, up to 2400, the last two digits below 60.

    Examples
    --------
    >>> hours = np.repeat(np.arange(24.0), 60)
    >>> is_clock(100 * hours + np.tile(np.arange(60.0), 24)), is_clock(np.arange(1440.0))
    (True, False)
    """
    known = x[np.isfinite(x)]
    if len(known) < MIN_ROWS or known.min() < 0 or not 1000 < known.max() <= 2400:
        return False
    return bool(np.all(known % 1 == 0) and np.all(known % 100 < 60) and len(np.unique(known)) >= 50)


def minutes(clock: Vector) -> Vector:
    """Return times of day such as 1745 as minutes since midnight.

    Examples
    --------
    >>> minutes(np.array([5.0, 1745.0])).tolist()
    [5.0, 1065.0]
    """
    since: Vector = clock // 100 * 60 + clock % 100
    return since

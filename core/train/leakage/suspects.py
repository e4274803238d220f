"""Decide which columns may be known only after the target, by what they achieve alone and in pairs and by their names.

A strong feature is no leak, so strength alone is a reason to ask only where it is far from that of the other columns.
``perennial init`` and the check before a training share these decisions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from core.feature_contract import MISSING
from core.text import name_words, short
from core.train.leakage.pairs import Pair, Table, n_unscreened, pair_scores, triple_scores
from core.train.leakage.scores import Codes, Vector, additive_score, group_codes

MAX_ROWS = 5000
"""Maximum number of rows: an AUC is known to ±0.01 with as many, and a pair's score takes two milliseconds."""

MIN_ROWS = 100
MIN_CLASS_ROWS = 200
"""Minimum rows of the rarest class for a pair to count as certain: by chance a few rows are easily separated."""

EXACT = 0.999
EXACT_LEFT = 0.1
STRONG = {"regression": 0.98, "classes": 0.985}
STRONG_LEFT = 0.2
DATED = {"regression": 0.9, "classes": 0.95}
FAR = {"regression": 0.9, "classes": 0.97}
FAR_LEFT = 0.5
"""Score of a pair or column, and its error relative to that of the pair's better column or of the next column."""

MAX_EARLIER = 0.001
"""Maximum share of rows in which a date is before another that it follows."""

NAMED = {"regression": 0.25, "classes": 0.7}
SHARED = {"regression": 0.7, "classes": 0.85}
"""Minimum score of a column whose name is evidence, and of one that shares a word with the target."""

NAMED_GAIN = {"regression": 0.1, "classes": 0.3}
"""Minimum share of the other columns' error that a column explains whose name is evidence."""

SUMMARY_LEFT = 0.8
SUMMARY_NEAR = 0.1
SUMMARY_ERROR = 0.02
"""Maximum standard error for a comparison with all other columns: with 30 rows of a class their sum overfits."""

MAX_TOGETHER = 64
FOLLOWING_LEFT = 0.02
MIN_FOLLOWING_ROWS = 30
MAX_FOLLOWING_LEVELS = 50
MIN_MARKED = 0.2
MAX_MARKED = 0.001
MIN_PREDICTED_VALUES = 20
MAX_REMARKS = 5

AFTER_WORDS = frozenset(
    {"actual", "arrival", "arrived", "closed", "closing", "completed", "completion", "discharge", "discharged"}
    | {
        "delivered",
        "dropoff",
        "duration",
        "elapsed",
        "end",
        "ended",
        "final",
        "finish",
        "finished",
        "outcome",
        "resolution",
    }
    | {"real", "realised", "realized", "resolved", "result", "results"}
)
PREDICTION_WORDS = frozenset(
    {"estimate", "estimated", "fitted", "forecast", "hat", "pred", "predicted", "prediction", "predictions", "preds"}
    | {"prob", "proba", "probability", "resid", "residual", "score", "scored", "scores", "yhat"}
)
TOTAL_WORDS = frozenset({"gross", "overall", "sum", "total", "totals"})
KNOWN_WORDS = frozenset(
    {"ago", "crs", "earlier", "expected", "lag", "lagged", "last", "planned", "prev", "previous", "prior", "sched"}
    | {"scheduled", "yesterday"}
)
"""A name with one of these says that the value is an earlier or a planned one: near the target, and known."""

ADVICE = "if it is not known when predicting, move it to features.ignored"


@dataclass(frozen=True)
class Suspect:
    """Columns that may be known only after the target.

    Parameters
    ----------
    names
        One column or two.
    why
        What they achieve and why that is a reason to ask.
    score
        AUC (classes) or R² (regression).
    certain
        True if two columns reproduce the target, as a single column does that the training's check refuses.
    later
        Columns of a certain pair that are probably known only with the target: without them the pair is none.
    """

    names: tuple[str, ...]
    why: str
    score: float
    certain: bool = False
    later: tuple[str, ...] = ()

    @property
    def remark(self) -> str:
        """A sentence with what to do."""
        advice = ADVICE if len(self.names) == 1 else ADVICE.replace("it is", "one is").replace("it to", "that one to")
        return f"{self.why}; {advice}"


@dataclass(frozen=True)
class Suspects:
    """Findings about a table.

    Parameters
    ----------
    found
        The strongest first; at most :data:`MAX_REMARKS` that are not certain.
    n_unscreened
        Number of columns of numbers whose pairs were not looked at.
    """

    found: tuple[Suspect, ...] = ()
    n_unscreened: int = 0

    @property
    def certain(self) -> tuple[Suspect, ...]:
        """Pairs that reproduce the target."""
        return tuple(suspect for suspect in self.found if suspect.certain)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences about the others, and about what was not looked at."""
        left = f"leakage by pairs was not looked for in {self.n_unscreened:,} columns of numbers, the weakest alone"
        remarks = tuple(suspect.remark for suspect in self.found if not suspect.certain)
        return (*remarks, left) if self.n_unscreened else remarks


def suspects(table: Table, target: str, shares: npt.NDArray[np.float64] | None = None) -> Suspects:
    """Return the columns and pairs of columns that may be known only after the target.

    Parameters
    ----------
    table
        Columns that do not reproduce the target alone.
    target
        Name of the target: a column may share a word with it.
    shares
        Classes: their shares in all rows, if the table has others.

    References
    ----------
    Hanley and McNeil, 1982: variance of an AUC. Cohen et al., 2003: standard error of R².
    """
    if len(table.y) < MIN_ROWS or not table.columns:
        return Suspects()
    sampled = _sampled(table)
    pairs = [found for pair in pair_scores(sampled) if (found := _pair_suspect(sampled, pair))]
    singles = [
        found
        for name in table.columns
        if name not in table.fixed and (found := _Single(name, table, sampled, target, shares).suspect()) is not None
    ]
    chosen = _distinct([suspect for suspect in pairs if suspect.certain])
    certain = {name for suspect in chosen for name in suspect.names}
    rest = [one for one in singles if one.names[0] not in certain]
    asked = {one.names[0] for one in rest} | certain
    rest += _distinct([pair for pair in pairs if not pair.certain and not asked.intersection(pair.names)])
    rest += _triples(sampled) if not chosen else []
    rest.sort(key=lambda suspect: -suspect.score)
    return Suspects((*chosen, *rest[:MAX_REMARKS]), n_unscreened(sampled))


def _sampled(table: Table) -> Table:
    if len(table.y) <= MAX_ROWS:
        return table
    rows = np.sort(np.random.default_rng(0).choice(len(table.y), MAX_ROWS, replace=False))
    return replace(table, y=table.y[rows], columns={name: x[rows] for name, x in table.columns.items()})


def _distinct(suspects: Sequence[Suspect]) -> list[Suspect]:
    """Keep a pair only if none of its columns is in a stronger one: with a leak, every other column makes a pair."""
    chosen: list[Suspect] = []
    for suspect in suspects:
        if not any(set(suspect.names) & set(other.names) for other in chosen):
            chosen.append(suspect)
    return chosen


def _kind(task: str) -> str:
    return "regression" if task == "regression" else "classes"


def _reaches(task: str, score: float) -> str:
    return f"{'R²' if task == 'regression' else 'AUC'} {score:.3f}"


def standard_error(score: float, y: npt.NDArray[Any], task: str) -> float:
    """Return the standard error of an AUC or R²; a perfect score has that of one wrong row.

    Parameters
    ----------
    score
        AUC or R².
    y
        Shape (n,): class codes, or the values of a regression.
    task
        ``binary``, ``multiclass`` or ``regression``.

    Examples
    --------
    >>> round(standard_error(0.8, np.arange(1000) % 2, "binary"), 3)
    0.014
    >>> round(standard_error(0.8, np.arange(1000.0), "regression"), 3)
    0.011
    """
    if task == "regression":
        r2 = min(score, 1 - 1 / len(y))
        return math.sqrt(4 * r2 * (1 - r2) ** 2 / len(y))
    rare = _rarest(y)
    auc, others = min(score, 1 - 1 / rare), len(y) - rare
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (rare - 1) * (first - auc**2) + (others - 1) * (second - auc**2)
    return math.sqrt(spread / (rare * others))


def _rarest(y: npt.NDArray[Any]) -> int:
    return int(np.unique(y, return_counts=True)[1].min())


def _pair_suspect(table: Table, pair: Pair) -> Suspect | None:
    """Ask about a pair that is far better than its columns; it is certain if it is exact."""
    left = (1 - pair.score) / max(1 - pair.alone, 1e-9)
    kind, n_columns = _kind(table.task), len(table.columns)
    # So many pairs are compared that one is this much too good by chance in a hundred tables.
    chance = math.sqrt(2 * math.log(max(n_columns * n_columns, 2) * 50))
    lowest = pair.score - chance * standard_error(pair.score, table.y, table.task)
    by_dates = all(name in table.dates for name in pair.names)
    bound, most_left = (DATED, FAR_LEFT) if by_dates else (STRONG, STRONG_LEFT)
    if left > most_left or pair.score < bound[kind] or lowest < bound[kind] - 0.05:
        return None
    names = pair.words.format(*map(short, pair.names))
    why = f"{names} reaches {_reaches(table.task, pair.score)} (alone at most {max(pair.alone, 0.0):.3f})"
    enough = table.task == "regression" or _rarest(table.y) >= MIN_CLASS_ROWS
    certain = enough and pair.score >= EXACT and left <= EXACT_LEFT
    return Suspect(pair.names, why, pair.score, certain, _later(table, pair.names) if certain else ())


def _triples(table: Table) -> list[Suspect]:
    """Ask about three columns of which a weighted sum separates two classes."""
    if _kind(table.task) == "regression" or _rarest(table.y) < MIN_CLASS_ROWS:
        return []
    for triple in triple_scores(table)[:1]:
        if triple.score >= EXACT and 1 - triple.score <= EXACT_LEFT * (1 - triple.alone):
            names = " and ".join(map(short, triple.names))
            why = f"a weighted sum of {names} reaches {_reaches(table.task, triple.score)}"
            return [Suspect(triple.names, f"{why} (alone at most {triple.alone:.3f})", triple.score)]
    return []


def _later(table: Table, names: tuple[str, str]) -> tuple[str, ...]:
    """Return which of two columns is known later; both if neither names, kinds nor values decide it."""
    open_names = tuple(name for name in names if name not in table.fixed)
    if len(open_names) < 2:
        return open_names
    named = tuple(name for name in names if AFTER_WORDS.intersection(name_words(name)))
    numbers = tuple(name for name in names if table.columns[name].dtype.kind == "f")
    for chosen in (named, numbers):
        if len(chosen) == 1:
            return chosen
    return _later_dates(table, names) if set(names) <= table.dates else names


def _later_dates(table: Table, names: tuple[str, str]) -> tuple[str, ...]:
    after = table.columns[names[0]] - table.columns[names[1]]
    after = after[np.isfinite(after)]
    if np.mean(after < 0) <= MAX_EARLIER:
        return names[:1]
    return names[1:] if np.mean(after > 0) <= MAX_EARLIER else names


@dataclass(frozen=True)
class _Single:
    """One column, and what it takes to judge it."""

    name: str
    table: Table
    sampled: Table
    target: str
    shares: npt.NDArray[np.float64] | None

    @property
    def score(self) -> float:
        return self.table.scores[self.name]

    @property
    def error(self) -> float:
        return standard_error(self.score, self.table.y, self.table.task)

    @property
    def following(self) -> float:
        """The best score of the other columns."""
        return max((score for name, score in self.table.scores.items() if name != self.name), default=0.0)

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of its name; none if they say that the value is known beforehand."""
        words = frozenset(name_words(self.name))
        return frozenset() if words & KNOWN_WORDS else words

    @cached_property
    def rivals(self) -> float:
        """What the other columns reach together."""
        return _together(self.sampled, [name for name in self.sampled.columns if name != self.name])

    @cached_property
    def together(self) -> float:
        """What all columns reach together."""
        return _together(self.sampled, list(self.sampled.columns))

    def suspect(self) -> Suspect | None:
        """Return the strongest evidence, if there is any."""
        why = next(_reasons(self), None)
        if why is None:
            return None
        reaches = f"{short(self.name)} reaches {_reaches(self.table.task, self.score)} alone"
        return Suspect((self.name,), reaches + why, self.score)


def _together(table: Table, names: Sequence[str]) -> float:
    best = sorted(names, key=lambda name: (name not in table.dates, -table.scores[name]))[:MAX_TOGETHER]
    return additive_score([table.columns[name] for name in best], table.y, table.task) if best else 0.0


def _reasons(one: _Single) -> Iterator[str]:
    """Yield what makes one column a suspect."""
    x, task, is_date = one.sampled.columns[one.name], one.table.task, one.name in one.table.dates
    if not is_date and follows(x, one.sampled.y, task):
        yield " and follows from the target (each of its values belongs to one range or class of it)"
    if task == "binary" and (share := marked_share(x, one.sampled.y, one.shares)):
        yield f", and a value of it (or that it has one) occurs only in one class, in {share:.0%} of its rows"
    if not is_date and x.dtype.kind == "f" and KNOWN_WORDS.isdisjoint(name_words(one.name)):
        if is_prediction(x, one.sampled.y, task, one.score, one.shares):
            yield ", and its values are predictions of the target, or copies of it with an error"
        if is_total(x, one.sampled.y, task) and one.words & TOTAL_WORDS and one.score >= NAMED[_kind(task)]:
            yield " and is never below the target, which may be a part of this total"
    if _is_far(one) and KNOWN_WORDS.isdisjoint(name_words(one.name)):
        yield ", far more than any other column"
    if _is_summary(one):
        yield f", the other columns together {one.rivals:.3f}, and they add nothing to it: it may be a model's output"
    yield from _named(one)


def _is_far(one: _Single) -> bool:
    """Return whether a column is almost perfect and the next one is not, by more than chance explains."""
    least = FAR[_kind(one.table.task)]
    if one.score - 2 * one.error < least or 1 - one.score > FAR_LEFT * (1 - one.following):
        return False
    return one.score - 3 * one.error > one.following + 3 * standard_error(one.following, one.table.y, one.table.task)


def _is_summary(one: _Single) -> bool:
    """Return whether a column does what all others do together, and they add nothing, as a model's output does."""
    kind = _kind(one.table.task)
    named = bool(one.words & PREDICTION_WORDS)
    if (
        one.error > SUMMARY_ERROR
        or one.score < NAMED[kind]
        or 1 - one.score > (1.0 if named else SUMMARY_LEFT) * (1 - one.following)
    ):
        return False
    least = SUMMARY_NEAR * (1 - one.score)
    near = abs(one.rivals - one.score) <= least + 2 * one.error
    added = least + (one.error if named else 0.0)
    return (near or (named and one.rivals < one.score)) and one.together - one.score <= added


def _named(one: _Single) -> Iterator[str]:
    """Yield reasons of a column whose name says that it may be known later and that is as good as the others."""
    kind, lowest = _kind(one.table.task), one.score - 2 * one.error
    for words, least, what in (
        (one.words & AFTER_WORDS, NAMED, "its name ({}) may mean a value that is known only afterwards"),
        (one.words & _target_words(one.target), SHARED, "its name shares {} with the target"),
    ):
        if words and lowest >= least[kind] and one.rivals <= one.score:
            yield f", as much as the other columns together, and {what.format(repr(min(words)))}"
    words = one.words & AFTER_WORDS
    if words and one.together - one.rivals >= max(NAMED_GAIN[kind] * (1 - one.rivals), 5 * one.error):
        yield (
            f", with the other columns {one.together:.3f}, and these without it {one.rivals:.3f}; "
            f"its name ({min(words)!r}) may mean a value that is known only afterwards"
        )


def _target_words(target: str) -> set[str]:
    return {word for word in name_words(target) if len(word) > 3} - {"target", "label", "class", "total", "count"}


def follows(x: npt.NDArray[Any], y: npt.NDArray[Any], task: str) -> bool:
    """Return whether a column of few values is a function of the target, such as ``late`` of a delay.

    Parameters
    ----------
    x
        Numbers with NaN if missing, or levels; missing is a value too.
    y, task
        The target; of two classes nothing follows but a copy of it.

    Examples
    --------
    >>> delay = np.random.default_rng(0).normal(size=1000)
    >>> follows((delay > 1).astype(float), delay, "regression")
    True
    >>> follows((delay + np.roll(delay, 1) > 1).astype(float), delay, "regression")
    False
    """
    if task == "binary" or len(np.unique(y)) < 3:
        return False
    codes = np.unique(group_codes(x), return_inverse=True)[1]
    counts = np.bincount(codes)
    if not 2 <= len(counts) <= MAX_FOLLOWING_LEVELS or len(y) - counts.max() < MIN_FOLLOWING_ROWS:
        return False
    if x.dtype.kind == "f" and len(np.unique(x[np.isfinite(x)])) > MAX_FOLLOWING_LEVELS:
        return False
    by_chance = 1 - float(np.sum((counts / len(y)) ** 2))
    return _changes(codes, y, len(counts)) <= FOLLOWING_LEFT * by_chance


def _changes(codes: Codes, y: npt.NDArray[Any], n_codes: int) -> float:
    """Return how often the value changes along the target, apart from one change per value, as a share of rows."""
    order = np.lexsort((np.arange(len(y)) * 2654435761 % 4294967296, y))
    ordered = codes[order]
    return max(0, int(np.sum(ordered[1:] != ordered[:-1])) - (n_codes - 1)) / len(y)


def marked_share(x: npt.NDArray[Any], y: npt.NDArray[Any], shares: npt.NDArray[np.float64] | None = None) -> float:
    """Return the share of the rarer class that one value (or one not 0, or not missing) marks: no other row has it.

    Recoveries and dates of closing are such columns: half of the class may have none. At most one in a thousand rows
    of the other class may have the value; 0 if no value marks a share of :data:`MIN_MARKED`.

    Parameters
    ----------
    x
        Numbers with NaN if missing, or levels.
    y
        Shape (n_rows,), 0 and 1.
    shares
        Shares of the classes in all rows, if these rows have others.
    """
    rare = int(np.mean(y) <= 0.5) if shares is None else int(shares[1] <= shares[0])
    in_class = y == rare
    for marked in _marks(x):
        share = float(np.mean(marked[in_class]))
        if share >= MIN_MARKED and marked.sum() >= MIN_FOLLOWING_ROWS and np.mean(marked[~in_class]) <= MAX_MARKED:
            return share
    return 0.0


def _marks(x: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.bool_]]:
    codes = group_codes(x, MAX_FOLLOWING_LEVELS)
    if x.dtype.kind == "f":
        known = np.isfinite(x)
        yield known
        yield known & (x != 0)
        if len(np.unique(x[known])) > MAX_FOLLOWING_LEVELS:
            return
    else:
        yield np.array([value is not None and value != MISSING for value in x])
    values = np.unique(codes)
    for code in values if len(values) <= MAX_FOLLOWING_LEVELS else ():
        yield codes == code


def is_total(x: npt.NDArray[Any], y: npt.NDArray[Any], task: str) -> bool:
    """Return whether numbers are never below a target of amounts.

    Parameters
    ----------
    x, y, task
        A column, the target and its task; only a regression has totals.
    """
    if task != "regression" or x.dtype.kind != "f":
        return False
    known = np.isfinite(x)
    return bool(known.any()) and float(y.min()) >= 0 and float(np.mean(x[known] < y[known])) <= 0.001


def is_prediction(
    x: Vector, y: npt.NDArray[Any], task: str, score: float, shares: npt.NDArray[np.float64] | None = None
) -> bool:
    """Return whether numbers predict the target as they are: probabilities of a class, or values in its unit.

    Parameters
    ----------
    x
        Numbers, NaN if missing.
    y, task
        The target.
    score
        What the column reaches alone.
    shares
        Classes: their shares in all rows, if these rows have others.
    """
    known = np.isfinite(x)
    if known.sum() < MIN_ROWS or len(np.unique(x[known])) < MIN_PREDICTED_VALUES:
        return False
    x, y = x[known], y[known]
    if task == "regression":
        direct = 1 - float(np.sum((y - x) ** 2)) / max(float(np.sum((y - y.mean()) ** 2)), 1e-300)
        return direct >= max(0.3, score - 0.05)
    scale = 100.0 if x.max() > 1.5 else 1.0
    if x.min() < 0 or x.max() > scale:
        return False
    classes, codes = np.unique(y.astype(np.int64), return_inverse=True)
    weights = np.ones(len(y)) if shares is None else (shares[classes] / np.bincount(codes))[codes] * len(y)
    return any(
        _is_calibrated(p, (codes == code).astype(np.float64), weights)
        for code in range(min(len(classes), 10))
        for p in ((x / scale, 1 - x / scale) if task == "binary" else (x / scale,))
    )


def _is_calibrated(p: Vector, positive: Vector, weights: Vector) -> bool:
    """Return whether the mean of probabilities in a tenth of the rows is the share of the class in it."""
    groups = group_codes(p, 10)
    size = np.maximum(np.bincount(groups, weights), 1e-12)
    share, mean = np.bincount(groups, weights * positive) / size, np.bincount(groups, weights * p) / size
    parts = size / size.sum()
    base = float(parts @ share)
    rows = np.maximum(np.bincount(groups, weights) ** 2 / np.maximum(np.bincount(groups, weights**2), 1e-12), 1)
    noise = float(parts @ np.sqrt(share * (1 - share) / rows))
    spread, error = float(parts @ np.abs(share - base)), float(parts @ np.abs(share - mean))
    return spread >= 3 * noise and error <= 0.15 * spread + noise

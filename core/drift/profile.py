"""The reference profile: how the training rows were distributed, frozen so that later rows can be held against it.

Bins never change after training. Numbers and dates: with inner edges ``e1 < e2 < ... < em`` there are m + 1 bins, open
to the right: ``(-inf, e1), [e1, e2), ..., [em, +inf)``. Edges are deciles of the reference. A value that fills two of
them has a bin of its own, and so has each value of a column that holds few different ones; what lies between or beyond
such values is a bin that is empty in the reference, so that a value never seen before shows. Missing values are counted
apart, so the counts of a column and its missing values sum to the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.feature_contract import FeatureContract, level_text
from core.metrics.metrics import Floats

VERSION = 2
BINS = 10
MAX_SINGLE_VALUES = 20
MIN_REPEATS = 5
"""Rows per value on average from which a column is taken to hold these values only."""

MAX_LEVELS = 50


@dataclass(frozen=True)
class BinnedProfile:
    """Distribution of numbers or dates.

    Parameters
    ----------
    name
        Column, or ``target`` / ``prediction``.
    kind
        ``numeric`` or ``date``.
    edges
        Inner edges, rising: numbers, or dates as ISO text without zone.
    counts
        Rows per bin, one more than edges.
    missing
        Rows without a value.
    minimum, maximum, mean, std
        Of the finite values (std: with n - 1); None where there are too few. Dates: the first two only, as ISO text.
    """

    name: str
    kind: str
    edges: tuple[float, ...] | tuple[str, ...]
    counts: tuple[int, ...]
    missing: int
    minimum: float | str | None
    maximum: float | str | None
    mean: float | None = None
    std: float | None = None


@dataclass(frozen=True)
class LevelProfile:
    """Distribution of categories, booleans (``true``, ``false``) or classes.

    Parameters
    ----------
    name
        Column, or ``target`` / ``prediction``.
    kind
        ``levels``.
    levels
        The 50 most frequent, most frequent first, equals by name; classes: all, in code order.
    counts
        Rows per level.
    other
        Rows with another value.
    missing
        Rows without a value.
    """

    name: str
    kind: str
    levels: tuple[str, ...]
    counts: tuple[int, ...]
    other: int
    missing: int


ColumnProfile = BinnedProfile | LevelProfile


@dataclass(frozen=True)
class Profile:
    """Distributions of every raw feature column, of the target and of the predictions.

    Parameters
    ----------
    version
        Of this layout.
    n_rows
        Rows of the reference.
    columns
        In the contract's order.
    target
        Classes or numbers.
    prediction
        Binary: probability of the positive class; multiclass: most probable class; regression: values.
    """

    version: int
    n_rows: int
    columns: tuple[ColumnProfile, ...]
    target: ColumnProfile
    prediction: ColumnProfile

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        content = asdict(self)
        return {**content, "columns": list(content["columns"])}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Profile from :meth:`to_dict`, also after a way through JSON.

        Raises
        ------
        ValueError
            The layout is of another version.
        """
        if content["version"] != VERSION:
            raise ValueError(f"expected a reference profile of version {VERSION}, found {content['version']!r}")
        return cls(
            version=VERSION,
            n_rows=content["n_rows"],
            columns=tuple(_column_profile(column) for column in content["columns"]),
            target=_column_profile(content["target"]),
            prediction=_column_profile(content["prediction"]),
        )


def reference_profile(frame: pd.DataFrame, y: npt.NDArray[Any], output: Floats, contract: FeatureContract) -> Profile:
    """Distributions of the rows a model was trained on, and of its answers to rows it was not.

    Parameters
    ----------
    frame
        n rows with at least the contract's raw columns.
    y
        Encoded target, shape (n,).
    output
        Probabilities (m, k) or values (m,) for other rows, the holdout's: a model is surer of rows it has trained on
        than it will ever be of later ones.
    """
    columns = feature_profiles(frame, contract)
    return Profile(VERSION, len(frame), columns, _target(y, contract), _prediction(output, contract))


def feature_profiles(frame: pd.DataFrame, contract: FeatureContract) -> tuple[ColumnProfile, ...]:
    """Distributions of the contract's raw columns, in its order."""
    columns: list[ColumnProfile] = []
    columns += [number_profile(name, frame[name].to_numpy("float64", na_value=np.nan)) for name in contract.numeric]
    columns += [level_profile(name, frame[name]) for name in contract.categorical + contract.boolean]
    columns += [date_profile(name, frame[name]) for name in contract.dates]
    return tuple(columns)


def number_profile(name: str, values: Floats) -> BinnedProfile:
    """Distribution of numbers; NaN is missing, infinities fall in the outer bins."""
    present = values[~np.isnan(values)]
    edges = bin_edges(present)
    finite = present[np.isfinite(present)]
    return BinnedProfile(
        name,
        "numeric",
        tuple(edges.tolist()),
        bin_counts(present, edges),
        len(values) - len(present),
        float(finite.min()) if len(finite) else None,
        float(finite.max()) if len(finite) else None,
        *_mean_and_std(finite),
    )


def date_profile(name: str, values: pd.Series[Any]) -> BinnedProfile:
    """Distribution of dates without zone, to the microsecond."""
    # NumPy selects and compares whole numbers several times faster than dates.
    present = values.dropna().to_numpy("datetime64[us]").view("int64")
    edges = bin_edges(present)
    return BinnedProfile(
        name,
        "date",
        tuple(_iso_texts(edges)),
        bin_counts(present, edges),
        len(values) - len(present),
        *(_iso_texts(np.array([present.min(), present.max()])) if len(present) else (None, None)),
    )


def level_profile(name: str, values: pd.Series[Any]) -> LevelProfile:
    """Distribution of categories or booleans."""
    counts = values.value_counts(dropna=True)
    named = zip(map(level_text, counts.index), counts.tolist(), strict=True)
    largest = sorted(named, key=lambda item: (-item[1], item[0]))[:MAX_LEVELS]
    shown = sum(count for _, count in largest)
    present = int(counts.sum())
    return LevelProfile(
        name,
        "levels",
        tuple(text for text, _ in largest),
        tuple(count for _, count in largest),
        present - shown,
        len(values) - present,
    )


def bin_edges(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Inner edges, rising; ``values`` without missing ones.

    Deciles are values of the sample (the inverse of its distribution function), each once, above the least value. A
    value with a bin of its own is edge twice: itself, and the next number that the type can hold.

    Examples
    --------
    >>> bin_edges(np.repeat([3, 5], 100)).tolist()
    [3, 4, 5, 6]
    """
    if not len(values):
        return values
    distinct = _few_distinct(values)
    edges: npt.NDArray[Any] = _decile_edges(values) if distinct is None else _alone(distinct)
    return np.compress(np.isfinite(edges), edges)  # the outer bins hold infinities, and JSON has none


def bin_counts(values: npt.NDArray[Any], edges: npt.NDArray[Any]) -> tuple[int, ...]:
    """Rows per bin; ``values`` without missing ones.

    Examples
    --------
    >>> bin_counts(np.array([0.0, 1.0, 1.5, 2.0]), np.array([1.0, 2.0]))
    (1, 2, 1)
    """
    at_or_above = [len(values), *(int(np.count_nonzero(values >= edge)) for edge in edges), 0]
    return tuple(below - above for below, above in pairwise(at_or_above))


def _mean_and_std(finite: Floats) -> tuple[float | None, float | None]:
    # Numbers near the largest a float holds overflow in sums and squares: JSON has no infinity for that.
    with np.errstate(over="ignore", invalid="ignore"):
        mean = finite.mean() if len(finite) else np.nan
        std = finite.std(ddof=1) if len(finite) > 1 else np.nan
    return float(mean) if np.isfinite(mean) else None, float(std) if np.isfinite(std) else None


def _decile_edges(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    places = np.ceil(np.arange(1, BINS) * len(values) / BINS).astype(int) - 1
    deciles, times = np.unique(np.partition(values, places)[places], return_counts=True)
    edges: npt.NDArray[Any] = np.union1d(deciles[deciles > values.min()], _alone(deciles[times > 1]))
    return edges


def _few_distinct(values: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """Return the values of a column that holds few, each of them often; None of another."""
    # A sample settles it for most columns at a fraction of the cost of sorting all.
    if len(np.unique(values[:1000])) > MAX_SINGLE_VALUES:
        return None
    distinct = np.unique(values)
    few = len(distinct) <= MAX_SINGLE_VALUES and len(values) >= MIN_REPEATS * len(distinct)
    return distinct if few else None


def _alone(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Edges that give each value a bin of its own."""
    if values.dtype.kind != "f":
        return np.union1d(values, values + 1)
    with np.errstate(over="ignore"):  # nothing comes after the largest number
        edges: npt.NDArray[Any] = np.union1d(values, np.nextafter(values, np.inf))
    return edges


def _iso_texts(microseconds: npt.NDArray[np.int64]) -> list[str]:
    return [str(date) for date in microseconds.astype("datetime64[us]")]


def _target(y: npt.NDArray[Any], contract: FeatureContract) -> ColumnProfile:
    if contract.task == "regression":
        return number_profile("target", y)
    return _classes("target", y, contract.classes)


def _prediction(output: Floats, contract: FeatureContract) -> ColumnProfile:
    if contract.task == "multiclass":
        return _classes("prediction", output.argmax(axis=1), contract.classes)
    return number_profile("prediction", output if output.ndim == 1 else output[:, 1])


def _classes(name: str, codes: npt.NDArray[Any], classes: Sequence[str]) -> LevelProfile:
    counts = np.bincount(codes, minlength=len(classes))
    return LevelProfile(name, "levels", tuple(classes), tuple(counts.tolist()), 0, 0)


def _column_profile(content: dict[str, Any]) -> ColumnProfile:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list | tuple) else value for name, value in content.items()
    }
    return LevelProfile(**values) if values["kind"] == "levels" else BinnedProfile(**values)

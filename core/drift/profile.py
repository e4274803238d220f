"""The reference profile: distributions of the training rows, with which later rows are compared.

Bins do not change after training. Numbers and dates: with inner edges ``e1 < e2 < ... < em`` there are m + 1 bins, open
to the right: ``(-inf, e1), [e1, e2), ..., [em, +inf)``. Edges are deciles of the reference. A value that equals two
deciles has a bin of its own, and so has each value of a column with few distinct values; the ranges between and beyond
such values are bins that are empty in the reference, so that new values are visible. Missing values are counted
separately: the counts of a column and its missing values sum to the number of rows.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from config.schema import ModelConfig
from core.feature_contract import FeatureContract, level_text
from core.metrics.metrics import Floats

VERSION = 2
BINS = 10
MAX_SINGLE_VALUES = 20
MIN_REPEATS = 5
"""Minimum mean number of rows per value for a column to have a bin for each value."""

MAX_LEVELS = 50

MAX_FORM = 100
"""Characters of a text that its form is taken from."""

FORMS_AT_ONCE = 100_000
"""Texts whose forms are found together."""

_SEPARATOR = "\x00"
_MASK = str.maketrans(dict.fromkeys(string.digits, "9") | dict.fromkeys(string.ascii_letters, "a"))

MIN_IDENTIFYING = 0.95
"""Minimum distinct values per row for whole numbers that are not a feature to count as identifiers."""


@dataclass(frozen=True)
class BinnedProfile:
    """Distribution of numbers or dates.

    Parameters
    ----------
    name
        Name of the column, or ``target`` / ``prediction``.
    kind
        ``numeric`` or ``date``.
    edges
        Inner edges, ascending: numbers, or dates as ISO text without time zone.
    counts
        Number of rows per bin, one more than edges.
    missing
        Number of rows without a value.
    minimum, maximum, mean, std
        Statistics of the finite values (std with n - 1); None if there are too few. Dates: minimum and maximum only, as
        ISO text.
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
        Name of the column, or ``target`` / ``prediction``.
    kind
        ``levels``; ``forms`` for the forms of identifiers, see :func:`text_form`.
    levels
        The 50 most frequent levels, most frequent first, ties by name; classes: all, in code order.
    counts
        Number of rows per level; of a column with more levels, every second row, see :func:`level_profile`.
    other
        Number of rows with another value.
    missing
        Number of rows without a value.
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
        Version of this layout.
    n_rows
        Number of rows of the reference.
    columns
        Profiles of the raw feature columns, in the contract's order.
    target
        Profile of the classes or numbers.
    prediction
        Profile of, binary: the probability of the positive class; multiclass: the most probable class; regression: the
        predicted values.
    unused
        Profiles of the columns that the model file declares and the model does not use; empty if the bundle is older
        than this field.
    """

    version: int
    n_rows: int
    columns: tuple[ColumnProfile, ...]
    target: ColumnProfile
    prediction: ColumnProfile
    unused: tuple[ColumnProfile, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        content = asdict(self)
        return {**content, "columns": list(content["columns"]), "unused": list(content["unused"])}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Build a profile from :meth:`to_dict`, also after it was written to JSON.

        Raises
        ------
        ValueError
            The layout has another version.
        """
        if content["version"] != VERSION:
            raise ValueError(f"expected a reference profile of version {VERSION}, found {content['version']!r}")
        return cls(
            version=VERSION,
            n_rows=content["n_rows"],
            columns=tuple(column_profile(column) for column in content["columns"]),
            target=column_profile(content["target"]),
            prediction=column_profile(content["prediction"]),
            unused=tuple(column_profile(column) for column in content.get("unused", ())),
        )


def reference_profile(
    frame: pd.DataFrame,
    y: npt.NDArray[Any],
    output: Floats,
    contract: FeatureContract,
    unused: Sequence[str] = (),
) -> Profile:
    """Compute the profile of a model's training rows, and of its predictions for other rows.

    Parameters
    ----------
    frame
        n training rows with at least the contract's raw columns.
    y
        Encoded target of the training rows, shape (n,): class codes, int64; regression: numbers, float64.
    output
        Predictions for the holdout rows: probabilities, shape (m, k), 0 to 1, or values, shape (m,). Predictions for
        training rows would be too confident to compare later rows with.
    contract
        Columns, task and classes.
    unused
        Further columns of ``frame``, as text: :func:`unused_columns`.
    """
    return Profile(
        VERSION,
        len(frame),
        feature_profiles(frame, contract),
        _target(y, contract),
        prediction_profile(output, contract),
        tuple(unused_profile(name, frame[name], identifies=name == contract.key) for name in unused),
    )


def unused_columns(config: ModelConfig, contract: FeatureContract) -> tuple[str, ...]:
    """Return the declared columns that a model does not use, without the target and the time."""
    others = {*contract.raw_columns, config.target, config.time}
    return tuple(column for column in config.columns if column not in others)


def feature_profiles(frame: pd.DataFrame, contract: FeatureContract) -> tuple[ColumnProfile, ...]:
    """Return the profiles of the contract's raw columns, in its order."""
    columns: list[ColumnProfile] = []
    columns += [number_profile(name, frame[name].to_numpy("float64", na_value=np.nan)) for name in contract.numeric]
    columns += [level_profile(name, frame[name]) for name in contract.categorical + contract.boolean]
    columns += [date_profile(name, frame[name]) for name in contract.dates]
    return tuple(columns)


def number_profile(name: str, values: Floats) -> BinnedProfile:
    """Return the profile of numbers, shape (n,), float64; NaN is missing, infinities fall in the outer bins."""
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
    """Return the profile of dates, shape (n,), without time zone, to the microsecond."""
    # NumPy selects and compares integers several times faster than dates.
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
    """Return the profile of categories or booleans, shape (n,).

    Of more than 50 levels, every second row chooses the most frequent ones and the other rows are counted: the rows
    that choose levels have more of them than any other rows, so by their counts every window would look drifted.
    """
    counts = _level_counts(values)
    chosen = list(counts)
    if len(chosen) > MAX_LEVELS:
        chosen = list(_level_counts(values.iloc[::2]))[:MAX_LEVELS]
        values = values.iloc[1::2]
        counts = _level_counts(values)
    named = sorted(((text, counts.get(text, 0)) for text in chosen), key=lambda item: (-item[1], item[0]))
    shown, present = sum(count for _, count in named), sum(counts.values())
    return LevelProfile(
        name,
        "levels",
        tuple(text for text, _ in named),
        tuple(count for _, count in named),
        present - shown,
        len(values) - present,
    )


def _level_counts(values: pd.Series[Any]) -> dict[str, int]:
    """Return the number of rows by level, the most frequent first, ties by name."""
    counts = values.value_counts(dropna=True)
    named = zip(map(level_text, counts.index), counts.tolist(), strict=True)
    return dict(sorted(named, key=lambda item: (-item[1], item[0])))


def unused_profile(name: str, values: pd.Series[Any], *, identifies: bool = False) -> ColumnProfile:
    """Return the profile of a column that is not a feature, stored as text: numbers, levels or forms of identifiers.

    Parameters
    ----------
    name
        Name of the column.
    values
        Shape (n,), text or missing.
    identifies
        Whether the column is the key, so that its values are identifiers.
    """
    numbers, n_distinct = text_numbers(values.to_numpy(dtype=object)), values.nunique()
    present = numbers[~np.isnan(numbers)]
    whole = n_distinct > MAX_LEVELS and bool((present == np.floor(present)).all())
    if not identifies and np.isfinite(present).all() and not (whole and n_distinct >= MIN_IDENTIFYING * len(present)):
        return number_profile(name, numbers)
    if not identifies and n_distinct <= MAX_LEVELS:
        return level_profile(name, values)
    return replace(level_profile(name, text_forms(values)), kind="forms")


def text_numbers(texts: npt.NDArray[Any]) -> Floats:
    """Return the numbers that texts state, shape (n,), float64: NaN where missing, infinity for another text.

    Another text is neither a number nor missing: as infinity it has a bin, the last one, and is visible as a change.

    Examples
    --------
    >>> text_numbers(np.array(["7", None, "n/a"], dtype=object)).tolist()
    [7.0, nan, inf]
    """
    numbers: Floats = np.array(pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce"), dtype="float64")
    numbers[np.isnan(numbers) & ~pd.isna(texts)] = np.inf
    return numbers


def text_form(text: str) -> str:
    """Return the form of an identifier: ``9`` for digits, ``a`` for letters, ``x`` for both, other characters as such.

    Lengths are left out, because the number of an identifier grows with the rows.

    Examples
    --------
    >>> text_form("DE-00417"), text_form("b7f9:2")
    ('a-9', 'x:9')
    """
    return re.sub(r"[^\W_]+", _run_form, text[:MAX_FORM])


def text_forms(texts: pd.Series[Any]) -> pd.Series[Any]:
    """Return the form of each text, shape (n,), see :func:`text_form`; missing texts stay missing.

    Texts differ, but with each digit written as ``9`` and each ASCII letter as ``a`` few remain, so that the forms of
    millions of identifiers take a second each instead of half a minute.
    """
    parts = [_forms(texts.iloc[start : start + FORMS_AT_ONCE]) for start in range(0, len(texts), FORMS_AT_ONCE)]
    return pd.concat(parts) if parts else texts


def _forms(texts: pd.Series[Any]) -> pd.Series[Any]:
    present = texts.dropna()
    found = present.tolist()
    masks = _SEPARATOR.join(found).translate(_MASK).split(_SEPARATOR)
    if len(masks) != len(found):  # a text contains the separator, or there is no text
        masks = [text.translate(_MASK) for text in found]
    forms = {mask: text_form(mask) for mask in set(masks)}
    return pd.Series([forms[mask] for mask in masks], present.index, dtype=object).reindex(texts.index)


def bin_edges(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the inner edges, ascending, of the dtype of ``values``; shape (n,), without missing values.

    Deciles are values of the sample (the inverse of its distribution function), each once, above the minimum. A value
    with a bin of its own has two edges: itself, and the next number of the dtype.

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
    """Return the number of rows per bin; ``values``, shape (n,), has no missing values.

    Examples
    --------
    >>> bin_counts(np.array([0.0, 1.0, 1.5, 2.0]), np.array([1.0, 2.0]))
    (1, 2, 1)
    """
    at_or_above = [len(values), *(int(np.count_nonzero(values >= edge)) for edge in edges), 0]
    return tuple(below - above for below, above in pairwise(at_or_above))


def _mean_and_std(finite: Floats) -> tuple[float | None, float | None]:
    # Numbers near the largest float overflow in sums and squares, and JSON has no infinity.
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
    """Return the distinct values if there are few and each is frequent; otherwise None."""
    # A sample decides for most columns at a fraction of the cost of sorting all values.
    if len(np.unique(values[:1000])) > MAX_SINGLE_VALUES:
        return None
    distinct = np.unique(values)
    few = len(distinct) <= MAX_SINGLE_VALUES and len(values) >= MIN_REPEATS * len(distinct)
    return distinct if few else None


def _alone(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return edges that give each value a bin of its own."""
    if values.dtype.kind != "f":
        return np.union1d(values, values + 1)
    with np.errstate(over="ignore"):  # the largest float has no successor
        edges: npt.NDArray[Any] = np.union1d(values, np.nextafter(values, np.inf))
    return edges


def _run_form(run: re.Match[str]) -> str:
    return "9" if run[0].isdecimal() else "a" if run[0].isalpha() else "x"


def _iso_texts(microseconds: npt.NDArray[np.int64]) -> list[str]:
    return [str(date) for date in microseconds.astype("datetime64[us]")]


def _target(y: npt.NDArray[Any], contract: FeatureContract) -> ColumnProfile:
    if contract.task == "regression":
        return number_profile("target", y)
    return _classes("target", y, contract.classes)


def prediction_profile(output: Floats, contract: FeatureContract) -> ColumnProfile:
    """Return the profile of predictions: probabilities, shape (n, k), or values, shape (n,)."""
    if contract.task == "multiclass":
        return _classes("prediction", output.argmax(axis=1), contract.classes)
    return number_profile("prediction", output if output.ndim == 1 else output[:, 1])


def _classes(name: str, codes: npt.NDArray[Any], classes: Sequence[str]) -> LevelProfile:
    counts = np.bincount(codes, minlength=len(classes))
    return LevelProfile(name, "levels", tuple(classes), tuple(counts.tolist()), 0, 0)


def column_profile(content: dict[str, Any]) -> ColumnProfile:
    """Build a column's profile from its fields, also after they were written to JSON."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list | tuple) else value for name, value in content.items()
    }
    return LevelProfile(**values) if "levels" in values else BinnedProfile(**values)

"""The split into training and holdout rows, and the folds of cross-validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from config.schema import ModelConfig
from core.data.repeats.copies import copied_rows, rounded
from core.data.rolling_origin import Fold, Indices, rolling_origin
from core.data.rows import Rows
from core.errors import TrainingError

Hashes = npt.NDArray[np.uint64]

MIN_PER_CLASS = 2
"""Minimum rows of each class on each side: neither a model nor a metric can use a single row of a class."""

NATURAL_CONFLICTS = 0.05
"""If at least this share of repeated rows differs in the target from the first such row, repeats count as chance."""


@dataclass(frozen=True, eq=False)
class Split:
    """Positions of the training rows and of the holdout rows.

    Parameters
    ----------
    train, holdout
        Positions in the frame, shapes (n_train,) and (n_holdout,), int64: ascending, disjoint.
    rule
        One sentence for people: how the rows were split.
    n_duplicates_removed
        Number of rows removed from the holdout because a training row has the same features.
    boundary
        With a time column: the holdout's first time, ISO 8601; without: None.
    n_repeats_kept
        Number of holdout rows that repeat a training row's features by chance and were kept, see :func:`holdout_split`.
    n_copies_removed
        Number of further rows removed because an earlier row of the holdout has the same features.
    """

    train: Indices
    holdout: Indices
    rule: str
    n_duplicates_removed: int
    boundary: str | None
    n_repeats_kept: int = 0
    n_copies_removed: int = 0


def holdout_split(rows: Rows, config: ModelConfig) -> Split:
    """Split the rows into training and holdout.

    With a time column, the holdout is the newest ``training.holdout`` share, cut at the closest distinct time: rows of
    equal time stay together, rows without a time are in training. Without one, a hash of each row's identity decides:
    equal rows and equal keys stay together, and a row keeps its side as the data grows. A class with too few rows on
    one side gets more there, see :func:`_topped_up`.

    Holdout rows whose features also occur in training are removed, because a model could memorise them; of rows whose
    features are equal within the holdout, the first is kept, because copies are no independent evidence. If rows with
    equal features often (5 % of them) differ in the target, few or coarse features repeat by chance: new data will
    repeat them too, and a holdout without them would not represent it. Then only repeats beyond chance are removed, see
    :func:`~core.data.repeats.copies.copied_rows`.

    Raises
    ------
    TrainingError
        A side is empty, or holds fewer than two rows of a class.
    """
    frame = rows.frame
    if config.time is not None:
        in_holdout, boundary = _newest(frame[config.time], config.training.holdout)
        rule = f"the newest rows: {config.time} from {boundary}"
    else:
        in_holdout, boundary = _hashed_side(rows, config), None
        rule = f"{config.training.holdout:.0%} of the rows by a hash of their identity, seed {config.training.seed}"
    train, holdout = np.flatnonzero(~in_holdout), np.flatnonzero(in_holdout)
    hashes = feature_hashes(rounded(frame, config.features.used), config.features.used)
    by_chance = repeats_by_chance(hashes[train], frame[config.target].to_numpy()[train])
    owners = rows.row_ids if config.key is not None and not config.key_is_unique else None
    copies = copied_rows(hashes, owners, train, holdout, by_chance=by_chance)
    kept = ~(copies.of_training | copies.of_holdout)
    n_twins, n_copies = int(copies.of_training.sum()), int(copies.of_holdout.sum())
    repeats = np.isin(hashes[holdout][kept], hashes[train])
    _check_sides(frame, config, train, holdout[kept], n_twins + n_copies)
    rule += f", without {n_copies:,} copies of other holdout rows" if n_copies else ""
    return Split(train, holdout[kept], rule, n_twins, boundary, int(repeats.sum()), n_copies)


def feature_hashes(frame: pd.DataFrame, columns: tuple[str, ...]) -> Hashes:
    """Hash each row's content in some columns, shape (n_rows,), uint64; missing equals missing, 0.0 equals -0.0."""
    total = np.zeros(len(frame), dtype=np.uint64)
    for column in columns:
        # Chained, not summed: a value must not hash like the same value in another column.
        total = scattered(total ^ _value_hashes(frame[column]))
    return total


def folds(config: ModelConfig, frame: pd.DataFrame, y: npt.NDArray[Any], row_ids: Hashes, n_folds: int) -> list[Fold]:
    """Divide the training rows into folds of cross-validation.

    Without a time column: shuffled by the seed, stratified for a classifier, rows of one key together if keys repeat.
    With one: a rolling origin, see :func:`~core.data.rolling_origin.rolling_origin`.

    Parameters
    ----------
    config
        The model file: task, key, time and seed.
    frame
        The training rows, n_rows of them; only the time column is read.
    y
        Target, shape (n_rows,): class codes, int64; regression: numbers, float64.
    row_ids
        Ids of the rows (see :class:`~core.data.rows.Rows`), shape (n_rows,), uint64.
    n_folds
        Number of folds wanted.

    Returns
    -------
    list of (train, test)
        Positions in ``frame``, int64. Fewer than ``n_folds`` if a class has too few rows or there are too few distinct
        times; empty if fewer than two folds are wanted or possible.
    """
    n_folds = min(n_folds, _most_folds(config, y))
    if n_folds < 2:
        return []
    if config.time is not None:
        pairs = iter(rolling_origin(frame[config.time], n_folds))
    else:
        pairs = (
            (train.astype(np.int64), test.astype(np.int64)) for train, test in _shuffled(config, y, row_ids, n_folds)
        )
    return [fold for fold in pairs if _has_enough_rows(config, y, *fold)]


def newest_fold(config: ModelConfig, frame: pd.DataFrame, y: npt.NDArray[Any]) -> list[Fold]:
    """Return one fold whose test rows are the newest fifth of the training rows.

    Parameters
    ----------
    config
        The model file: task and time.
    frame
        The training rows, n_rows of them; only the time column is read.
    y
        Target, shape (n_rows,): class codes, int64; regression: numbers, float64.

    Returns
    -------
    list of (train, test)
        Empty without a time column, or if a class is on one side only.
    """
    if config.time is None:
        return []
    return [fold for fold in rolling_origin(frame[config.time], 4)[-1:] if _has_enough_rows(config, y, *fold)]


def _newest(time: pd.Series[Any], share: float) -> tuple[npt.NDArray[np.bool_], str]:
    known = np.sort(time.dropna().to_numpy(dtype="datetime64[us]"))
    moments, counts = np.unique(known, return_counts=True)
    if len(moments) < 2:
        raise TrainingError(
            f"time column {time.name!r} has {len(moments)} distinct time(s); a holdout of the newest rows needs at "
            "least two. Remove 'time' from the model file to split by a hash of the rows"
        )
    # The holdout cannot start at the first time: no row would be left to train on.
    newer = counts[::-1].cumsum()[::-1][1:]
    boundary = moments[1:][np.argmin(np.abs(newer / len(known) - share))]
    in_holdout = time.to_numpy(dtype="datetime64[us]") >= boundary  # NaT compares false: it stays in training
    return in_holdout, pd.Timestamp(boundary).isoformat()


def _hashed_side(rows: Rows, config: ModelConfig) -> npt.NDArray[np.bool_]:
    seed = scattered(np.array([config.training.seed], dtype=np.uint64))
    place = scattered(rows.row_ids ^ seed) / np.float64(2**64)
    in_holdout: npt.NDArray[np.bool_] = place < config.training.holdout
    if config.task == "regression":
        return in_holdout
    return _topped_up(in_holdout, place, rows.frame[config.target].to_numpy(dtype=object))


def _topped_up(
    in_holdout: npt.NDArray[np.bool_], place: npt.NDArray[np.float64], labels: npt.NDArray[np.object_]
) -> npt.NDArray[np.bool_]:
    """Give each side two rows of a rare class: those whose hash is closest to that side.

    All rows of one identity have the same hash and move together.
    """
    sides = in_holdout.copy()
    codes, classes = pd.factorize(labels)
    n_held, n_all = (np.bincount(codes[chosen], minlength=len(classes)) for chosen in (sides, slice(None)))
    scarce = (n_held < MIN_PER_CLASS) | (n_all - n_held < MIN_PER_CLASS)
    for code in np.flatnonzero(scarce & (n_all >= 2 * MIN_PER_CLASS)):
        ordered = np.sort(place[codes == code])
        if n_held[code] < MIN_PER_CLASS:
            sides |= np.isin(place, ordered[:MIN_PER_CLASS])
        else:
            sides &= ~np.isin(place, ordered[-MIN_PER_CLASS:])
    return sides


def repeats_by_chance(hashes: Hashes, target: npt.NDArray[Any]) -> bool:
    """Return whether rows with equal features often differ in the target.

    Copies of a row have its target; rows that repeat by chance often do not.

    Parameters
    ----------
    hashes
        From :func:`feature_hashes`, shape (n_rows,), uint64.
    target
        Labels or numbers, shape (n_rows,).
    """
    seen = pd.DataFrame({"features": hashes, "target": pd.factorize(target)[0]})
    repeated = seen[seen.duplicated("features", keep=False)]
    if len(repeated) < 20:
        return False
    first = repeated.groupby("features", sort=False)["target"].transform("first")
    later = repeated.duplicated("features")
    return bool((first != repeated["target"])[later].mean() >= NATURAL_CONFLICTS)


def _check_sides(frame: pd.DataFrame, config: ModelConfig, train: Indices, holdout: Indices, n_removed: int) -> None:
    removed = f" after {n_removed:,} copies of other rows were removed" if n_removed else ""
    for name, side in (("training", train), ("the holdout", holdout)):
        if len(side) < MIN_PER_CLASS:
            raise TrainingError(
                f"{name} has {len(side)} row(s){removed}; at least {MIN_PER_CLASS} are needed. "
                "Add more distinct rows or change training.holdout"
            )
    if config.task != "regression":
        _check_classes(frame[config.target], config, train, holdout, removed)


def _check_classes(target: pd.Series[Any], config: ModelConfig, train: Indices, holdout: Indices, removed: str) -> None:
    codes, labels = pd.factorize(target, sort=True)
    totals = np.bincount(codes, minlength=len(labels))
    for name, side in (("training", train), ("the holdout", holdout)):
        found = np.bincount(codes[side], minlength=len(labels))
        for code in np.flatnonzero(found < MIN_PER_CLASS).tolist():
            raise TrainingError(
                f"class {labels[code]!r} of target {config.target!r} has {found[code]} row(s) in {name}{removed} "
                f"({totals[code]} in all); at least {MIN_PER_CLASS} are needed on each side. "
                f"{_what_to_do(config, int(totals[code]))}"
            )


def _what_to_do(config: ModelConfig, total: int) -> str:
    if total < 2 * MIN_PER_CLASS:
        return "Add rows of this class, merge it into another, or leave its target empty (such rows are not trained on)"
    if config.time is not None:
        return "Change training.holdout so that the newest rows hold every class, or remove 'time' from the model file"
    return "Change training.holdout or training.seed, or add rows of this class"


def _most_folds(config: ModelConfig, y: npt.NDArray[Any]) -> int:
    if config.task == "regression" or config.time is not None:
        return len(y) // 2
    return int(np.unique(y, return_counts=True)[1].min())


def _shuffled(
    config: ModelConfig, y: npt.NDArray[Any], row_ids: Hashes, n_folds: int
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    grouped = config.key is not None and not config.key_is_unique and len(np.unique(row_ids)) >= n_folds
    kinds = {
        (True, True): GroupKFold,
        (True, False): KFold,
        (False, True): StratifiedGroupKFold,
        (False, False): StratifiedKFold,
    }
    cutter = kinds[config.task == "regression", grouped](n_folds, shuffle=True, random_state=config.training.seed)
    pairs: Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]] = cutter.split(
        y, y, row_ids if grouped else None
    )
    return pairs


def _has_enough_rows(config: ModelConfig, y: npt.NDArray[Any], train: Indices, test: Indices) -> bool:
    if config.task == "regression":
        return len(train) >= MIN_PER_CLASS and len(test) >= MIN_PER_CLASS
    return set(np.unique(y[train])) == set(np.unique(y[test])) == set(np.unique(y))


def _value_hashes(column: pd.Series[Any]) -> Hashes:
    if column.dtype.kind in "fiu":
        numbers = column.to_numpy(dtype=np.float64) + 0.0
        numbers[np.isnan(numbers)] = np.nan
        return scattered(numbers.view(np.uint64))
    if column.dtype.kind == "M":
        return scattered(column.to_numpy(dtype="datetime64[us]").view(np.uint64))
    codes, levels = pd.factorize(column)
    known = pd.util.hash_array(np.array([str(level) for level in levels], dtype=object), categorize=False)
    return np.append(known, np.uint64(0))[codes]  # code -1 (missing) indexes the last entry


def scattered(values: Hashes) -> Hashes:
    """Mix 64-bit integers so that every bit of the result depends on every bit of the input, uint64 of the same shape.

    References
    ----------
    Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014), the finaliser of SplitMix64.
    """
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))

"""Leakage checks, which block a training whose holdout would overstate the model's performance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from config.schema import ModelConfig
from core.data.rolling_origin import Indices
from core.data.rows import Rows
from core.data.split import Split
from core.feature_contract import MISSING, FeatureContract
from core.train.leakage.pairs import Table
from core.train.leakage.scores import linear_leak, single_feature_score
from core.train.leakage.suspects import Suspects, suspects

MAX_SAMPLE = 50_000
"""Maximum number of training rows for the scores: an AUC is known to ±0.005 with as many."""

MIN_ROWS = 100
"""Minimum rows for shares and scores: with twenty rows a feature without leakage may reach an AUC of 1."""

IDENTIFIER_SHARE = 0.95
"""Minimum share of distinct values for a categorical column to count as an identifier."""

ROW_ORDER_CORRELATION = 0.999
"""Minimum rank correlation with the order of the rows for distinct integers to count as a counter."""

COUNTER_SPAN = 10
"""Maximum range of a counter in numbers per row: rows may have been removed after they were numbered."""

REMEDY = "move it to features.ignored, or list it under training.leakage.allow if it is known when predicting"

REMEDY_OF_SEVERAL = (
    "move them to features.ignored, or list one under training.leakage.allow if all are known when predicting"
)

Reasons = Iterator[str]
Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class LeakageReport:
    """Findings of the leakage checks.

    Parameters
    ----------
    blocked
        True if there is a reason not to train.
    reasons
        Sentences for people, each with what to do.
    duplicates_share
        Share of the holdout rows that had the features of a training row, 0 to 1.
    feature_scores
        Out-of-fold AUC (classification) or R² (regression) of each feature alone, in contract order.
    remarks
        Sentences about features that may be known only after the target; they do not block.
    """

    blocked: bool
    reasons: tuple[str, ...]
    duplicates_share: float
    feature_scores: dict[str, float]
    remarks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return asdict(self)


def leakage_report(
    rows: Rows, split: Split, y: npt.NDArray[Any], contract: FeatureContract, config: ModelConfig
) -> LeakageReport:
    """Check features and split for leakage of the target.

    Features under ``training.leakage.allow`` are scored, but do not block.

    Parameters
    ----------
    rows, split
        The labelled rows, and their split into training and holdout.
    y
        Encoded target of all rows, shape (n_rows,): class codes, int64; regression: numbers, float64.
    contract
        Raw columns and task.
    config
        The model file: limits, allowed features and seed.
    """
    sample = _sample(split.train, config.training.seed)
    frame, target = rows.frame.iloc[sample], y[sample]
    columns = {name: _values(frame[name]) for name in contract.raw_columns}
    scores = {name: single_feature_score(x, target, contract.task) for name, x in columns.items()}
    share = split.n_duplicates_removed / max(1, split.n_duplicates_removed + len(split.holdout))
    reasons = [
        *_duplicates(share, split, config),
        *_identifiers(rows.frame, config),
        *_time_order(rows, split, config),
    ]
    if len(sample) < MIN_ROWS:
        return LeakageReport(bool(reasons), tuple(reasons), share, scores)
    parts = _parts(columns, scores, target, config)
    table = _judged(frame, columns, scores, target, config).without(parts)
    found = suspects(table, config.target)
    reasons += [*_single_features(scores, config), *_sums(parts), *_pairs(found)]
    return LeakageReport(bool(reasons), tuple(reasons), share, scores, found.remarks)


def _sample(train: Indices, seed: int) -> Indices:
    if len(train) <= MAX_SAMPLE:
        return train
    chosen = np.random.default_rng(seed).choice(len(train), MAX_SAMPLE, replace=False)
    return np.sort(train[chosen])


def _values(column: pd.Series[Any]) -> npt.NDArray[Any]:
    """Return numbers (also booleans and dates) as float64 with missing as NaN; other columns as texts."""
    if column.dtype.kind == "M":
        stamps = column.to_numpy(dtype="datetime64[us]")
        return np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64).astype(np.float64))
    if column.dtype.kind in "fiub":
        return column.astype("float64").to_numpy(dtype=np.float64, na_value=np.nan)
    return column.astype(object).where(column.notna(), MISSING).to_numpy(dtype=object)


def _duplicates(share: float, split: Split, config: ModelConfig) -> Reasons:
    limit = config.training.leakage.max_duplicates
    if share > limit:
        yield (
            f"{split.n_duplicates_removed:,} of the holdout rows ({share:.1%}, at most {limit:.1%} allowed) "
            "have the features of a training row: remove copies from the source, set the entity they share as 'key' "
            "with 'key_is_unique: false', or raise training.leakage.max_duplicates"
        )


def _single_features(scores: dict[str, float], config: ModelConfig) -> Reasons:
    limit = config.training.leakage.max_single_feature
    measure = "R²" if config.task == "regression" else "AUC"
    for name, score in scores.items():
        if score >= limit and name not in config.training.leakage.allow:
            yield (
                f"feature {name!r} alone predicts the target with {measure} {score:.4f} (limit {limit:g}): "
                f"it probably contains the target; {REMEDY}"
            )


def _parts(
    columns: Columns, scores: dict[str, float], target: npt.NDArray[Any], config: ModelConfig
) -> tuple[str, ...]:
    """Return the features that add up to the target."""
    names = [name for name in config.features.numeric if _is_judged(name, scores, config)]
    if config.task == "multiclass" or not names:
        return ()
    return tuple(names[part] for part in linear_leak(np.column_stack([columns[name] for name in names]), target))


def _is_judged(name: str, scores: dict[str, float], config: ModelConfig) -> bool:
    leakage = config.training.leakage
    return name not in leakage.allow and scores[name] < leakage.max_single_feature


def _sums(parts: tuple[str, ...]) -> Reasons:
    if parts:
        listed = " and ".join(map(repr, parts))
        yield f"features {listed} add up to the target, so they are probably known only with it; {REMEDY_OF_SEVERAL}"


def _judged(
    frame: pd.DataFrame,
    columns: Columns,
    scores: dict[str, float],
    target: npt.NDArray[Any],
    config: ModelConfig,
) -> Table:
    """Return the features that neither block alone nor are exempt, and the time column for its pairs."""
    chosen = {name: x for name, x in columns.items() if _is_judged(name, scores, config)}
    fixed = {config.time} - {None, *columns}
    times = {name: _values(frame[name]) for name in fixed if name is not None}
    known = {name: single_feature_score(x, target, config.task) for name, x in times.items()}
    dates = frozenset({*config.features.dates, *times})
    return Table(chosen | times, dates, target, config.task, scores | known, frozenset(times))


def _pairs(found: Suspects) -> Reasons:
    for pair in found.certain:
        yield (
            f"{pair.why}: together they contain the target, so {' and '.join(map(repr, pair.later))} "
            f"{'is' if len(pair.later) == 1 else 'are'} probably known only with it; "
            f"{REMEDY if len(pair.later) == 1 else REMEDY_OF_SEVERAL}"
        )


def _identifiers(frame: pd.DataFrame, config: ModelConfig) -> Reasons:
    if len(frame) < MIN_ROWS:
        return
    kinds: tuple[tuple[tuple[str, ...], Callable[[pd.Series[Any]], str | None]], ...] = (
        (config.features.categorical, _names_rows),
        (config.features.numeric, _counts_rows),
    )
    for names, finding in kinds:
        for name in names:
            found = None if name in config.training.leakage.allow else finding(frame[name])
            if found:
                yield f"feature {name!r} identifies rows ({found}), so a model cannot generalise from it; {REMEDY}"


def _names_rows(column: pd.Series[Any]) -> str | None:
    n_known = int(column.notna().sum())
    if n_known < MIN_ROWS or column.head(10_000).nunique() < IDENTIFIER_SHARE * column.head(10_000).notna().sum():
        return None
    n_distinct = column.nunique()
    return f"{n_distinct:,} levels in {n_known:,} rows" if n_distinct >= IDENTIFIER_SHARE * n_known else None


def _counts_rows(column: pd.Series[Any]) -> str | None:
    """Detect a counter: distinct integers without large gaps that increase or decrease with the rows."""
    numbers = column.to_numpy(dtype=np.float64)
    if not np.isfinite(numbers).all() or np.ptp(numbers) > COUNTER_SPAN * len(numbers):
        return None
    if (numbers != np.trunc(numbers)).any() or not column.is_unique:
        return None
    ranks = np.argsort(np.argsort(numbers, kind="stable"), kind="stable")
    if abs(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1]) < ROW_ORDER_CORRELATION:
        return None
    return "a counter: whole numbers, each once, in the order of the rows"


def _time_order(rows: Rows, split: Split, config: ModelConfig) -> Reasons:
    if config.time is None or split.boundary is None:
        return
    late = int((rows.frame[config.time].iloc[split.train] >= pd.Timestamp(split.boundary)).sum())
    if late:
        yield (
            f"{late:,} training rows are not older than the holdout, which starts at {split.boundary}: "
            "this is a bug in the split; please report it"
        )

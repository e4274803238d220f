"""Find columns that are known only with the target or after it, on a sample of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from config.schema import Leakage
from core.init.columns import Decision, TargetDecision
from core.text import short
from core.train.leakage.pairs import Table
from core.train.leakage.scores import linear_leak, single_feature_score
from core.train.leakage.suspects import Suspect, suspects
from tasks.init.inspection.inspected import Inspection
from tasks.init.inspection.sample import sampled_columns

BLOCKING_SCORE = Leakage().max_single_feature
MARGIN = 0.005
"""Columns this near to the bound are ignored too: it was computed on a sample, and the model file must train."""

MIN_SAMPLED = 1000
"""With fewer rows, a feature without leakage is so near to the bound by chance."""

MIN_ROWS = 100
"""With fewer rows, a feature without leakage may predict every row by chance."""

MAX_ROUNDS = 5
BACK = "under features and under training.leakage.allow if known when predicting"

Columns = Mapping[str, npt.NDArray[Any]]


def leaks(
    inspection: Inspection, kinds: Mapping[str, Decision], target: str, goal: TargetDecision, time: str | None = None
) -> tuple[dict[str, Decision], list[str]]:
    """Return the columns that reproduce the target as ignored, and remarks on these and on others that may leak it.

    Parameters
    ----------
    inspection
        The rows.
    kinds
        Kind of each column so far.
    target, goal
        Name of the target, and the task.
    time
        Name of the declared time column: no feature, but another date minus it may be the target.
    """
    names = [name for name, decision in kinds.items() if decision.is_feature]
    fixed = frozenset({time} if time is not None else ())
    columns, y = sampled_columns(inspection.table, [*names, *fixed], target, goal.classes)
    if len(y) < MIN_ROWS:
        return {}, []
    scores = {name: single_feature_score(x, y, goal.task) for name, x in columns.items()}
    certain = list(_singles(scores, names, goal.task, len(y)))
    if goal.task != "multiclass":
        numbers = [name for name in names if kinds[name].kind == "numeric"]
        certain += _sums(columns, [name for name in numbers if name not in _ignored(certain)], y)
    dates = fixed | {name for name in names if kinds[name].kind == "dates"}
    table = Table(columns, dates, y, goal.task, scores, fixed)
    pairs, remarks = _pairs(table, _ignored(certain), target, _shares(goal))
    return _ignored([*certain, *pairs]), [*map(_remark, [*certain, *pairs]), *remarks]


def _ignored(certain: Sequence[Suspect]) -> dict[str, Decision]:
    return {
        name: Decision("ignored", f"leaks the target: {suspect.why}") for suspect in certain for name in suspect.later
    }


def _remark(suspect: Suspect) -> str:
    listed = " and ".join(short(name) for name in suspect.later[:4])
    verb = "is ignored; list it" if len(suspect.later) == 1 else "are ignored; list them"
    return f"{suspect.why}: {listed} {verb} {BACK}"


def _singles(scores: Mapping[str, float], names: Sequence[str], task: str, n_rows: int) -> Iterator[Suspect]:
    measure = "R²" if task == "regression" else "AUC"
    bound = BLOCKING_SCORE - (MARGIN if n_rows >= MIN_SAMPLED else 0)
    for name in names:
        if scores[name] >= bound:
            why = f"{short(name)} alone reaches {measure} {scores[name]:.3f}"
            yield Suspect((name,), why, scores[name], True, (name,))


def _sums(columns: Columns, names: list[str], y: npt.NDArray[Any]) -> Iterator[Suspect]:
    while names:
        parts = tuple(names[place] for place in linear_leak(np.column_stack([columns[name] for name in names]), y))
        if not parts:
            return
        formula = " and ".join(short(name, 20) for name in parts[:4])
        yield Suspect(parts, f"{formula} add up to the target", 1.0, True, parts)
        names = [name for name in names if name not in parts]


def _pairs(
    table: Table, found: Mapping[str, Decision], target: str, shares: npt.NDArray[np.float64] | None
) -> tuple[list[Suspect], list[str]]:
    """Ignore pairs that reproduce the target until there are none; return them, and remarks on what is left."""
    certain: list[Suspect] = []
    for _ in range(MAX_ROUNDS):
        gone = {*found, *_ignored(certain)}
        rest = suspects(table.without(gone), target, shares)
        if not rest.certain:
            break
        certain += rest.certain
    return certain, list(rest.remarks)


def _shares(goal: TargetDecision) -> npt.NDArray[np.float64] | None:
    counts = np.array([n_rows for _, n_rows in goal.classes], dtype=np.float64)
    return counts / counts.sum() if len(counts) else None

"""The reasons of a verdict on drift, as sentences for people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from config.schema import Drift
from core.text import listed, percent, readable

if TYPE_CHECKING:
    from core.drift.columns import ColumnDrift
    from core.drift.verdict import DriftVerdict
    from core.drift.windows import EarlierWindow

MIN_EVENTS = 5
"""Expected or observed events of a class, from which a rate that may have changed by chance is mentioned."""

SHOWN_COLUMNS = 5
"""Maximum number of columns with a sentence of their own."""

TOLD_CHANGE = 0.02
"""Minimum change of the share of missing values, or of levels without a bin, that a sentence mentions."""

LISTED_COLUMNS = 10
"""Maximum number of further columns that are named."""


def drift_reasons(verdict: DriftVerdict, drift: Drift, cooling: EarlierWindow | None) -> tuple[str, ...]:
    """Return the reasons of a verdict as sentences, the most important first.

    Parameters
    ----------
    verdict
        The verdict; its own reasons are ignored.
    drift
        Section ``drift`` of the model file.
    cooling
        Latest window that recommended a retraining within the cool-down; None if there is none.
    """
    if verdict.status == "insufficient":
        return (_too_few(verdict, drift), *verdict.window.notes, *_special_rows(verdict))
    performance = tuple(_performance(verdict, drift))
    columns = (*_columns(verdict, drift), *_concept(verdict))
    unused = _unused(verdict)
    return (
        *((*performance, *columns) if verdict.harmed else (*columns, *performance)),
        *unused,
        *_labels(verdict, drift),
        *_persistence(verdict, drift),
        *_retraining(verdict, drift, cooling),
        *verdict.window.notes,
        *_special_rows(verdict),
    )


def column_reason(column: ColumnDrift) -> str:
    """Return a sentence about how far a column drifted and how important it is to the champion."""
    subject = {"target": "the target", "prediction": "the predictions"}.get(column.role) or readable(column.name, 60)
    size = f"{column.remark or f'{subject} drifted'}: {_rate(column)}{_psi(column)}"
    changes = [] if column.remark else _changes(column)
    weight = {"feature": [f"it has {percent(column.importance)} of the champion's feature importance"]}
    return "; ".join([size, *changes, *weight.get(column.role, [])])


def unused_reason(column: ColumnDrift) -> str:
    """Return a sentence about a column that is not a feature and changed."""
    if column.remark:
        return column.remark
    name = readable(column.name, 60)
    subject = f"identifiers in {name} have another form" if column.kind == "forms" else f"{name} changed"
    return "; ".join([f"{subject}, which is not a feature: {_psi(column)}", *_changes(column)])


def _rate(column: ColumnDrift) -> str:
    if column.rate is None:
        return ""
    decided = "" if column.psi > column.bound else "this ratio decided, the PSI alone is small: "
    return f"{column.rate.sentence}; {decided}"


def _psi(column: ColumnDrift) -> str:
    psi, threshold, chance = _distinct_texts(column.psi, column.bound, column.critical)
    return f"PSI {psi} (threshold {threshold}; up to {chance} could be chance at {column.n_current:,} rows)"


def _changes(column: ColumnDrift) -> Iterator[str]:
    shares = (
        ("no value", column.missing, column.missing_reference),
        ("a level that has no bin in the reference", column.other, column.other_reference),
    )
    for what, now, before in shares:
        if now is not None and before is not None and abs(now - before) >= TOLD_CHANGE:
            yield f"{percent(now)} of the rows have {what} ({percent(before)} in the reference)"


def _distinct_texts(value: float, *others: float) -> list[str]:
    """Format numbers with two digits, or with more if the first would otherwise read like one of the others."""
    numbers = (value, *others)
    texts = [[f"{number:.{digits}g}" for number in numbers] for digits in range(2, 7)]
    return next((shown for shown in texts if shown[0] not in shown[1:]), texts[-1])


def _columns(verdict: DriftVerdict, drift: Drift) -> Iterator[str]:
    drifted = sorted(
        (column for column in judged_columns(verdict) if column.drifted),
        key=lambda column: (-column.importance if column.role == "feature" else -1, -column.psi),
    )
    if not drifted:
        yield _none_drifted(verdict)
    for column in drifted[:SHOWN_COLUMNS]:
        yield column_reason(column)
    yield from _doubtful_rates(verdict)
    if rest := [readable(column.name, 60) for column in drifted[SHOWN_COLUMNS:]]:
        n_more = len(rest) - LISTED_COLUMNS
        more = f" and {n_more:,} other{'' if n_more == 1 else 's'}" if n_more > 0 else ""
        yield f"{len(rest):,} more drifted: {', '.join(rest[:LISTED_COLUMNS])}{more}"
    yield from _importance(verdict, drift, sum(column.role == "feature" for column in drifted))
    moved = (column for column in verdict.columns if column.role == "prediction" and not column.drifted)
    yield from (column.remark for column in moved if column.remark)


def _doubtful_rates(verdict: DriftVerdict) -> Iterator[str]:
    """Yield the rates of classes that changed by more than is small, but not beyond chance."""
    for column in verdict.columns:
        if column.rate is None or not column.rate.is_large or column.drifted:
            continue
        # One labelled row would always be a large change.
        events = max(column.rate.rate, column.rate.reference) * column.n_current
        if column.rate.ratio is None or events >= MIN_EVENTS:
            yield f"{column.rate.sentence}: this may be chance"


def judged_columns(verdict: DriftVerdict) -> tuple[ColumnDrift, ...]:
    """Return the columns that decide: features, the target and the predictions."""
    return tuple(column for column in verdict.columns if column.role != "unused")


def _unused(verdict: DriftVerdict) -> Iterator[str]:
    changed = [column for column in verdict.columns if column.drifted and column.role == "unused"]
    # A column that was constant first: it is the one that a training may gain from.
    ordered = sorted(changed, key=lambda column: (not column.remark, -column.psi))
    yield from map(unused_reason, ordered[:SHOWN_COLUMNS])
    if rest := [readable(column.name, 60) for column in ordered[SHOWN_COLUMNS:]]:
        yield f"{len(rest):,} more columns that are not features changed: {listed(rest, LISTED_COLUMNS)}"


def _none_drifted(verdict: DriftVerdict) -> str:
    judged = judged_columns(verdict)
    worst = max(judged, key=lambda column: column.psi / column.bound)
    psi, threshold, chance = _distinct_texts(worst.psi, worst.bound, worst.critical)
    bound = f"but up to {chance} could be chance" if worst.psi > worst.bound else f"the threshold is {threshold}"
    n_columns = f"none of the {len(judged):,} columns" if len(judged) > 1 else "the column has not"
    return (
        f"{n_columns} drifted on {verdict.window.n_rows:,} rows: "
        f"the largest PSI is {psi} ({readable(worst.name, 60)}), {bound}"
    )


def _importance(verdict: DriftVerdict, drift: Drift, n_features: int) -> Iterator[str]:
    share, needed = percent(verdict.importance_share), percent(drift.min_importance)
    if n_features and not verdict.drifted:
        subject = "the features that drifted have" if n_features > 1 else "the feature that drifted has"
        yield f"{subject} {share} of the champion's feature importance: a signal needs {needed} (drift.min_importance)"
    elif n_features > 1:
        yield f"together the features that drifted have {share} of the champion's feature importance"


def _performance(verdict: DriftVerdict, drift: Drift) -> Iterator[str]:
    bias = verdict.bias
    if not verdict.performance:
        yield "the champion's performance on this window was not measured"
    if bias is not None and bias.harmed:
        yield f"performance is harmed, because the probabilities are biased: {bias.reason}"
    for place, performance in enumerate(verdict.performance):
        harmed = performance.harmed and not place
        yield f"performance is harmed: {performance.reason}" if harmed else performance.reason
    if bias is not None and bias.harmed is False and not bias.excludes_harm(drift.class_ratio):
        yield f"a bias of the probabilities is neither shown nor excluded: {bias.reason}"


def _concept(verdict: DriftVerdict) -> Iterator[str]:
    realised = any(one.harmed and one.kind == "realised" for one in verdict.performance[:1])
    if realised and not any(column.drifted for column in verdict.columns if column.role == "feature"):
        yield "no feature drifted, so the relation of features and target may have changed (concept drift)"


def _labels(verdict: DriftVerdict, drift: Drift) -> Iterator[str]:
    window = verdict.window
    if window.n_young:
        days = f"{drift.label_delay_days:g} day" + ("" if drift.label_delay_days == 1 else "s")
        yield (
            f"{window.n_young:,} of the {window.n_sampled:,} rows that were scored are younger than {days}: "
            "their labels are not used yet (drift.label_delay_days)"
        )
    without = window.n_sampled - window.n_young - window.n_labelled
    if window.source == "predictions" and window.n_sampled:
        share = percent(window.n_labelled / window.n_sampled)
        yield (
            f"{window.n_labelled:,} of the {window.n_sampled:,} predictions that were scored have a label so far "
            f"({share}); 'perennial labels {verdict.model}' tells the weeks and the delay"
        )
    elif window.n_labelled and without > 0:
        yield f"{without:,} of the {window.n_sampled:,} rows that were scored have no label"


def _persistence(verdict: DriftVerdict, drift: Drift) -> Iterator[str]:
    needed, among = drift.persistence
    if not verdict.drifted or among == 1:
        return
    signals = f"{verdict.n_signals} of the last {verdict.n_windows} windows drifted"
    count = signals if verdict.n_windows > 1 else "this is the first window that was judged"
    yield f"{count}; the status 'drift' needs {needed} of {among} (drift.persistence)"


def _retraining(verdict: DriftVerdict, drift: Drift, cooling: EarlierWindow | None) -> Iterator[str]:
    if verdict.status != "drift":
        return
    if drift.retrain_on == "never":
        yield "no retraining is recommended: drift.retrain_on is never"
    elif drift.retrain_on == "harm" and verdict.harmed is False:
        yield f"no retraining is recommended: {_unharmed(verdict)} (drift.retrain_on is harm)"
    elif cooling is not None:
        end = cooling.measured_at.astimezone(UTC) + timedelta(hours=drift.cooldown_hours)
        yield (
            f"no retraining is recommended before {end:%Y-%m-%d %H:%M} UTC: decision {cooling.id[:12]} "
            f"recommended one {drift.cooldown_hours:g} hours earlier (drift.cooldown_hours)"
        )
    else:
        yield f"retraining is recommended: {_why(verdict, drift)}"


def _unharmed(verdict: DriftVerdict) -> str:
    excluded = verdict.performance[0].excludes_harm
    return "performance is not harmed" if excluded else "no harm is shown, although it is not excluded"


def _why(verdict: DriftVerdict, drift: Drift) -> str:
    if verdict.harmed and not any(one.harmed for one in verdict.performance[:1]):
        return "the drift persists and biases the probabilities"
    if verdict.harmed:
        return "the drift persists and harms performance"
    if drift.retrain_on == "drift":
        return "the drift persists, and drift.retrain_on is drift"
    return "the drift persists, and whether it harms performance is unknown"


def _too_few(verdict: DriftVerdict, drift: Drift) -> str:
    n_rows = verdict.window.n_rows
    if not n_rows:
        return f"the window is empty: {drift.min_rows:,} rows are needed to judge (drift.min_rows)"
    rows = "1 row is" if n_rows == 1 else f"{n_rows:,} rows are"
    more = f"{drift.min_rows - n_rows:,} more"
    return f"{rows} too few to judge: {drift.min_rows:,} are needed (drift.min_rows), so wait for {more}"


def _special_rows(verdict: DriftVerdict) -> Iterator[str]:
    window = verdict.window
    counted = (
        (window.n_seen, "left out: the champion was trained on them"),
        (window.n_outside, "left out: outside the time range"),
        (window.n_without_time, "without a time"),
        (window.n_out_of_order, "earlier than the row before: the batches are not in time order"),
    )
    for n_rows, what in counted:
        if n_rows:
            yield f"{n_rows:,} row{'' if n_rows == 1 else 's'} {what}"


def undeclared_notes(columns: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence about the columns of a source that the model file does not declare; nothing if there are none.

    Examples
    --------
    >>> undeclared_notes(["notes"])
    ('dropped, because the model file does not declare it: notes',)
    """
    if not columns:
        return ()
    them = "it" if len(columns) == 1 else "them"
    return (f"dropped, because the model file does not declare {them}: {listed(columns)}",)


def contract_notes(declared: Collection[str], taken: Collection[str]) -> tuple[str, ...]:
    """Return sentences about the features of the current model file that differ from the champion's.

    Parameters
    ----------
    declared, taken
        Names of the features in the model file, and of the champion's features.

    Examples
    --------
    >>> contract_notes(["age", "savings"], ["age", "income"])
    ('the champion does not use savings: not compared', 'the champion uses income, which is no longer a feature')
    """
    new = sorted(set(declared) - set(taken))
    gone = sorted(set(taken) - set(declared))
    notes = [f"the champion does not use {listed(new)}: not compared"] if new else []
    return (*notes, *([f"the champion uses {listed(gone)}, which is no longer a feature"] if gone else []))

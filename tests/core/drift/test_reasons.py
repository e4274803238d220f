from __future__ import annotations

import doctest
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import core.drift.reasons
from config.schema import Drift
from core.drift.decision import ColumnDrift, EarlierWindow, decide
from core.drift.reasons import column_reason, contract_notes, undeclared_notes
from core.metrics.class_rates import ClassRate
from core.performance.prediction_bias import PredictionBias
from tests.core.drift_samples import (
    DRIFTED,
    HARMED,
    NOW,
    PREDICTION,
    QUIET,
    TARGET,
    UNHARMED,
    UNKNOWN,
    earlier,
    evidence,
    realised,
)


def reasons(
    *columns: ColumnDrift,
    before: tuple[EarlierWindow, ...] = (),
    persistence: tuple[int, int] = (1, 1),
    drift: dict[str, Any] | None = None,
    **changes: Any,
) -> tuple[str, ...]:
    """Reasons of a decision on evidence built by hand."""
    rule = Drift(persistence=persistence, **(drift or {}))
    return decide(evidence(*columns, **changes), before, rule, NOW).reasons


def test_drift_without_harm_is_told_with_its_consequence() -> None:
    """The column first, then the performance, then what follows."""
    assert reasons(DRIFTED, QUIET) == (
        "income drifted: PSI 0.31 (threshold 0.1; up to 0.019 could be chance at 2,000 rows); "
        "it has 34 % of the champion's feature importance",
        "ROC AUC is estimated at 0.809",
        "no retraining is recommended: performance is not harmed (drift.retrain_on is harm)",
    )


def test_rate_of_a_class_is_told_beside_psi() -> None:
    """Both rates, their ratio and its interval; a large ratio that may be chance has a sentence of its own."""
    rate = ClassRate("yes", 0.0089, 0.0059, 1.508, 1.35, 1.68, 0.995, 1.25)
    drifted = replace(TARGET, psi=0.0012, critical=0.0002, drifted=True, rate=rate)
    text = "rate of yes 0.59 % -> 0.89 %, ratio 1.51 (99.5 % interval 1.35 to 1.68; 0.8 to 1.25 is small)"
    decided = "this ratio decided, the PSI alone is small: PSI 0.0012 (threshold "
    assert reasons(QUIET, drifted)[0].startswith(f"the target drifted: {text}; {decided}")
    assert f"{text}; PSI 0.31 (threshold 0.1; " in reasons(QUIET, replace(drifted, psi=0.31))[0]
    doubtful = replace(TARGET, rate=replace(rate, low=0.9))
    assert any(reason.endswith("small): this may be chance") for reason in reasons(QUIET, doubtful))
    assert not any("rate of yes" in reason for reason in reasons(QUIET, replace(doubtful, n_current=1)))
    assert not any("rate of yes" in one for one in reasons(QUIET, replace(TARGET, rate=replace(rate, ratio=1.1))))


def test_harm_that_is_not_excluded_is_told() -> None:
    """An undecided bias has a sentence, one within its bounds has none; a wide interval is not called not harmed."""
    bias = PredictionBias(0.3, 0.3, -0.01, 0.01, 0.0, 0.02, False, 2_000, "observed frequency 30.0%", 1.0, 0.9, 1.1)
    told = "a bias of the probabilities is neither shown nor excluded: observed frequency 30.0%"
    assert told not in reasons(bias=bias)
    assert reasons(bias=replace(bias, ratio_high=1.3))[-1] == told
    assert told not in reasons(bias=replace(bias, harmed=None, ratio_high=1.3))
    wide = replace(realised(UNHARMED), loss_high=0.1)
    assert reasons(DRIFTED, performance=(wide,))[-1] == (
        "no retraining is recommended: no harm is shown, although it is not excluded (drift.retrain_on is harm)"
    )


def test_harm_is_told_first() -> None:
    """What it costs matters more than where it comes from."""
    told = reasons(DRIFTED, performance=(HARMED,))
    assert told[0] == "performance is harmed: ROC AUC is estimated at 0.75, a loss of 0.06"
    assert told[1].startswith("income drifted")
    assert told[-1] == "retraining is recommended: the drift persists and harms performance"


def test_concept_drift_is_named() -> None:
    """Where labels show harm and no feature drifted; estimates cannot see it."""
    told = reasons(performance=(realised(HARMED), UNHARMED))
    assert "no feature drifted, so the relation of features and target may have changed (concept drift)" in told
    assert told[2] == (
        "none of the 3 columns drifted on 2,000 rows: the largest PSI is 0.012 (age), the threshold is 0.1"
    )
    assert told[1] == "ROC AUC is estimated at 0.809"
    assert not any("concept" in reason for reason in reasons(performance=(HARMED,)))
    assert not any("concept" in reason for reason in reasons(DRIFTED, performance=(realised(HARMED),)))


def test_a_quiet_window_names_the_column_that_moved_most() -> None:
    """Also where its PSI is large but may be chance."""
    assert reasons() == (
        "none of the 3 columns drifted on 2,000 rows: the largest PSI is 0.012 (age), the threshold is 0.1",
        "ROC AUC is estimated at 0.809",
    )
    chance = replace(QUIET, psi=0.143, critical=0.24)
    assert reasons(chance, TARGET, n_rows=210)[0] == (
        "none of the 2 columns drifted on 210 rows: the largest PSI is 0.14 (age), but up to 0.24 could be chance"
    )
    assert reasons(QUIET)[0].startswith("the column has not drifted on 2,000 rows")


@pytest.mark.parametrize(
    ("n_rows", "sentence"),
    [
        (0, "the window is empty: 200 rows are needed to judge (drift.min_rows)"),
        (1, "1 row is too few to judge: 200 are needed (drift.min_rows), so wait for 199 more"),
        (48, "48 rows are too few to judge: 200 are needed (drift.min_rows), so wait for 152 more"),
    ],
)
def test_too_few_rows_are_told_with_what_became_of_the_others(n_rows: int, sentence: str) -> None:
    """How many are needed, and why there are not more."""
    told = reasons(
        n_rows=n_rows, notes=("no batch has been ingested since the champion was trained",), n_seen=1500, n_outside=1
    )
    assert told == (
        sentence,
        "no batch has been ingested since the champion was trained",
        "1,500 rows left out: the champion was trained on them",
        "1 row left out: outside the time range",
    )


def test_rows_that_are_odd_are_told() -> None:
    """Without a time, or out of order."""
    told = reasons(n_without_time=12, n_out_of_order=3, notes=("a note",))
    assert told[-3:] == (
        "a note",
        "12 rows without a time",
        "3 rows earlier than the row before: the batches are not in time order",
    )


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (
            replace(DRIFTED, role="target", name="target", importance=0.0),
            "the target drifted: PSI 0.31 (threshold 0.1; up to 0.019 could be chance at 2,000 rows)",
        ),
        (
            replace(DRIFTED, role="prediction", name="prediction", importance=0.0),
            "the predictions drifted: PSI 0.31 (threshold 0.1; up to 0.019 could be chance at 2,000 rows)",
        ),
        (
            replace(
                DRIFTED, psi=4.6413, missing=1.0, remark="income has no value in this window (2 % in the reference)"
            ),
            "income has no value in this window (2 % in the reference): PSI 4.6 (threshold 0.1; up to 0.019 could be "
            "chance at 2,000 rows); it has 34 % of the champion's feature importance",
        ),
        (
            replace(DRIFTED, missing=0.2, missing_reference=0.05, other=0.03, other_reference=0.0),
            "income drifted: PSI 0.31 (threshold 0.1; up to 0.019 could be chance at 2,000 rows); "
            "20 % of the rows have no value (5 % in the reference); "
            "3 % of the rows have a level that has no bin in the reference (0 % in the reference); "
            "it has 34 % of the champion's feature importance",
        ),
        (
            replace(DRIFTED, psi=0.10041, name="in\x1bcome"),
            r"in\x1bcome drifted: PSI 0.1004 (threshold 0.1; up to 0.019 could be chance at 2,000 rows); "
            "it has 34 % of the champion's feature importance",
        ),
    ],
)
def test_a_column_is_told_in_its_own_words(column: ColumnDrift, sentence: str) -> None:
    """What it is, what changed, by how much, and what it means to the champion."""
    assert column_reason(column) == sentence


def test_target_and_predictions_come_first_then_the_most_important() -> None:
    """Five have a sentence, the rest is named, the sum is told."""
    columns = [replace(DRIFTED, name=f"x{i}", importance=i / 100) for i in range(1, 18)]
    told = reasons(*columns, replace(TARGET, drifted=True), replace(PREDICTION, drifted=True))
    assert [reason.split(" drifted")[0] for reason in told[:5]] == [
        "the target",
        "the predictions",
        "x17",
        "x16",
        "x15",
    ]
    assert told[5] == "14 more drifted: x14, x13, x12, x11, x10, x9, x8, x7, x6, x5 and 4 others"
    assert told[6] == "together the features that drifted have 100 % of the champion's feature importance"


@pytest.mark.parametrize(("n_features", "subject"), [(1, "the feature that drifted has"), (2, "the features that")])
def test_drift_that_is_no_signal_says_what_is_missing(n_features: int, subject: str) -> None:
    """The share of importance beside the one that is needed."""
    columns = [replace(DRIFTED, name=f"x{i}", importance=0.02) for i in range(n_features)]
    (told,) = [reason for reason in reasons(*columns) if reason.startswith(subject)]
    assert told.endswith(
        f"{2 * n_features} % of the champion's feature importance: a signal needs 10 % (drift.min_importance)"
    )


def test_persistence_is_told() -> None:
    """How many windows agree, and how many are needed."""
    first = reasons(DRIFTED, persistence=(2, 3))
    assert first[-1] == "this is the first window that was judged; the status 'drift' needs 2 of 3 (drift.persistence)"
    quiet = earlier(8, drifted=False)
    assert reasons(DRIFTED, before=(quiet,), persistence=(2, 3))[-1] == (
        "1 of the last 2 windows drifted; the status 'drift' needs 2 of 3 (drift.persistence)"
    )
    assert "2 of the last 2 windows drifted; the status 'drift' needs 2 of 3 (drift.persistence)" in reasons(
        DRIFTED, before=(earlier(8),), persistence=(2, 3)
    )


@pytest.mark.parametrize(
    ("drift", "performance", "sentence"),
    [
        ({"retrain_on": "never"}, (HARMED,), "no retraining is recommended: drift.retrain_on is never"),
        (
            {"retrain_on": "drift"},
            (UNHARMED,),
            "retraining is recommended: the drift persists, and drift.retrain_on is drift",
        ),
        ({}, (UNKNOWN,), "retraining is recommended: the drift persists, and whether it harms performance is unknown"),
        ({}, (), "retraining is recommended: the drift persists, and whether it harms performance is unknown"),
    ],
)
def test_what_follows_is_told_last(drift: dict[str, Any], performance: tuple[Any, ...], sentence: str) -> None:
    """With the setting that decided."""
    told = reasons(DRIFTED, drift=drift, performance=performance)
    assert told[-1] == sentence
    assert ("the champion's performance on this window was not measured" in told) == (not performance)


def test_the_cool_down_says_until_when() -> None:
    """And which decision began it."""
    before = earlier(8, retrain=True, measured_at=NOW - timedelta(hours=10))
    assert reasons(DRIFTED, before=(before,), performance=(HARMED,))[-1] == (
        "no retraining is recommended before 2025-06-01 20:00 UTC: decision 080808080808 recommended one 24 hours "
        "earlier (drift.cooldown_hours)"
    )


def test_labels_that_are_missing_or_young_are_told() -> None:
    """The label delay is part of the reasons."""
    told = reasons(drift={"label_delay_days": 14}, n_young=800, n_labelled=1150)
    assert (
        "800 of the 2,000 rows that were scored are younger than 14 days: their labels are not used yet "
        "(drift.label_delay_days)"
    ) in told
    assert "50 of the 2,000 rows that were scored have no label" in told
    assert not any("label" in reason for reason in reasons(n_labelled=2000))


@pytest.mark.parametrize(("n_labelled", "share"), [(0, "0 %"), (500, "25 %"), (2000, "100 %")])
def test_of_a_window_of_the_log_the_labelled_share_is_told(n_labelled: int, share: str) -> None:
    """Always: labels of predictions arrive later, or not at all."""
    told = reasons(source="predictions", n_labelled=n_labelled)
    assert (
        f"{n_labelled:,} of the 2,000 predictions that were scored have a label so far ({share}); "
        "'perennial labels credit' tells the weeks and the delay"
    ) in told
    assert not any("have no label" in reason for reason in told)


def test_the_examples_of_notes_hold() -> None:
    """The documented examples run."""
    assert doctest.testmod(core.drift.reasons).failed == 0


def test_no_other_column_is_no_sentence() -> None:
    """Equal sets in any order, and no undeclared column."""
    assert undeclared_notes([]) == ()
    assert contract_notes(["age", "income"], ["income", "age"]) == ()


def test_foreign_names_cannot_steer_a_terminal() -> None:
    """Names come from a source; many are counted instead of listed."""
    (note,) = undeclared_notes(["a\x1b[2J", *(f"c{place}" for place in range(100))])
    assert "\x1b" not in note
    assert "declare them: " in note
    assert note.endswith("and 96 more")

"""Windows and their history as lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.lines.drift import drift_lines, monitor_lines, report_lines, sparkline
from config.schema import Drift
from core.drift.decision import ColumnDrift, decide
from core.drift.divergence import ChiSquare
from core.drift.verdict import DriftEvidence, DriftVerdict, WindowFacts
from core.performance.loss import Performance

NOW = datetime(2026, 2, 1, 6, tzinfo=UTC)
ALWAYS = Drift(persistence=(1, 1), retrain_on="drift")
LINKS = {"drift report": "/elsewhere/drift.html"}


def column(name: str, psi: float = 0.01, importance: float = 0.05, **given: Any) -> ColumnDrift:
    """Return a column that drifted where its PSI is above 0.1."""
    facts: dict[str, Any] = {
        "role": "feature",
        "kind": "numeric",
        "bound": 0.1,
        "critical": 0.0194,
        "p_value": 0.5,
        "method": "chi-square",
        "jensen_shannon": 0.1,
        "hellinger": 0.1,
        "chi_square": ChiSquare(1.0, 9, 0.5),
        "n_reference": 5_000,
        "n_current": 2_012,
        "missing": 0.02,
        "missing_reference": 0.02,
        "other": None,
        "other_reference": None,
        "drifted": psi > 0.1,
    }
    return ColumnDrift(name=name, psi=psi, importance=importance, **(facts | given))


def columns(income: float = 0.312) -> tuple[ColumnDrift, ...]:
    """Return three features, one of them of no weight, the target and the prediction."""
    return (
        column("age", importance=0.6),
        column("income", income, importance=0.4, missing=0.14),
        column("region", importance=0.0, kind="levels", other=0.052, other_reference=0.001),
        column("target", importance=0.0, role="target"),
        column("prediction", 0.033, importance=0.0, role="prediction"),
    )


def performance(**given: Any) -> Performance:
    """Return a loss that labels show."""
    facts = Performance(
        "realised",
        "roc_auc",
        0.7712,
        0.7512,
        0.7912,
        0.8123,
        0.8001,
        0.8234,
        0.0411,
        0.0191,
        0.0631,
        0.0162,
        True,
        1_812,
        "ROC AUC fell",
    )
    return replace(facts, **given)


def verdict(
    found: Sequence[ColumnDrift] = columns(),
    known: Sequence[Performance] = (performance(),),
    day: int = 0,
    drift: Drift = ALWAYS,
    **window: Any,
) -> DriftVerdict:
    """Decide on a month of rows that ends some days after the first one's end."""
    end = datetime(2026, 1, 31, 23, 59) + timedelta(days=day)
    start = datetime(2026, 1, 1) + timedelta(days=day)
    facts: dict[str, Any] = {"batches": (f"{day:04}-a", f"{day:04}-b"), "n_rows": 2_012}
    facts |= {"first_time": start, "last_time": end}
    evidence = DriftEvidence(
        id=f"{day:064}",
        model="credit",
        champion=3,
        against="champion",
        window=WindowFacts(**(facts | window)),
        columns=tuple(found),
        performance=tuple(known),
    )
    return decide(evidence, (), drift, NOW + timedelta(days=day))


def at(lines: Sequence[str], start: str) -> str:
    """Return the one line that starts with a text."""
    (line,) = [line for line in lines if line.strip().startswith(start)]
    return line.strip()


def words(text: str) -> list[str]:
    """Return the words of a line, however far apart."""
    return text.split()


def order(lines: Sequence[str], header: str) -> list[str]:
    """Return the first words of a table's rows."""
    (place,) = [place for place, line in enumerate(lines) if line.strip().startswith(header)]
    rows = [*lines[place + 1 :], ""]
    return [line.split()[0] for line in rows[: rows.index("")]]


@pytest.mark.parametrize(
    ("found", "headline"),
    [
        (verdict(), "credit: drift, retraining is recommended"),
        (verdict(drift=Drift(persistence=(1, 1), retrain_on="never")), "credit: drift, retraining is not recommended"),
        (verdict(drift=Drift()), "credit: watch, there is a change, but no action is needed yet"),
        (verdict(columns(0.01), ()), "credit: ok, nothing has drifted"),
        (verdict(n_rows=50), "credit: insufficient, the window has too little evidence for a decision"),
    ],
)
def test_the_first_line_is_the_decision(found: DriftVerdict, headline: str) -> None:
    """Every status has its headline; the rows and all reasons follow."""
    lines = monitor_lines(found, LINKS, width=0)
    assert lines[:2] == ["", headline]
    assert lines[2].startswith(f"  {found.window.n_rows:,} rows of 2 batches, 2026-01-01 to 2026-01-31, against the")
    assert lines[3 : 3 + len(found.reasons)] == [f"  {reason}" for reason in found.reasons]
    assert lines[-1] == "  drift report       /elsewhere/drift.html"


def test_numbers_of_too_few_rows_are_not_shown() -> None:
    """A window that says nothing has no tables: "not harmed" or a large PSI would be read as an answer."""
    small = verdict(columns(0.9), (performance(harmed=False),), n_rows=50)
    empty = verdict((), (), n_rows=0, batches=(), first_time=None, last_time=None)
    assert monitor_lines(small, {}, width=0)[3:] == [f"  {reason}" for reason in small.reasons]
    first = "  0 rows, against the training rows of champion 3"
    assert monitor_lines(empty, {}, width=0)[2:] == [first, *(f"  {reason}" for reason in empty.reasons)]
    history = drift_lines("credit", [verdict(columns(0.02)), small], None, width=200)
    assert sum("0.7712" in line for line in history) == 1
    assert at(history, "income").endswith(" 0.020  ▁ ·")


def test_a_window_may_be_held_against_a_data_version() -> None:
    """Its name is cut as people write it."""
    found = replace(verdict(), against="3f2a91c0" + "0" * 24 + ".dir")
    assert "against data version 3f2a91c0 (champion 3)" in monitor_lines(found, {}, width=0)[2]


def test_columns_that_matter_come_first() -> None:
    """Drifted ones lead, then what the model answers and predicts, then the features by importance."""
    lines = monitor_lines(verdict(), {}, width=0)
    assert order(lines, "column ") == ["income", "(prediction)", "(target)", "age", "region"]
    assert at(lines, "income  ").split("  ")[-2:] == ["drifted", "missing was 2.0 %"]
    assert at(lines, "income  ").split()[1:6] == ["0.312", "0.019", "14.0", "%", "40.0"]
    assert at(lines, "region  ").endswith("5.2 % other levels")
    assert at(lines, "(target)").endswith("–")
    assert "drifted" not in at(lines, "age  ")


def test_many_columns_are_counted() -> None:
    """Twelve are listed; of the rest only their number and whether they drifted is told."""
    quiet = [column(f"quiet_{n}", importance=0.01) for n in range(20)]
    lines = monitor_lines(verdict(quiet, ()), {}, width=0)
    assert len(order(lines, "column ")) == 13
    assert lines[-1] == "  and 8 more columns, none of which drifted"
    loud = [column(f"loud_{n}", 0.2, importance=0.01) for n in range(13)]
    assert "  and 1 more column, 1 of which drifted" in monitor_lines(verdict(loud, ()), {}, width=0)


def test_performance_is_a_table() -> None:
    """What labels say and what is estimated stand below each other, with what came of it."""
    estimated = performance(kind="estimated", loss=-0.01, loss_low=None, loss_high=None, harmed=None, n_rows=2_012)
    lines = monitor_lines(verdict(known=(estimated, performance())), {}, width=0)
    realised = words("ROC AUC, realised 1,812 0.8123 0.7712 +0.0411 +0.0191 to +0.0631 0.0162 exceeded")
    assert words(at(lines, "ROC AUC, realised")) == realised
    assert at(lines, "ROC AUC, estimated").endswith("no answer")
    assert "-0.0100  –  " in at(lines, "ROC AUC, estimated")
    calm = monitor_lines(verdict(known=(performance(harmed=False, loss_high=0.0161),)), {}, width=0)
    assert at(calm, "ROC AUC, realised").endswith("within it")
    for high in (0.0163, None):
        wide = monitor_lines(verdict(known=(performance(harmed=False, loss_high=high),)), {}, width=0)
        assert at(wide, "ROC AUC, realised").endswith("not excluded")
    beside = monitor_lines(verdict(known=(performance(), performance(metric="mae", judged=False))), {}, width=0)
    assert at(beside, "MAE, realised").endswith("not judged")


@pytest.mark.parametrize("width", [60, 80, 100])
def test_lines_fit_the_terminal(width: int) -> None:
    """Sentences are wrapped at spaces, tables lose what they can spare, names are cut; no line is longer."""
    found = verdict((*columns(), column("n" * 300, importance=0.5)))
    lines = monitor_lines(found, LINKS, width)
    assert max(map(len, lines)) <= width
    joined = " ".join(line.strip() for line in lines)
    assert all(" ".join(reason.split()) in joined for reason in found.reasons)
    history = drift_lines("credit", [replace(found, window=found.window)] * 40, "/elsewhere/drift.html", width=width)
    assert max(map(len, history)) <= width


def test_names_cannot_steer_the_terminal() -> None:
    """What cannot be seen is written as an escape, in tables and in sentences."""
    nasty = column("a\x1b[2J\n\u202eb", 0.5, importance=0.9)
    found = verdict([nasty], (), notes=("batch \x1b]0;x\x07 is gone",))
    text = "".join([*monitor_lines(found, {}, 80), *monitor_lines(found, {}, 0), *drift_lines("credit", [found], None)])
    assert not {"\x1b", "\x07", "\n", "\u202e"} & set(text)
    assert "a\\x1b[2J\\n\\u202eb" in text


def test_no_history_says_how_to_make_one() -> None:
    """A model that was never monitored is told the command."""
    assert drift_lines("credit", [], None) == [
        "no drift window of credit was measured yet; measure one with: perennial monitor credit"
    ]


def test_the_history_is_a_line_per_window() -> None:
    """Time, rows, status, what drifted and the performance that decided stand in columns."""
    unknown = performance(kind="estimated", value=0.8, harmed=False)
    windows = [verdict(columns(0.02), (unknown,)), verdict(day=31), verdict(columns(0.02), (), day=62, n_rows=7)]
    lines = drift_lines("credit", windows, "/elsewhere/drift.html", width=160)
    assert lines[0] == "credit: 3 windows against the training rows of champion 3, newest last"
    assert at(lines, "measured").split("  ")[0] == "measured (UTC)"
    assert words(at(lines, "2026-02-01 06:00")) == words(
        "2026-02-01 06:00 2,012 2026-01-01 2026-01-31 ok 0.0 % 0.8000 estimated"
    )
    assert words(at(lines, "2026-03-04 06:00")) == words(
        "2026-03-04 06:00 2,012 2026-02-01 2026-03-03 drift, retrain 40.0 % 0.7712 realised, harmed"
    )
    assert words(at(lines, "2026-04-04 06:00")) == words("2026-04-04 06:00 7 2026-03-04 2026-04-03 insufficient – –")
    assert lines[-1] == "  newest report      /elsewhere/drift.html"


def test_what_no_window_has_is_no_column() -> None:
    """Rows without times have no span; other champions and metrics are told apart where there are several."""
    timeless = verdict(known=(), first_time=None, last_time=None)
    header = at(drift_lines("credit", [timeless], None), "measured").split()
    assert header == ["measured", "(UTC)", "rows", "status", "drifted"]
    other = replace(verdict(day=31, known=(performance(metric="f1"),)), champion=4)
    lines = drift_lines("credit", [verdict(), other], None, width=200)
    assert lines[0] == "credit: 2 windows, newest last"
    assert "champion 3" in at(lines, "2026-02-01 06:00")
    assert "ROC AUC 0.7712" in at(lines, "2026-02-01 06:00")
    assert "champion 4" in at(lines, "2026-03-04 06:00")
    assert "F1 0.7712" in at(lines, "2026-03-04 06:00")


def test_hours_are_told_where_days_do_not_tell_windows_apart() -> None:
    """Two windows of one day show when each began and ended."""
    day = datetime(2026, 1, 1)
    halves = [
        verdict(first_time=day + timedelta(hours=hour), last_time=day + timedelta(hours=hour + 11)) for hour in (0, 12)
    ]
    lines = drift_lines("credit", halves, None, width=160)
    assert any("2026-01-01 00:00  2026-01-01 11:00" in line for line in lines)
    assert any("2026-01-01 12:00  2026-01-01 23:00" in line for line in lines)


def test_each_column_has_its_line_over_time() -> None:
    """Most important first, newest right, with the last PSI; insufficient windows are gaps."""
    income = [0.01, 0.04, 0.312, None, 1.2, 0.1]
    windows = [
        verdict(columns(psi or 0.0), (), day=31 * month, n_rows=7 if psi is None else 2_012)
        for month, psi in enumerate(income)
    ]
    lines = drift_lines("credit", windows, None, width=100)
    assert order(lines, "column ") == ["(target)", "(prediction)", "age", "income", "region"]
    assert at(lines, "income").endswith(" 0.100  ▁ ▂ ▆*· █*▄")
    assert at(lines, "(prediction)").endswith("▂ ▂ ▂ · ▂ ▂")
    legend = " ".join(line.strip() for line in lines)
    assert "PSI of 6 windows, newest right: ▁▂▃▄ up to 0.1, ▅ above 0.1, ▆ above 0.25, ▇ above 0.5, █ above 1" in legend
    looser = " ".join(line.strip() for line in drift_lines("credit", windows, None, bound=0.2, width=200))
    assert "▄ up to 0.2, ▅ above 0.2, ▆ above 0.5, ▇ above 1, █ above 2" in looser
    assert "▁ ▁ ▅*· ▇*▂" in looser


def test_the_newest_windows_are_drawn_where_not_all_fit() -> None:
    """A narrow terminal shows as many as it can and says of how many."""
    windows = [verdict(columns(0.02 if day else 5.0), (), day=day) for day in range(40)]
    lines = drift_lines("credit", windows, None, width=80)
    assert any("PSI of the last 21 of 40 windows" in line for line in lines)
    assert at(lines, "income").endswith(" 0.020  " + " ".join("▁" * 21))


def test_windows_are_told_in_the_order_of_their_rows() -> None:
    """A month that was measured late stands where it belongs; one without rows after what was measured before it."""
    empty = verdict((), (), day=40, n_rows=0, batches=(), first_time=None, last_time=None)
    late = replace(verdict(columns(0.6), (), day=31), measured_at=NOW + timedelta(days=90))
    windows = [verdict(columns(0.02), ()), empty, verdict(columns(0.02), (), day=62), late]
    assert at(drift_lines("credit", windows, None, width=100), "income").endswith("▁ · ▇*▁")


def test_a_history_without_measured_columns_has_no_drawing() -> None:
    """Windows without rows leave the table of windows alone."""
    empty = verdict((), (), n_rows=0, batches=(), first_time=None, last_time=None)
    lines = drift_lines("credit", [empty], None)
    assert not any("PSI" in line or "importance" in line for line in lines)
    assert at(lines, "2026-02-01 06:00").split() == ["2026-02-01", "06:00", "0", "insufficient"]


def test_many_columns_are_drawn_by_importance() -> None:
    """Twenty-five are drawn; of the rest it is told how many ever drifted."""
    many = [column(f"c{n:02}", 0.2 if n == 29 else 0.01, importance=(30 - n) / 465) for n in range(30)]
    calm = [replace(one, psi=0.01, drifted=False) for one in many]
    lines = drift_lines("credit", [verdict(many, ()), verdict(calm, (), day=31)], None)
    assert [name for name in order(lines, "column ") if name.startswith("c")] == [f"c{n:02}" for n in range(25)]
    assert lines[-1] == "  and 5 more columns, 1 of which drifted"


def test_a_feature_may_be_called_prediction() -> None:
    """A feature and what the model predicts are told apart, also in their histories."""
    found = [column("prediction", 0.5, importance=1.0), column("prediction", 0.02, importance=0.0, role="prediction")]
    lines = drift_lines("credit", [verdict(found, ())], None)
    assert at(lines, "prediction").endswith("▆*")
    assert at(lines, "(prediction)").endswith("▁")


def test_what_nobody_knows_is_a_gap() -> None:
    """Neither a missing nor an undefined PSI is drawn as zero."""
    assert sparkline([None, (float("nan"), False), (0.0, False)], 0.1) == "· · ▁ "


def test_a_drawn_page_is_told_with_what_it_is_about() -> None:
    """A decision by the beginning of its id and its status, a training by its version; then the page."""
    links = {"drift report": "/elsewhere/drift.html"}
    decision = {"model": "credit", "id": "a1" * 32, "status": "watch", "links": links}
    lines = report_lines(decision)
    assert lines[0] == "credit: drew the page of decision a1a1a1a1a1a1 (watch) with Evidently's plots"
    assert lines[-1] == "  drift report       /elsewhere/drift.html"
    assert report_lines({"model": "credit", "version": 3, "links": links})[0].startswith(
        "credit: drew the page of version 3 "
    )

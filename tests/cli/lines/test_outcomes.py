"""Results as lines for a terminal."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from cli.lines.outcomes import training_lines
from cli.lines.versions import comparison_lines
from cli.output import table
from core.gate.decision import GateVerdict
from core.outcome import TrainOutcome
from tasks.gate.judge import judged
from tests.tasks.verdicts import comparison, first, promoted, refused, slice_gain, undecided, verdict

FOLDER = Path("var/reports/credit/abc")


def _outcome(found: GateVerdict) -> TrainOutcome:
    version = TrainOutcome("credit", "registered", "registry", ("not judged yet",), version=found.version)
    return judged(version, found, FOLDER)


@pytest.mark.parametrize(
    ("found", "status", "headline"),
    [
        (promoted(), "promoted", "promoted credit version 4: it is now champion"),
        (first(), "promoted", "promoted credit version 1: it is now champion"),
        (
            promoted("manual"),
            "waiting",
            "credit version 4 waits for approval: perennial approve credit@4 --reason TEXT",
        ),
        (promoted("dry_run"), "recorded", "would be promoted, but the mode is dry_run; version 3 remains champion"),
        (refused(), "refused", "refused (gate): credit version 4 is not promoted; version 3 remains champion"),
        (undecided(), "undecided", "undecided (gate): credit version 4 is not promoted; version 3 remains champion"),
    ],
)
def test_a_training_says_what_became_of_the_version(found: GateVerdict, status: str, headline: str) -> None:
    """The verdict and the model's mode make the status; the first line says who is champion."""
    outcome = _outcome(found)
    lines = training_lines(outcome)
    assert outcome.status == status
    assert headline in lines[1]
    assert lines[2] == f"  {found.reasons[0]}"


@pytest.mark.parametrize(
    ("found", "champion", "alias", "says_no"),
    [
        (promoted(), 4, "champion", False),
        (promoted("manual"), 3, "challenger", False),
        (promoted("dry_run"), 3, None, False),
        (refused(), 3, None, True),
        (undecided(), 3, None, True),
        (first(), 1, "champion", False),
    ],
)
def test_an_outcome_names_the_champion(found: GateVerdict, champion: int, alias: str | None, says_no: bool) -> None:
    """Only a promotion in the mode enabled moves it; a no and a don't know end the command alike."""
    outcome = _outcome(found)
    assert (outcome.champion, outcome.alias, outcome.refused) == (champion, alias, says_no)
    assert (outcome.decision, outcome.stage) == (found.decision, "gate")


def test_a_version_from_an_earlier_run_has_the_gates_metric_and_a_card() -> None:
    """A registration that was killed before the verdict left neither metrics nor links to show."""
    lines = training_lines(_outcome(promoted()))
    assert "  roc_auc  0.8123  0.7998  0.8241" in lines
    assert "card.html" in lines[-1]
    fresh = TrainOutcome("credit", "registered", "registry", (), metrics={"f1": {"value": 1.0}}, links={"drift": "d"})
    kept = judged(fresh, promoted(), FOLDER)
    assert (kept.metrics, kept.links) == (fresh.metrics, fresh.links)


def test_rows_that_were_refused_were_not_trained_on() -> None:
    """Without a version nobody can stay or be promoted."""
    outcome = TrainOutcome("credit", "refused", "validation", ("too many rows failed",))
    assert training_lines(outcome)[1] == "refused (validation): credit was not trained"


@pytest.mark.parametrize(("decision", "said"), [("keep", "refused as before"), ("undecided", "undecided as before")])
def test_a_repeat_of_a_refusal_is_a_refusal(decision: Literal["keep", "undecided"], said: str) -> None:
    """The command that a pipeline tries again gives the decision on record, not that all is well."""
    outcome = TrainOutcome("credit", "unchanged", "gate", ("too bad",), version=4, decision=decision, champion=3)
    assert outcome.refused
    assert training_lines(outcome)[1] == f"{said}: credit version 4 is not promoted; version 3 remains champion"


def test_a_comparison_is_one_table_and_the_gates_answer() -> None:
    """Both values, the gain, its interval and every slice stand in aligned columns."""
    lines = comparison_lines(refused())
    assert lines[1] == "credit: version 4 against version 3"
    assert "4,312 of 4,800 holdout rows are new to both: version 3 was trained on 488, version 4 on 12" in lines[2]
    header, whole = lines[4], lines[5]
    assert header.split() == ["ROC", "AUC", "rows", "version", "3", "version", "4", "gain", "interval"]
    assert whole.split("  ")[-1] == "99.06 % by DeLong"
    assert whole.index("0.8123") + len("0.8123") == header.index("version 4") + len("version 4")
    west = next(line for line in lines if "region = west" in line)
    assert west.endswith("-0.0652 to -0.0232  worse beyond noise (p = 0.0004)")
    assert lines.index("gate's verdict: keep") < lines.index(f"  {refused().reasons[0]}")


def test_without_a_comparison_the_rows_and_the_reason_remain() -> None:
    """Too few clean rows leave no table."""
    lines = comparison_lines(undecided())
    assert "42 of 4,800" in lines[2]
    assert lines[3:5] == ["", "gate's verdict: undecided"]
    assert len(comparison_lines(replace(undecided(), holdout=None))) == len(lines) - 1


def test_a_level_cannot_steer_the_terminal() -> None:
    """What cannot be seen is written as an escape."""
    found = verdict(comparison=comparison(slices=(slice_gain("region", "a\x1b[2J\n", 0.01, 0.02, 90),)))
    assert any("region = a\\x1b[2J\\n" in line for line in comparison_lines(found))
    assert "\x1b" not in "".join(comparison_lines(found))


def test_signed_numbers_flush_right() -> None:
    """Gains stand digit under digit."""
    assert table(("gain",), [("+0.0100",), ("-12.50",), ("0",)]) == ["   gain", "+0.0100", " -12.50", "      0"]

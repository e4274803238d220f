"""Results as lines for a terminal."""

from pathlib import Path

import pytest

from cli.lines.outcomes import ingestion_lines, score_lines, training_lines
from core.gate.decision import GateVerdict
from core.outcome import IngestOutcome, LabelSelection, ScoreBand, TrainOutcome
from core.score.outcome import ScoreOutcome
from tasks.gate.judge import judged
from tests.tasks.verdicts import first, promoted, refused, undecided

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


def test_remarks_follow_the_verdict() -> None:
    """The verdict on a version keeps the remarks of its registration."""
    fresh = TrainOutcome("credit", "registered", "registry", (), notes=("repeated rows: of 10 rows, 9 are distinct",))
    lines = training_lines(judged(fresh, promoted(), FOLDER))
    assert "  repeated rows: of 10 rows, 9 are distinct" in lines


def test_rows_that_were_refused_were_not_trained_on() -> None:
    """Without a version nobody can stay or be promoted."""
    outcome = TrainOutcome("credit", "refused", "validation", ("refused: too many rows fail",))
    assert training_lines(outcome)[1:3] == ["refused (validation): credit was not trained", "  too many rows fail"]


def test_places_and_numbers_are_told() -> None:
    """A file of rows that were set aside is named where there is one."""
    outcome = ScoreOutcome(
        model="credit",
        status="scored",
        version=3,
        output="/out/scores.parquet",
        set_aside="/out/scores.set-aside.parquet",
        n_rows=1000,
        n_scored=999,
        n_set_aside=1,
        predicted_at="2026-03-01T10:00:00+00:00",
        reasons=("scored 999 rows", "set 1 row aside that the feature contract refuses"),
    )
    assert score_lines(outcome) == [
        "credit version 3: scored 999 rows; set 1 row aside that the feature contract refuses",
        "",
        "  predicted at       2026-03-01T10:00:00+00:00",
        "  output             /out/scores.parquet",
        "  rows set aside     /out/scores.set-aside.parquet",
    ]


SELECTION = LabelSelection(
    (ScoreBand("0.1 to 0.5", 1200, 1080), ScoreBand("0.5 to 0.9", 1200, 0)), "0.5 to 0.9", 0, 0, 0.5
)


def _served(**changes: object) -> IngestOutcome:
    facts = {"accepted": True, "data_version": "3f2a.dir", "batch": "0002-ab", "is_new": True, "selection": SELECTION}
    return IngestOutcome(model="credit", n_rows=1080, n_quarantined=0, reasons=("so it is",), **facts | changes)  # type: ignore[arg-type] # values of tests


def test_an_ingestion_of_served_rows_lists_the_labels_by_score() -> None:
    """After the reasons; beside a source's rows they have a section of their own."""
    own = ["wrote batch 0002-ab", "  so it is", "  score       served  with a label  share"]
    own += ["  0.1 to 0.5   1,200         1,080   90.0 %", "  0.5 to 0.9   1,200             0    0.0 %"]
    lines = [line for line in ingestion_lines(_served()) if line]
    assert lines == [*own, "  data version 3f2a.dir"]
    both = ingestion_lines(_served(batch="0001-aa", selection=None, served=_served()))
    assert [line for line in both if line][-6:] == lines
    assert "wrote batch 0001-aa" in both


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        ({"accepted": False}, "refused: the rows with labels are a selected sample"),
        ({"accepted": False, "selection": None}, "validation failed: the rows were refused"),
        ({"batch": None, "is_new": False}, "no served rows to add"),
        ({"is_new": False}, "kept batch 0002-ab"),
    ],
)
def test_an_ingestion_says_first_what_became_of_the_rows(changes: dict[str, object], headline: str) -> None:
    """A refusal by the labels' selection is none of the validation."""
    assert ingestion_lines(_served(**changes))[1] == headline

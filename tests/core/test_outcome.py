"""Answers of the flows."""

from __future__ import annotations

import json

import pytest

from core.outcome import IngestOutcome, TrainOutcome, TrainStatus


@pytest.mark.parametrize(
    ("status", "refused"),
    [
        ("promoted", False),
        ("waiting", False),
        ("recorded", False),
        ("unchanged", False),
        ("refused", True),
        ("undecided", True),
    ],
)
def test_a_decision_that_is_no_yes_is_a_refusal(status: TrainStatus, refused: bool) -> None:
    """The command's exit code depends on it: a version that waits for a person is not refused."""
    assert TrainOutcome("credit", status, "gate", ()).refused is refused


def test_outcomes_are_json() -> None:
    """Their links and metrics are copies, so that a document that is changed changes no outcome."""
    trained = TrainOutcome("credit", "promoted", "gate", ("better",), metrics={"f1": {"value": 0.5, "low": None}})
    content = trained.to_dict()
    assert json.loads(json.dumps(content))["metrics"] == {"f1": {"value": 0.5, "low": None}}
    content["metrics"]["f1"]["value"] = 1.0
    assert trained.metrics["f1"]["value"] == 0.5
    read = IngestOutcome("credit", False, None, None, False, 10, 3, ("3 rows",))
    assert json.loads(json.dumps(read.to_dict()))["reasons"] == ["3 rows"]

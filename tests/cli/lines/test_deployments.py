"""Deployed flows as lines."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from cli.lines.deployments import deployment_lines
from core.operate.deployments import DeployedFlow

NEXT = datetime(2026, 7, 2, 6, tzinfo=ZoneInfo("Europe/Berlin"))


def test_a_deployment_says_when_it_runs() -> None:
    """In its own time zone; names and changes stand under each other."""
    assert deployment_lines(
        [
            DeployedFlow("train/credit", "created"),
            DeployedFlow("monitor/credit", "unchanged", "0 6 * * * Europe/Berlin", NEXT),
        ]
    ) == [
        "train/credit    created    on demand",
        "monitor/credit  unchanged  0 6 * * * Europe/Berlin, next 2026-07-02 06:00 CEST",
    ]


def test_a_deployment_of_a_model_that_is_gone_says_what_removes_it() -> None:
    """Its schedule does not matter any more."""
    left, removed = deployment_lines(
        [DeployedFlow("train/old", "left over", "0 6 * * *", NEXT), DeployedFlow("train/old", "removed")]
    )
    assert left.endswith("its model is gone; --prune removes it")
    assert removed.endswith("its model is gone")

"""The commands about drift."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from config.schema import Drift
from config.settings import Settings
from core.drift.decision import decide
from store.database import open_database
from store.drift import DriftWindow, record_window
from tests.core.drift_samples import DRIFTED, NOW, evidence
from tests.factories import add_credit_model


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def _record(settings: Settings, number: int) -> None:
    verdict = decide(
        replace(evidence(DRIFTED), id=f"{number:064x}"), (), Drift(persistence=(1, 1)), NOW + timedelta(days=number)
    )
    window = verdict.window
    entry = DriftWindow(
        id=verdict.id,
        model="credit",
        champion=verdict.champion,
        against=verdict.against,
        status=verdict.status,
        drifted=verdict.drifted,
        retrain=verdict.retrain,
        n_rows=window.n_rows,
        first_time=window.first_time,
        last_time=window.last_time,
        since=None,
        until=None,
        batches=window.batches,
        document=json.dumps(verdict.to_dict()),
        measured_at=verdict.measured_at,
    )
    record_window(open_database(settings.database_url), entry)


def test_the_history_of_drift_is_shown_from_the_database(project: Settings) -> None:
    """The newest windows, oldest of them first, without a report that is not there; nothing is opened."""
    add_credit_model(project)
    assert _invoke("drift", "credit").stdout.startswith("no drift window of credit was measured yet")
    for number in range(3):
        _record(project, number)
    found = json.loads(_invoke("drift", "credit", "--limit", "2", "--json").stdout)
    assert [int(one["id"], 16) for one in found] == [1, 2]
    lines = _invoke("drift", "credit", "--limit", "2").stdout
    assert "2 windows" in lines
    assert "newest report" not in lines


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("drift", "nothing"), "nothing"),
        (("drift", "credit", "--limit", "0"), "--limit"),
        (("monitor", "nothing"), "nothing"),
        (("report", "nothing"), "nothing"),
        (("report", "credit"), "no window of 'credit' was monitored yet: perennial monitor credit"),
        (("report", "credit@3", "3f2a"), "names a training, which has no decision '3f2a'"),
        (("report", "credit@3"), "'credit' has no version 3"),
        (("monitor", "credit", "--set", "monitor.report=never"), "monitor.report"),
        (("monitor", "credit", "--set", "drift.psi=0"), "drift.psi"),
        (("monitor", "credit", "--set", "drift.persistence=[3, 2]"), "1 <= k <= n <= 100"),
    ],
)
def test_what_cannot_be_meant_exits_with_2(project: Settings, arguments: tuple[str, ...], says: str) -> None:
    """Before a flow starts."""
    add_credit_model(project)
    result = _invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_labels_are_shown_without_a_file_and_need_a_champion_with_one(project: Settings) -> None:
    """Options of a file without one are refused; so are a key and an id at once, and a time of an id."""
    add_credit_model(project)
    found = json.loads(_invoke("labels", "credit", "--json").stdout)
    assert (found["weeks"], found["delay"], found["label_delay_days"]) == ([], None, 0)
    assert "no predictions in the log" in _invoke("labels", "credit").stdout
    for words in (
        ("--key", "id"),
        ("--from", "a.csv", "--key", "id", "--id", "x"),
        ("--from", "a.csv", "--id", "x", "--at", "t"),
    ):
        assert _invoke("labels", "credit", *words).exit_code == 2
    answer = _invoke("labels", "credit", "--from", "rows.csv")
    assert answer.exit_code == 2
    assert "has no champion" in answer.output

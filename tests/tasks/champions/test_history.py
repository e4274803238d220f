"""Past champions, from the database alone."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from config.settings import Settings
from core.errors import ConfigError, ModelNotFoundError
from store.champions import (
    start_tenure,
)
from store.database import open_database
from tasks.champions.history import history, known_engine
from tests.factories import add_credit_model

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def ruled(project: Settings) -> Settings:
    """Return a project of a model that had three champions, an hour apart."""
    for number in range(3):
        _enthrone(project, "credit", number, 7 - number)
    return project


def _enthrone(settings: Settings, model: str, number: int, version: int) -> None:
    start_tenure(
        open_database(settings.database_url),
        model,
        version,
        expected_sequence=number,
        kind="gate",
        reason="better",
        actor="ci",
        at=AT + timedelta(hours=number),
    )


def test_a_tenure_ends_when_the_next_begins(ruled: Settings) -> None:
    """Without a gap; the present one has no end. The document is JSON."""
    found = history("credit", ruled)
    assert [(tenure.entry.version, tenure.until) for tenure in found.tenures] == [
        (7, AT + timedelta(hours=1)),
        (6, AT + timedelta(hours=2)),
        (5, None),
    ]
    content = json.loads(json.dumps(found.to_dict()))
    assert [one["until"] for one in content["champions"]] == [
        "2026-01-02T04:04:05+00:00",
        "2026-01-02T05:04:05+00:00",
        None,
    ]
    assert (content["at"], content["waiting"], content["reviews"]) == (None, None, [])


@pytest.mark.parametrize(
    ("at", "versions"),
    [
        ("2026-01-02T03:04:04.999999Z", []),
        ("2026-01-02T03:04:05Z", [7]),
        (" 2026-01-02T04:04:04+00:00 ", [7]),
        ("2026-01-02T05:04:05+01:00", [6]),
        ("2030-01-01", [5]),
    ],
)
def test_a_moment_has_the_champion_of_that_moment(ruled: Settings, at: str, versions: list[int]) -> None:
    """The first microsecond belongs to the new champion; a moment without a zone is a local one."""
    found = history("credit", ruled, at)
    assert [tenure.entry.version for tenure in found.tenures] == versions
    assert found.moment is not None
    assert found.moment.tzinfo is UTC


@pytest.mark.parametrize("at", ["", "yesterday", "2026-13-01", "0001-01-01T00:00+14:00", "a\x1b[2J"])
def test_what_is_no_moment_is_refused(ruled: Settings, at: str) -> None:
    """The message shows what was found, on one line that a terminal can show."""
    with pytest.raises(ConfigError, match="--at expects a moment such as 2026-03-01") as caught:
        history("credit", ruled, at)
    assert "\x1b" not in str(caught.value)


def test_a_model_is_known_by_its_file_or_by_its_champion(project: Settings) -> None:
    """Its history outlives its file; other names are told which there are."""
    with pytest.raises(ModelNotFoundError, match="there is no model 'credit'; models here: none yet"):
        known_engine("credit", project)
    add_credit_model(project)
    assert history("credit", project).tenures == ()
    _enthrone(project, "gone", 0, 1)
    assert len(history("gone", project).tenures) == 1
    with pytest.raises(ModelNotFoundError, match="models here: credit"):
        history("nothing", project)


def test_a_moment_without_a_zone_is_local(ruled: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """People mean their own clock."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert history("credit", ruled, "2026-01-02 09:00").moment == datetime(2026, 1, 2, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()

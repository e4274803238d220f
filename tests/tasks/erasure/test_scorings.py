"""Outputs of scorings: in the project, elsewhere, in a table, and half done."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.settings import Settings
from core.score.plan import ScoringPlan, ScoringRequest
from store.database import open_database
from store.log.labels import Label, record_labels
from store.scored.batches import find_scored_batch, record_scored_batch
from tasks.score.staging import PLAN, output_digest, staging_folder, written
from tests.factories import add_credit_model, make_project
from tests.tasks.erasure.projects import AT, KEY, entry, forgotten, numbers, scored, traces

KEYS = ["k1", KEY, "k2"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make a project without data."""
    made = make_project(tmp_path)
    add_credit_model(made)
    made.var.mkdir()
    return made


def test_an_output_elsewhere_is_named_and_not_touched(settings: Settings, tmp_path: Path) -> None:
    """Its labels go all the same: they are the platform's."""
    output = tmp_path / "scores.parquet"
    before = scored(settings, output, KEYS)
    (theirs,) = pq.read_table(output, filters=[("id", "==", KEY)])["prediction_id"].to_pylist()
    record_labels(open_database(settings.database_url), "credit", [Label("id", theirs, "1")], "branch", AT)
    outcome = forgotten(settings)
    assert numbers(outcome) == {"labels": 1}
    assert [(one.where, one.n) for one in outcome.remaining if one.what == "scored output"] == [(str(output), 1)]
    assert find_scored_batch(open_database(settings.database_url), before.id) == before
    assert output_digest(output) == before.output_sha256


def test_rows_that_were_set_aside_go_too(settings: Settings) -> None:
    """They are in a file beside the output, as texts; those of a table's scoring are in the reports."""
    engine = open_database(settings.database_url)
    output = settings.root / "scores.parquet"
    aside = pa.table({"row": [1, 5, 6], "reason": ["r"] * 3, "id": [f" {KEY}", "k9", None]})
    first = scored(settings, output, ["k1", "k2"])
    place = settings.root / "scores.set-aside.parquet"
    pq.write_table(aside, place)
    facts = replace(first, id="b" * 64, output=str(output), set_aside=str(place), n_rows=5, n_set_aside=3)
    record_scored_batch(engine, facts)
    reports = settings.var / "reports" / "credit" / "scored"
    reports.mkdir(parents=True)
    pq.write_table(aside, reports / "0123.set-aside.parquet")
    table = entry("sql:BANK/scores", 5, id="c" * 64, set_aside=str(reports / "0123.set-aside.parquet"), n_set_aside=3)
    record_scored_batch(engine, replace(table, n_scored=2))
    outcome = forgotten(settings)
    assert numbers(outcome) == {"scored rows": 2}
    assert traces(settings) == []
    numbers_of = [find_scored_batch(engine, one) for one in ("b" * 64, "c" * 64)]
    assert [(one.n_rows, one.n_scored, one.n_set_aside) for one in numbers_of if one] == [(4, 2, 2), (4, 2, 2)]
    assert [one.where for one in outcome.remaining if one.what == "scored output"] == ["sql:BANK/scores"]


def test_an_output_that_was_changed_is_not_taken_for_the_scorings(settings: Settings) -> None:
    """The rows go, and the record still has the digest of what was scored."""
    output = settings.root / "scores.csv"
    before = scored(settings, output, KEYS)
    with output.open("a") as stream:
        stream.write(f"{KEY},mine\n")
    assert numbers(forgotten(settings)) == {"scored rows": 2}
    assert traces(settings) == []
    assert find_scored_batch(open_database(settings.database_url), before.id) == before


def test_an_output_that_is_gone_is_no_obstacle(settings: Settings) -> None:
    """Its record stays."""
    output = settings.root / "scores.csv"
    scored(settings, output, KEYS)
    output.unlink()
    assert numbers(forgotten(settings)) == {}


def test_what_a_killed_scoring_left_goes(settings: Settings) -> None:
    """The same command then begins from the start; one that runs is named, and another model's stays."""
    left, runs, theirs = (
        _started(settings, model, str(settings.root / f"{name}.parquet"))
        for name, model in (("left", "credit"), ("runs", "credit"), ("theirs", "churn"))
    )
    table = _started(settings, "credit", "sql:BANK/scores")
    with _held(runs, settings):
        assert numbers(forgotten(settings, dry_run=True)) == {"unfinished scorings": 2}
        outcome = forgotten(settings)
    assert [path.exists() for path in (left, runs, theirs, table)] == [False, True, True, False]
    assert [one.where for one in outcome.remaining if one.what == "scoring"] == [str(settings.root / "runs.parquet")]


@contextmanager
def _held(folder: Path, settings: Settings) -> Iterator[None]:
    """Hold a scoring's lock as another process does: this one's own lock would be given to it again."""
    path = settings.var / "locks" / f"score-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _started(settings: Settings, model: str, output: str) -> Path:
    request = ScoringRequest(model, "rows.csv", output)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    plan = ScoringPlan(request, 1, "m" * 64, "r" * 64, "i" * 64, at, (), (), ("id",), (), None, (), ())
    folder = staging_folder(request, settings)
    folder.mkdir(parents=True)
    written(plan, ScoringPlan, folder / PLAN)
    (folder / "part.csv").write_text(KEY if model == "credit" else "")
    return folder

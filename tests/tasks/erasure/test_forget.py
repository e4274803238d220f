"""An erasure as a whole: every place, a repeat, a dry run, what is recorded, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import Settings
from core.errors import ConfigError, RunInProgressError
from store.database import open_database
from store.scored.batches import scored_batches
from tasks.erasure.forget import ForgetRequest, erasure_records, forget
from tasks.runs.actor import actor
from tasks.runs.lock import hold_model
from tasks.score.staging import output_digest
from tasks.versions import leases
from tasks.versions.versions import data_history, restore_data, version_data
from tests.factories import add_credit_model, credit_config, make_project
from tests.tasks.erasure.projects import CREDIT, KEY, add_batch, fill, forgotten, numbers, traces, train_on
from tests.tasks.versions.staging import credit_rows

POINTS = Path(__file__).with_name("forget_points.py")

REMOVED = {
    "labels": 4,  # two of predictions in the log, one of a scored row, one by key
    "scored rows": 6,
    "logged predictions": 4,
    "rows of batches": 2,
    "cache objects": 1,
    "remote objects": 1,
    "quarantined rows": 1,
    "validation reports": 1,
    "work files": 1,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make a project whose places all hold rows of the entity."""
    made = make_project(tmp_path)
    fill(made)
    return made


def test_nothing_of_the_entity_is_left_and_nothing_else_is_gone(settings: Settings) -> None:
    """In no file of the project, compressed or not; a repeat finds nothing."""
    assert len(traces(settings)) >= 10
    outcome = forgotten(settings)
    assert numbers(outcome) == REMOVED
    assert traces(settings) == []
    assert [one.what for one in outcome.remaining] == ["source", "backups"]
    history = data_history("credit", settings)
    assert [(one.n_rows, one.ingested_at is None) for one in history.batches] == [(40, False), (28, False)]
    assert numbers(forgotten(settings)) == {}
    for one in scored_batches(open_database(settings.database_url), "credit"):
        assert (one.n_rows, one.n_scored, one.output_sha256) == (2, 2, output_digest(Path(one.output)))


def test_a_dry_run_tells_the_same_and_changes_nothing(settings: Settings) -> None:
    """It needs no lock, so it also works beside a run."""
    before = {path: path.read_bytes() for path in settings.root.rglob("*") if path.is_file() and _is_kept(path)}
    with hold_model("credit", settings), leases.reading("credit", settings):
        outcome = forgotten(settings, dry_run=True)
    assert (outcome.dry_run, outcome.id, numbers(outcome)) == (True, "", REMOVED)
    assert before == {path: path.read_bytes() for path in before}
    assert erasure_records("credit", settings) == []


def _is_kept(path: Path) -> bool:
    return ".db" not in path.name and path.parent.name != "locks"


def test_that_it_was_done_is_recorded_without_the_key(settings: Settings) -> None:
    """Time, person, reason and numbers."""
    outcome = forget(ForgetRequest("credit", KEY, "request 31"), settings)
    (record,) = erasure_records("credit", settings)
    assert (record.id, record.actor, record.reason) == (outcome.id, actor(), "request 31")
    assert record.finished_at is not None
    assert record.document == {"removed": REMOVED, "remaining": {"source": 1, "backups": 1}}
    assert KEY not in json.dumps(record.to_dict())


def test_data_versions_work_before_and_after(settings: Settings) -> None:
    """What a version was trained on can be restored, and so can the newest data; another entity is forgotten later."""
    forgotten(settings)
    trained, _, newest = (one.version for one in data_history("credit", settings).versions)
    forgotten(settings, "k45")
    restore_data("credit", trained, settings)
    assert data_history("credit", settings).n_rows == 40
    restore_data("credit", "latest", settings)
    history = data_history("credit", settings)
    assert (history.n_rows, history.versions[-1].n_rows) == (67, 67)
    assert history.versions[-1].version != newest
    assert version_data(CREDIT, settings).version == history.versions[-1].version
    assert add_batch(settings, credit_rows(70, 80)).n_rows == 77


def test_what_a_version_was_trained_on_stays_and_is_named(settings: Settings) -> None:
    """Its batch is not changed; all else goes."""
    train_on(settings, version_data(CREDIT, settings), version=2)
    outcome = forgotten(settings)
    kept = {"rows of batches", "cache objects", "remote objects"}
    assert numbers(outcome) == {what: n for what, n in REMOVED.items() if what not in kept}
    named = {one.what: (one.where, one.n) for one in outcome.remaining}
    (batch,) = (name for name in traces(settings) if name.startswith("data/"))
    assert (named["trained version"], named["batch"]) == (("version 2", 2), (batch, 2))


@pytest.mark.parametrize("key", ["4711", "4711.0", " 4711 "])
def test_a_key_is_read_as_ingestion_reads_it(tmp_path: Path, key: str) -> None:
    """A number may be written with a fraction of zero."""
    settings = make_project(tmp_path)
    add_credit_model(settings)
    add_batch(settings, [*credit_rows(0, 5), *credit_rows(5, 6, id="4711"), *credit_rows(6, 7, id="04711")])
    assert numbers(forgotten(settings, key))["rows of batches"] == 1
    assert numbers(forgotten(settings, "04711"))["rows of batches"] == 1


def test_a_batch_may_be_of_one_entity_alone(tmp_path: Path) -> None:
    """It is a batch without rows then, which the next ingestion knows."""
    settings = make_project(tmp_path)
    add_credit_model(settings)
    rows = credit_rows(5, 7, id=KEY)
    add_batch(settings, credit_rows(0, 5))
    add_batch(settings, rows)
    forgotten(settings)
    assert [one.n_rows for one in data_history("credit", settings).batches] == [5, 0]
    assert add_batch(settings, rows).n_rows == 5
    assert traces(settings) == []


@pytest.mark.parametrize(
    ("key", "reason", "says"),
    [
        ("", "", "expected a key"),
        ("  ", "", "expected a key"),
        ("NA\0", "", "expected a key"),
        ("k" * 256, "", "at most 255 characters, found 256"),
        ("17", "customer 17 asked", "the reason contains the key"),
    ],
)
def test_what_is_no_key_is_refused(tmp_path: Path, key: str, reason: str, says: str) -> None:
    """Before anything is removed or recorded."""
    settings = make_project(tmp_path)
    add_credit_model(settings)
    with pytest.raises(ConfigError, match=says):
        forget(ForgetRequest("credit", key, reason), settings)
    assert erasure_records("credit", settings) == []


def test_a_model_without_a_key_is_refused(tmp_path: Path) -> None:
    """The message says what to declare."""
    settings = make_project(tmp_path)
    add_credit_model(settings)
    path = settings.root / "config" / "models" / "credit.yaml"
    content = credit_config().model_dump(mode="json", exclude_none=True)
    path.write_text(json.dumps({name: value for name, value in content.items() if name != "key"}))
    with pytest.raises(ConfigError, match="expected 'key' in the model file of 'credit'"):
        forgotten(settings)


def test_a_model_in_use_is_left_alone(settings: Settings) -> None:
    """A run that holds it, and a command that reads its files."""
    with leases.reading("credit", settings), pytest.raises(RunInProgressError, match="reads files"):
        forgotten(settings)
    assert erasure_records("credit", settings) == []


@pytest.mark.slow
def test_a_killed_erasure_is_completed_by_the_next(tmp_path: Path) -> None:
    """Killed before a rename, a removal or a commit, the next one leaves no trace, and the data is whole."""
    done = subprocess.run(
        [sys.executable, str(POINTS), str(tmp_path), "5"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    trials = [json.loads(line) for line in done.stdout.splitlines()]
    killed = [trial for trial in trials if trial["killed"]]
    assert len(killed) >= 10
    for trial in trials:
        assert trial["traces"] == [], trial
        assert trial["leftovers"] == [], trial
        assert {name: trial[name] for name in ("rows", "restored", "outputs")} == {
            "rows": [40, 28],
            "restored": 68,
            "outputs": True,
        }, trial
        assert trial["unfinished"] == (trial["begun"] if trial["killed"] else 0), trial

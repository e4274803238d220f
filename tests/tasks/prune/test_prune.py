"""A whole pruning: what it records, what it leaves alone, and what a kill in the middle does."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from config.settings import RetentionSettings, Settings
from core.errors import BundleError, PromotionError
from core.retention.outcome import PruneOutcome, merged
from store.database import open_database, reading
from store.log.labels import Label, record_labels
from store.tables import EventRow
from store.triggers import receive
from tasks.champions.approvals import approve, rollback
from tasks.prune.prune import Pruning, known_models, prune_model, prune_project
from tasks.registry.fetch import fetched
from tasks.runs.lock import hold_model
from tasks.versions import leases
from tests.store.trigger_samples import webhook
from tests.tasks.prune.files import aged
from tests.tasks.registration import judged

RETENTION = RetentionSettings().model_copy(update={"versions": 1, "reports": 1, "snapshots": 1})
OLD_FILES = ("reports/credit/drift", "snapshots/credit")


@pytest.fixture
def grown(registry: Settings) -> Settings:
    """Return a project with three versions, of which the first is champion, and old rows and files."""
    for key in "abc":
        judged(registry, key, passed=key != "b")
    engine = open_database(registry.database_url)
    old = datetime.now(UTC) - timedelta(days=1_000)
    record_labels(engine, "credit", [Label("key", str(number), "1") for number in range(5)], "branch", old)
    for number in range(3):
        aged(registry.var / OLD_FILES[0] / f"{number:012x}" / "drift.html", 200 - number)
        aged(registry.var / OLD_FILES[1] / f"{number:032x}" / "rows.parquet", 200 - number)
    return registry


def pruned(settings: Settings, *, dry_run: bool = False, retention: RetentionSettings = RETENTION) -> PruneOutcome:
    """Prune all models and the project."""
    pruning = Pruning(settings, retention, 24.0, dry_run)
    models = known_models(settings)
    return merged([*(prune_model(model, pruning) for model in models), prune_project(models, pruning)])


def told(outcome: PruneOutcome) -> dict[str, tuple[str, ...]]:
    """Names by kind."""
    return {removal.kind: removal.names for removal in outcome.removals}


EXPECTED = {
    "labels": ("rows",),
    "drift reports": (f"{0:012x}", f"{1:012x}"),
    "snapshots": (f"{0:032x}", f"{1:032x}"),
    "version files": ("version 2",),
}


def recorded(settings: Settings) -> dict[str, set[str]]:
    """Names by kind in the events."""
    found: dict[str, set[str]] = {}
    with reading(open_database(settings.database_url)) as connection:
        chosen = select(EventRow.document).where(EventRow.name == "perennial.retention.pruned")
        for document in connection.execute(chosen).scalars():
            for removal in json.loads(document)["payload"]["removed"]:
                found.setdefault(removal["kind"], set()).update(removal["names"])
    return found


def listing(settings: Settings) -> set[str]:
    """Files of a project that are not those of a database or a lock."""
    paths = (path for path in settings.var.rglob("*") if path.is_file())
    return {str(path) for path in paths if ".db" not in path.name and path.parent.name != "locks"}


def test_a_dry_run_says_what_would_go_and_changes_nothing(grown: Settings) -> None:
    """It needs no lock, so it also works beside a run."""
    before = listing(grown)
    with hold_model("credit", grown), leases.reading("credit", grown):
        outcome = pruned(grown, dry_run=True)
    assert (outcome.dry_run, told(outcome), outcome.skipped) == (True, EXPECTED, ())
    assert listing(grown) == before
    assert recorded(grown) == {}
    assert outcome.size_bytes > 10_000


def test_what_is_removed_is_recorded_and_a_repeat_finds_nothing(grown: Settings) -> None:
    """The champion and what waits for approval can still be loaded."""
    outcome = pruned(grown)
    assert told(outcome) == EXPECTED
    assert recorded(grown) == {kind: set(names) for kind, names in EXPECTED.items()}
    again = pruned(grown)
    assert (again.removals, again.skipped) == ((), ())
    for version in (1, 3):
        with fetched("credit", version, grown):
            pass
    with pytest.raises(BundleError, match="retention removed"), fetched("credit", 2, grown):
        pass


def test_rollbacks_in_a_row_stay_possible(registry: Settings) -> None:
    """As many as the setting says work, with a pruning before each of them; the next one is refused."""
    for key in "abcd":
        judged(registry, key, passed=False)
    for version in "1234":
        approve("credit", version, "better", registry, override=True)
    retention = RETENTION.model_copy(update={"rollbacks": 2})
    for target in (3, 2):
        pruned(registry, retention=retention)
        assert rollback("credit", "complaints", registry).entry.version == target
    with pytest.raises(PromotionError, match=r"removed the files of 'credit' version 1 .* perennial approve"):
        rollback("credit", "complaints", registry)


def test_a_model_that_is_in_use_is_skipped(grown: Settings) -> None:
    """A reader without the model's lock counts too; the next pruning looks again."""
    with leases.reading("credit", grown):
        outcome = pruned(grown)
    assert outcome.removals == ()
    assert [one.what for one in outcome.skipped] == ["model credit", "cache"]
    assert "reads files" in outcome.skipped[0].reason
    assert told(pruned(grown)) == EXPECTED


def test_a_disk_that_fails_is_named_and_the_rest_is_removed(grown: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be removed is found again by the next pruning."""
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.parent.name == "drift":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", failing)
        outcome = pruned(grown)
    assert [(one.what, "Input/output error" in one.reason) for one in outcome.skipped] == [("drift reports", True)]
    assert told(pruned(grown)) == {"drift reports": EXPECTED["drift reports"]}


def test_a_version_that_an_open_trigger_made_stays(grown: Settings) -> None:
    """Its run may have been killed between registration and verdict."""
    receive(open_database(grown.database_url), webhook(trigger_id="manual"))
    assert "version files" not in told(pruned(grown))


def test_an_unavailable_registry_is_skipped(grown: Settings) -> None:
    """Rows and files are pruned all the same; DVC's cache is not, because it is not known what is needed."""
    away = grown.model_copy(update={"mlflow_uri": "http://127.0.0.1:9"})
    outcome = pruned(away)
    assert set(told(outcome)) == EXPECTED.keys() - {"version files"}
    assert [one.what for one in outcome.skipped] == ["registry", "cache"]


def test_a_model_without_a_model_file_is_pruned_too(registry: Settings) -> None:
    """What a removed model left has the same ages."""
    for number in range(2):
        aged(registry.var / "snapshots" / "gone" / f"{number:032x}" / "rows.parquet", 9 - number)
    assert known_models(registry) == ["gone"]
    assert told(pruned(registry)) == {"snapshots": (f"{0:032x}",)}


def test_a_kill_at_any_removal_is_completed_by_the_next_pruning(grown: Settings) -> None:
    """Killed at the first, second, third … file it removes: all is recorded, the rest goes, what is needed stays."""
    kills = 0
    while _killed_at(kills + 1, grown):
        kills += 1
        for version in (1, 3):
            with fetched("credit", version, grown):
                pass
        missing = {kind: set(names) for kind, names in EXPECTED.items()}
        assert all(names <= recorded(grown)[kind] for kind, names in missing.items())
    assert kills >= 5
    again = pruned(grown)
    assert again.removals == ()
    with pytest.raises(BundleError, match="retention removed"), fetched("credit", 2, grown):
        pass
    left = {path.name for name in OLD_FILES for path in (grown.var / name).iterdir()}
    assert left == {f"{2:012x}", f"{2:032x}"}


def _killed_at(number: int, settings: Settings) -> bool:
    """Prune in a process that kills itself before its n-th removal of a file; return whether it came to that."""
    child = os.fork()
    if not child:
        with _fatal(number):
            pruned(settings)
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status != 0


@contextmanager
def _fatal(number: int) -> Iterator[None]:
    left = [number]

    def count(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("os.remove", "os.rmdir") and "locks" not in str(arguments[0]):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        yield
    finally:
        os._exit(9)  # reached by an error only: a child of the test process must not run on

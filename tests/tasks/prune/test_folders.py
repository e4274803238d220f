"""Files of a model in ``var``."""

from __future__ import annotations

import fcntl
import hashlib
import json
from pathlib import Path

import pytest

from config.settings import RetentionSettings, Settings
from core.retention.items import expired
from tasks.prune import folders
from tasks.prune.found import Findings
from tests.factories import make_project
from tests.tasks.prune.files import age, aged

RETENTION = RetentionSettings().model_copy(update={"reports": 1, "reports_days": 10.0, "bundles": 1, "snapshots": 1})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def removed(settings: Settings, retention: RetentionSettings = RETENTION) -> set[str]:
    """Remove what may go, and return ``kind/name`` of it."""
    return carried_out([*folders.of_model("credit", settings, retention), folders.leftovers(settings, {"credit"})])


def carried_out(findings: list[Findings]) -> set[str]:
    """Remove what may go by the clock, and return ``kind/name`` of it."""
    from datetime import UTC, datetime

    gone = set()
    for one in findings:
        items = expired((found.item for found in one.found), one.rule, datetime.now(UTC))
        for found in one.found:
            if found.item in items:
                found.remove()
                gone.add(f"{found.item.kind}/{found.item.name}")
    return gone


def test_old_reports_go_and_the_newest_of_each_kind_stays(settings: Settings) -> None:
    """Reports of trainings, of drift and of validations are counted apart."""
    reports = settings.var / "reports" / "credit"
    for parent in (reports, reports / "drift", reports / "validation"):
        for number, days in enumerate((100, 50, 5, 1)):
            aged(parent / f"{number:012d}" / "index.html", days)
    aged(settings.var / "reports" / "other" / f"{0:012d}" / "index.html", 100)
    kinds = ("training reports", "drift reports", "validation reports")
    assert removed(settings) == {f"{kind}/{number:012d}" for kind in kinds for number in (0, 1)}
    assert removed(settings) == set()
    assert sorted(path.name for path in (reports / "drift").iterdir()) == [f"{number:012d}" for number in (2, 3)]


def test_the_result_of_a_batch_stays_and_its_rows_set_aside_have_their_own_age(settings: Settings) -> None:
    """A later model card lists how each of its batches was validated; a refused delivery has no batch."""
    parent = settings.var / "reports" / "credit" / "validation"
    (settings.root / "data" / "credit").mkdir(parents=True)
    aged(settings.root / "data" / "credit" / f"0001-{'a' * 12}.parquet", 100)
    for name in ("a" * 12, "b" * 12):
        for file in ("index.html", "result.json", "quarantine.parquet"):
            aged(parent / name / file, 100)
    aged(parent / ("c" * 12) / "index.html", 1)
    retention = RETENTION.model_copy(update={"quarantine_days": 200.0})
    assert removed(settings, retention) == {f"validation reports/{'a' * 12}", f"validation reports/{'b' * 12}"}
    kept = {str(path.relative_to(parent)) for path in parent.rglob("*") if path.is_file()}
    rows = {f"{'a' * 12}/quarantine.parquet", f"{'b' * 12}/quarantine.parquet"}
    assert kept == {f"{'a' * 12}/result.json", f"{'c' * 12}/index.html", *rows}
    assert removed(settings) == {f"quarantined rows/{'a' * 12}", f"quarantined rows/{'b' * 12}"}
    assert sorted(path.name for path in parent.iterdir()) == ["a" * 12, "c" * 12]


def test_only_the_newest_snapshots_stay(settings: Settings) -> None:
    """Whatever else lies beside them is not ours."""
    parent = settings.var / "snapshots" / "credit"
    for number in range(3):
        aged(parent / f"{number:032x}" / "rows.parquet", 3 - number)
    aged(parent / "notes" / "mine.txt", 100)
    assert removed(settings) == {f"snapshots/{number:032x}" for number in (0, 1)}
    assert (parent / "notes" / "mine.txt").exists()


def test_the_copy_that_a_service_answers_with_stays(settings: Settings) -> None:
    """Also if it is the oldest; one that was just fetched is not published yet."""
    copies = settings.var / "serving" / "bundles" / "credit"
    for number, days in enumerate((50, 40, 30, 20, 0)):
        aged(copies / f"{number:064x}" / "manifest.json", days)
    state = settings.var / "serving" / "8470" / "state.json"
    state.parent.mkdir()
    state.write_text(json.dumps({"models": [{"name": "credit", "manifest": f"{0:064x}"}]}))
    (settings.var / "serving" / "8471").mkdir()
    (settings.var / "serving" / "8471" / "state.json").write_text("cut")
    assert removed(settings) == {f"bundle copies/{number:064x}" for number in (1, 2, 3)}


def test_what_a_killed_process_left_goes_after_a_day(settings: Settings) -> None:
    """A folder in which anything is young is in use."""
    for name in ("work/fetched-old", "work/credit", "tmp/distinct-old", "tmp/credit-batch"):
        aged(settings.var / name / "rows.parquet", 2)
    aged(settings.var / "work" / "fetched-new" / "rows.parquet", 0.5)
    aged(settings.var / "work" / "growing" / "rows.parquet", 0)
    age(settings.var / "work" / "growing", 9)
    names = {"fetched-old", "credit", "distinct-old", "credit-batch"}
    assert removed(settings) == {f"leftovers/{name}" for name in names}


def test_models_without_a_model_file_are_found(settings: Settings) -> None:
    """What a removed model left grows no older unseen."""
    aged(settings.var / "reports" / "gone" / f"{0:012d}" / "index.html", 1)
    aged(settings.var / "snapshots" / "older" / f"{0:032x}" / "rows.parquet", 1)
    aged(settings.var / "reports" / "Not a model" / "notes.txt", 1)
    assert folders.models_on_disk(settings) == {"gone", "older"}


def test_what_a_killed_scoring_left_goes_and_one_that_runs_stays(settings: Settings) -> None:
    """By the age of its newest file, and by its lock."""
    names = ("old", "young", "runs")
    left = {name: settings.var / "scoring" / name for name in names}
    for name, days in zip(names, (8, 6, 8), strict=True):
        aged(left[name] / "plan.json", days)
    lock = settings.var / "locks" / f"score-{hashlib.sha256(str(left['runs']).encode()).hexdigest()[:16]}.lock"
    lock.parent.mkdir()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert carried_out([folders.unfinished_scorings(settings, RETENTION)]) == {"unfinished scorings/old"}
    assert [path.exists() for path in left.values()] == [False, True, True]
    assert carried_out([folders.unfinished_scorings(settings, RETENTION)]) == {"unfinished scorings/runs"}


def test_rows_that_scorings_of_tables_set_aside_have_the_age_of_those_of_validations(settings: Settings) -> None:
    """They are in the model's reports; those of other outputs are beside them, and the user's."""
    for name, days in (("a", 91), ("b", 89)):
        aged(settings.var / "reports" / "credit" / "scored" / f"{name}.set-aside.parquet", days)
    assert removed(settings) == {"quarantined rows/a.set-aside.parquet"}

"""The follower brings champions here, and leaves in place what was served where it cannot."""

from __future__ import annotations

import shutil
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.settings import ServingSettings, Settings, load_section
from core.errors import BundleError, StorageError
from core.prediction_ids import first_id_at
from serving.instance.state import ModelState, ServiceState, read_state, write_state
from serving.processes import follower as module
from serving.processes.follower import Fetch, Follower, Wanted
from serving.processes.following import STEP_SECONDS, Pulse
from store.champions import roll_back
from store.database import open_database
from store.log.connection import LogConnection
from tasks.serving.bring_bundle import Question, bring_bundle
from tasks.serving.keys import create_key, revoke
from tests.factories import make_project
from tests.serving.service_processes import Version, crown, register_version
from tests.store.request_counts import count_requests

Installation = tuple[Settings, list[Version]]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Return a project with two registered versions and no champion."""
    settings = make_project(tmp_path_factory.mktemp("registered"))
    return settings, [register_version(settings, "a", 1.0), register_version(settings, "b", 0.01)]


class Watch:
    """A follower of a project, with what it was told and what it fetched."""

    def __init__(self, settings: Settings, **serving: object) -> None:
        self.settings = settings
        self.instance = settings.var / "serving" / "1"
        self.bundles = settings.var / "serving" / "bundles"
        self.instance.mkdir(parents=True, exist_ok=True)
        self.fetched: list[int] = []
        self.failures: list[tuple[str, str]] = []
        self.pulse = Pulse()
        self.follower = Follower(
            settings,
            load_section(ServingSettings, **serving),
            self.instance,
            self.bundles,
            self._fetch,
            failed=lambda model, kind: self.failures.append((model, kind)),
            pulse=self.pulse,
        )

    def _fetch(self, wanted: Wanted) -> str:
        self.fetched.append(wanted.version)
        given = {**vars(wanted), "folder": Path(wanted.folder)}
        return bring_bundle(Question(**given), self.settings)

    def look(self) -> ModelState | None:
        """Look once and return what is to be served."""
        self.follower.look()
        state = read_state(self.instance)
        assert state is not None
        return state.models[0] if state.models else None


@pytest.fixture
def installation(registered: Installation, tmp_path: Path) -> Installation:
    """Return a copy of the project, the first version being champion."""
    before, versions = registered
    root = tmp_path / "project"
    shutil.copytree(before.root, root)
    # The registry names the artifacts by their addresses, which stay where they were.
    settings = before.model_copy(update={"root": root, "var": root / "var"})
    settings = settings.model_copy(update={"database_url": f"sqlite:///{root / 'var' / 'perennial.db'}"})
    crown(settings, versions[0])
    return settings, versions


def test_a_champion_is_brought_once(installation: Installation) -> None:
    """Its bundle lies here under its manifest's hash, for nobody else's eyes; the next look changes nothing."""
    settings, versions = installation
    watch = Watch(settings)
    first, second = watch.look(), watch.look()
    assert first == second
    assert first is not None
    assert (first.version, first.variant, first.manifest) == (1, "champion", versions[0].manifest)
    assert Path(first.folder).name == versions[0].manifest
    assert Path(first.folder).stat().st_mode & 0o077 == 0
    assert (watch.instance / "state.json").stat().st_mode & 0o077 == 0
    assert watch.fetched == [1]


def test_a_follower_that_was_replaced_publishes_nothing(installation: Installation) -> None:
    """What it found before it hung may be old; what it wrote while it was replaced is written again."""
    settings, _ = installation
    watch, other = Watch(settings), Watch(settings)
    watch.pulse.stop.set()
    watch.follower.look()
    assert read_state(watch.instance) is None
    current = other.look()
    assert current is not None
    write_state(other.instance, ServiceState(keys=()))
    assert other.look() == current
    assert (watch.fetched, other.fetched) == ([1], [])


def test_a_fetch_says_how_long_it_may_take() -> None:
    """The thread that waits for it is not one that hangs."""
    beats: list[float] = []
    assert Fetch((sys.executable, "-c", 'print(\'{"manifest": "m"}\')'), beats.append)(WANTED) == "m"
    assert beats == [module.FETCH_SECONDS + STEP_SECONDS]


def test_a_rollback_fetches_nothing(installation: Installation) -> None:
    """The version before is still here."""
    settings, versions = installation
    watch = Watch(settings)
    watch.look()
    crown(settings, versions[1])
    assert getattr(watch.look(), "version", None) == 2
    roll_back(open_database(settings.database_url), "credit", reason="so", actor="t", at=datetime.now(UTC))
    again = watch.look()
    assert again is not None
    assert (again.version, again.by) == (1, "rollback")
    assert watch.fetched == [1, 2]


def test_a_bundle_that_was_changed_leaves_the_old_version_in_place(installation: Installation) -> None:
    """It is told to people and to the metrics, and tried again later, not at every look."""
    settings, versions = installation
    watch = Watch(settings)
    watch.look()
    forge = Version(2, "0" * 64, versions[1].answers)
    _judged_otherwise(settings, forge)
    crown(settings, forge)
    found = watch.look()
    assert found is not None
    assert (found.version, found.sequence) == (1, 1)
    assert "contradicts itself about version 2" in (found.trouble or "")
    watch.look()
    assert watch.failures == [("credit", "bundle")]
    assert watch.fetched == [1]


def _judged_otherwise(settings: Settings, version: Version) -> None:
    """Let the gate have judged another bundle than the one that the registry holds."""
    with open_database(settings.database_url).begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER verdicts_refuse_update")
        connection.exec_driver_sql(
            "UPDATE verdicts SET manifest = ? WHERE version = ?", (version.manifest, version.number)
        )


def test_a_registry_that_is_away_is_asked_again(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The champion comes when the registry does."""
    settings, versions = installation
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    watch = Watch(settings)
    watch.look()
    crown(settings, versions[1])
    artifacts = Path(settings.mlflow_uri.removeprefix("sqlite:///")).with_name("mlruns")
    artifacts.rename(artifacts.with_name("away"))
    try:
        during = watch.look()
    finally:
        artifacts.with_name("away").rename(artifacts)
    after = watch.look()
    assert during is not None
    assert after is not None
    assert (during.version, during.trouble is None) == (1, False)
    assert (after.version, after.trouble) == (2, None)


def test_a_private_copy_that_was_spoilt_is_fetched_again(installation: Installation) -> None:
    """At the next start the copy is checked before it is named."""
    settings, _ = installation
    found = Watch(settings).look()
    assert found is not None
    (Path(found.folder) / "contract.json").write_text("{}")
    (settings.var / "serving" / "1" / "state.json").unlink()
    again = Watch(settings)
    assert again.look() == found
    assert again.fetched == [1]


def test_a_database_that_lost_its_history_changes_nothing(installation: Installation) -> None:
    """History only grows: a model that is unknown all at once was not withdrawn."""
    settings, _ = installation
    watch = Watch(settings)
    before = watch.look()
    for file in settings.var.glob("perennial.db*"):
        file.unlink()
    open_database(settings.database_url)
    after = Watch(settings).look()
    assert before is not None
    assert after is not None
    assert (after.version, after.manifest) == (before.version, before.manifest)
    assert "this model is no longer in the operational database" in (after.trouble or "")


def test_a_database_that_is_away_is_waited_for(installation: Installation) -> None:
    """The thread goes on, whatever happens, and ends when it is told to."""
    settings, _ = installation
    away = settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/none"})
    watch = Watch(away, follow_seconds=0.01)
    stop = watch.pulse.stop
    thread = threading.Thread(target=watch.follower.run)
    thread.start()
    stop.wait(0.3)
    assert thread.is_alive()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert read_state(watch.instance) is None


def test_only_the_models_asked_for(installation: Installation) -> None:
    """A model that nobody asked for is not fetched."""
    watch = Watch(installation[0], models=("other",))
    assert watch.look() is None
    assert watch.fetched == []


def test_keys_come_and_go(installation: Installation) -> None:
    """Workers are told of a key, its hash alone, and no longer once it is revoked."""
    settings, _ = installation
    watch = Watch(settings)
    key, text = create_key("shop", ("predict",), (), settings)
    watch.look()
    state = read_state(watch.instance)
    assert state is not None
    assert [known.id for known in state.keys] == [key.id]
    assert text.rpartition("_")[2] not in (watch.instance / "state.json").read_text()
    revoke(key.id, settings)
    watch.look()
    state = read_state(watch.instance)
    assert state is not None
    assert state.keys == ()


def test_old_predictions_go(installation: Installation) -> None:
    """What is older than the retention is deleted at the first look; the rest stays."""
    settings, _ = installation
    now = datetime.now(UTC)
    connection = LogConnection(settings.database_url, durable=False)
    row = {"model": "credit", "version": 1, "variant": "champion", "n_rows": 1, "latency_ms": 1.0, "rows": "[{}]"}
    for days in (100, 89, 1):
        at = now - timedelta(days=days)
        connection.write([{**row, "id": first_id_at(at), "at": at, "outputs": "[1]", "entity_keys": None}])
    connection.close()
    Watch(settings, retention_days=90).look()
    assert count_requests(open_database(settings.database_url), "credit") == 2


WANTED = Wanted("credit", 1, None, "/nowhere", ())


@pytest.mark.parametrize(
    ("printed", "error", "message"),
    [
        ('{"error": "changed", "kind": "bundle"}', BundleError, "changed"),
        ('{"error": "away", "kind": "storage"}', StorageError, "away"),
        ("no JSON", StorageError, "ended without a result"),
        ("", StorageError, "ended without a result"),
    ],
)
def test_what_the_fetching_process_says(printed: str, error: type[Exception], message: str) -> None:
    """Its errors are ours; a process that dies or prints nonsense is a failure to try again."""
    command = (sys.executable, "-c", f"import sys; sys.stdin.read(); print({printed!r})")
    with pytest.raises(error, match=message):
        Fetch(command)(WANTED)


def test_the_fetching_process_is_given_the_question() -> None:
    """It prints the manifest's hash after whatever else libraries print."""
    command = (
        sys.executable,
        "-c",
        "import json, sys; print('noise'); print(json.dumps({'manifest': json.load(sys.stdin)['model']}))",
    )
    assert Fetch(command)(WANTED) == "credit"


def test_a_fetch_that_takes_too_long_has_longer_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy host the fetch is not ended for ever by the same limit; a success brings the first limit back."""
    monkeypatch.setattr(module, "FETCH_SECONDS", 1.0)
    fetch = Fetch((sys.executable, "-c", "import time; time.sleep(600)"))
    for ended, given in ((1, 2), (2, 4)):
        with pytest.raises(StorageError, match=f"not fetched within {ended} s; the next attempt has {given} s"):
            fetch(WANTED)
    fetch._command = (sys.executable, "-c", 'print(\'{"manifest": "a"}\')')
    assert fetch(WANTED) == "a"
    assert fetch._seconds == 1.0

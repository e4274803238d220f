"""The follower publishes a running release with the bundle of the version beside the champion."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from config.settings import Settings
from serving.instance.state import ModelState, ReleasedState
from serving.processes import follower, releases
from serving.release.breaker import breaker_file, write_report
from store.champions import current_champion
from store.database import open_database
from store.releases.records import ReleaseState
from store.releases.releases import Move, move_release, start_release
from store.releases.reports import record_look, trips
from tests.serving.processes.test_follower import (  # noqa: F401 - fixtures
    Installation,
    Watch,
    installation,
    registered,
)
from tests.serving.running import await_that
from tests.serving.service_processes import Version, crown
from tests.store.releases.samples import release_of


def _engine(settings: Settings) -> Engine:
    return open_database(settings.database_url)


def _started(settings: Settings, version: Version, share: int = 5, plan: str = "{}") -> ReleaseState:
    engine = _engine(settings)
    champion = current_champion(engine, "credit")
    assert champion is not None
    release = release_of("credit", version.number, champion.version, champion.sequence)
    release = replace(release, manifest=version.manifest, plan=plan)
    return start_release(engine, release, "step" if share else "shadow", share)


def _move(settings: Settings, state: ReleaseState, action: str, stage: str, share: int) -> ReleaseState:
    move = Move(action, stage, share, "so", "test", "", datetime.now(UTC))  # type: ignore[arg-type] # texts of the test
    return move_release(_engine(settings), state, move)


def _released(watch: Watch) -> ReleasedState:
    """Look until the bundle is here, or has failed."""
    found: list[ReleasedState] = []

    def is_known() -> bool:
        model = watch.look()
        if model is None or model.release is None or model.release.trouble == releases.FETCHING:
            return False
        found.append(model.release)
        return True

    await_that(is_known)
    return found[-1]


def _none(model: ModelState | None) -> bool:
    return model is not None and model.release is None


def test_a_release_is_published_with_its_bundle(installation: Installation) -> None:  # noqa: F811 - a fixture
    """Share, stage and the newest look follow the database; an ended one is gone, and fetches nothing more."""
    settings, versions = installation
    watch = Watch(settings)
    assert _none(watch.look())
    state = _started(settings, versions[1])
    found = _released(watch)
    assert (found.number, found.stage, found.share, found.salt) == (1, "step", 5, "salt")
    assert (found.version, found.manifest, found.trouble) == (2, versions[1].manifest, None)
    assert Path(found.folder).name == versions[1].manifest
    record_look(_engine(settings), state, '{"looks": 1}', datetime.now(UTC))
    state = _move(settings, state, "advanced", "step", 25)
    record_look(_engine(settings), state, '{"looks": 2}', datetime.now(UTC))
    found = _released(watch)
    assert (found.share, json.loads(found.look), found.since) == (25, {"looks": 2}, state.entered.at.isoformat())
    state = _move(settings, state, "paused", "step", 25)
    assert _released(watch).paused
    _move(settings, state, "aborted", "over", 0)
    assert _none(watch.look())
    assert watch.fetched == [1, 2]


def test_a_mesh_divides_the_requests_instead(installation: Installation) -> None:  # noqa: F811 - a fixture
    """Nothing is fetched and nothing routed; a second division would change the shares."""
    settings, versions = installation
    watch = Watch(settings)
    watch.look()
    _started(settings, versions[1], plan='{"mesh": {"kind": "gateway"}}')
    assert _none(watch.look())
    assert watch.fetched == [1]


def test_while_it_bakes_the_version_before_stays(
    installation: Installation,  # noqa: F811 - a fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The promoted version is the champion; both bundles stay here, and a return fetches nothing."""
    monkeypatch.setattr(follower, "KEPT_BUNDLES", 1)
    settings, versions = installation
    watch = Watch(settings)
    state = _started(settings, versions[1])
    _released(watch)
    state = _move(settings, state, "promoted", "bake", 100)
    model = watch.look()
    assert model is not None
    assert model.release is not None
    assert (model.version, model.release.version, model.release.trouble) == (2, 1, None)
    assert (Path(model.folder).is_dir(), Path(model.release.folder).is_dir()) == (True, True)
    _move(settings, state, "rolled_back", "over", 0)
    model = watch.look()
    assert model is not None
    assert (model.version, model.release) == (1, None)
    assert watch.fetched == [1, 2]


def test_a_champion_that_moved_ends_the_routing(installation: Installation) -> None:  # noqa: F811 - a fixture
    """The release was about another champion; the flow ends it."""
    settings, versions = installation
    watch = Watch(settings)
    _started(settings, versions[1])
    _released(watch)
    crown(settings, versions[1])
    model = watch.look()
    assert _none(model)
    assert model is not None
    assert model.version == 2


def test_a_bundle_that_is_not_the_recorded_one_is_never_routed(installation: Installation) -> None:  # noqa: F811 - a fixture
    """It is said to people, and recorded once for the flow."""
    settings, versions = installation
    watch = Watch(settings)
    _started(settings, replace(versions[1], manifest="0" * 64))
    for _ in range(2):
        assert "names the manifest 000000000000" in (_released(watch).trouble or "")
    (trip,) = trips(_engine(settings), "credit", 1)
    assert (trip.kind, str(watch.instance) in trip.instance) == ("load", True)
    assert watch.fetched == [1]


def test_a_registry_that_is_away_is_not_reported_at_once(
    installation: Installation,  # noqa: F811 - a fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is tried again; only one that stays away ends the release."""
    monkeypatch.setattr(releases, "RETRY_SECONDS", 0.0)
    settings, versions = installation
    watch = Watch(settings)
    watch.look()
    artifacts = Path(settings.mlflow_uri.removeprefix("sqlite:///")).with_name("mlruns")
    artifacts.rename(artifacts.with_name("away"))
    try:
        _started(settings, versions[1])
        assert _released(watch).trouble
        assert trips(_engine(settings), "credit", 1) == []
        monkeypatch.setattr(releases, "PATIENCE_SECONDS", 0.0)
        _released(watch)
        assert [trip.kind for trip in trips(_engine(settings), "credit", 1)] == ["load"]
    finally:
        artifacts.with_name("away").rename(artifacts)
    await_that(lambda: _released(watch).trouble is None)


def test_an_open_breaker_is_reported(installation: Installation) -> None:  # noqa: F811 - a fixture
    """Once; its file goes with the release."""
    settings, versions = installation
    watch = Watch(settings)
    state = _started(settings, versions[1])
    since = _released(watch).since
    file = breaker_file(watch.instance, "credit", 1, since)
    write_report(file, "breaker", "5 of the last 20 requests of a worker failed")
    for _ in range(2):
        watch.look()
    (trip,) = trips(_engine(settings), "credit", 1)
    assert (trip.kind, trip.reason) == ("breaker", "5 of the last 20 requests of a worker failed")
    assert file.exists()
    _move(settings, state, "rolled_back", "over", 0)
    watch.look()
    assert not file.exists()

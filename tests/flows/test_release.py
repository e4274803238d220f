"""The flow ``release`` on a real Prefect server."""

from __future__ import annotations

import httpx
import pytest

from config.settings import Settings
from store.releases.releases import newest_release
from tests.tasks.release.test_look import copied
from tests.tasks.release.traffic import database, log, two_versions

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_a_look_is_a_run_that_ends(project: Settings, prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a release it does nothing; then it moves the release, and a repeat waits for the next stage."""
    from flows.release import release
    from tasks.release.people import start

    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    two_versions(project)
    log(project, 1, "champion", 20)
    assert release("credit").status == "none"
    start("credit", "2", "it is better", project)
    copied(project, 4000)
    assert release("credit").status == "advanced"
    assert release("credit").status == "held"
    state = newest_release(database(project), "credit")
    assert state is not None
    assert [(step.stage, step.share) for step in state.steps] == [("shadow", 0), ("step", 10)]
    shown = httpx.post(f"{prefect_api}/artifacts/filter", json={}).raise_for_status().json()
    kinds = {artifact["key"]: artifact["type"] for artifact in shown}
    assert kinds == kinds | {"credit-release": "table", "credit-release-figure": "image"}

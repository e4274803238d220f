"""How a version gets the traffic, and what starts a release."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.load import load_model_config
from config.settings import Settings
from core.errors import ReleaseError, StaleChampionError
from core.release.recorded import RecordedPlan
from store.releases.releases import release_history, running_release
from tasks.release.begin import begin, way_of
from tests.factories import credit_config
from tests.store.releases.samples import crowned
from tests.tasks.registration import judged
from tests.tasks.release.traffic import QUICK, database, log

pytestmark = pytest.mark.usefixtures("warm_steps")


def test_the_way_of_a_version(project: Settings) -> None:
    """Directly without champion or traffic; by steps with traffic of the last day."""
    engine = database(project)
    config: dict[str, Any] = {mode: credit_config(release={"mode": mode}) for mode in ("auto", "staged", "direct")}
    assert way_of(config["staged"], 1, engine).kind == "direct"
    crowned(engine, "credit")
    assert [way_of(config[mode], 2, engine).kind for mode in config] == ["direct", "staged", "direct"]
    assert "did not answer the model" in way_of(config["auto"], 2, engine).reason
    log(project, 1, "champion", 1, at=datetime.now(UTC) - timedelta(hours=25))
    assert way_of(config["auto"], 2, engine).kind == "direct"
    log(project, 1, "champion", 1, at=datetime.now(UTC) - timedelta(hours=23))
    assert [way_of(config[mode], 2, engine).kind for mode in config] == ["staged", "staged", "direct"]


def test_the_plan_is_recorded_when_it_starts(served: Settings) -> None:
    """With the metric and the classes, so that a look needs neither the model file nor MLflow."""
    config = load_model_config(served.root, "credit")
    state = begin(config, 2, 1, "gate", "it is better", served, "gate")
    assert begin(config, 2, 1, "gate", "again", served) == state
    recorded = RecordedPlan.from_json(state.release.plan)
    assert recorded.plan.steps == tuple(QUICK["steps"])
    assert (recorded.plan.metric, recorded.classes) == ("roc_auc", ("0", "1"))
    assert (state.release.actor, state.release.reason, len(state.release.salt)) == ("gate", "it is better", 32)


def test_a_newer_version_waits_or_supersedes(served: Settings) -> None:
    """As the model file says."""
    config = load_model_config(served.root, "credit")
    begin(config, 2, 1, "gate", "it is better", served)
    judged(served, "c")
    assert way_of(config, 3, database(served)).kind == "wait"
    with pytest.raises(ReleaseError):
        begin(config, 9, 1, "gate", "unknown", served)
    impatient = load_model_config(served.root, "credit", {"release.newer": "supersede"})
    assert way_of(impatient, 3, database(served)).kind == "staged"
    assert begin(impatient, 3, 1, "gate", "it is better still", served).release.version == 3
    first, second = release_history(database(served), "credit")
    assert first.newest.action == "superseded"
    assert running_release(database(served), "credit") == second


def test_another_champion_is_judged_against_first(served: Settings) -> None:
    """The version was compared with a champion that is none any more."""
    config = load_model_config(served.root, "credit")
    with pytest.raises(StaleChampionError):
        begin(config, 2, 7, "gate", "it is better", served)
    assert running_release(database(served), "credit") is None

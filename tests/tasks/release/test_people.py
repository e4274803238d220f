"""What a person does with a release, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from config.settings import Settings
from core.errors import ConfigError, PromotionError, ReleaseError
from store.champions import champion_history, current_champion, roll_back, standing, waiting_version
from store.releases.releases import newest_release
from tasks.champions.approvals import reject
from tasks.registry.client import aliases_in_mlflow, mlflow_client
from tasks.registry.versions import RunningRelease, list_models, show_model
from tasks.release.approval import approve_version
from tasks.release.ended import roll_back as roll_back_by_command
from tasks.release.look import look
from tasks.release.people import abort, advance, pause, resume, start, status
from tests.tasks.registration import judged, register
from tests.tasks.release.traffic import database, log, two_versions

pytestmark = pytest.mark.usefixtures("warm_steps")


def test_start_pause_resume_advance(served: Settings) -> None:
    """Each is one change with reason and actor; a repeat changes nothing."""
    state = start("credit", "2", "it is better", served)
    assert (state.newest.stage, state.release.kind, state.release.champion) == ("shadow", "manual", 1)
    assert start("credit", "2", "again", served) == state
    assert standing(database(served), "credit").challenger == 2
    paused = pause("credit", "a holiday", served)
    assert pause("credit", "again", served) == paused
    resumed = resume("credit", "back", served)
    assert resume("credit", "again", served) == resumed
    assert advance("credit", "I looked", served).newest.share == 10
    advance("credit", "I looked", served)
    promoted = advance("credit", "I looked", served)
    assert (promoted.newest.stage, promoted.newest.action) == ("bake", "promoted")
    assert current_champion(database(served), "credit").version == 2  # type: ignore[union-attr]
    over = advance("credit", "enough", served)
    assert (over.is_over, over.newest.action) == (True, "completed")
    found = status("credit", served)
    actions = [step["action"] for step in found["steps"]]
    assert actions == ["started", "paused", "resumed", "advanced", "advanced", "promoted", "completed"]


def test_abort_needs_the_database_alone(served: Settings) -> None:
    """MLflow's server is away; the champion is the one before."""
    start("credit", "2", "it is better", served)
    advance("credit", "I looked", served)
    away = served.model_copy(update={"mlflow_uri": "http://127.0.0.1:9", "prefect_api_url": "http://127.0.0.1:9/api"})
    state = abort("credit", "complaints", away)
    assert (state.is_over, state.newest.action, state.newest.share) == (True, "aborted", 0)
    assert current_champion(database(served), "credit").version == 1  # type: ignore[union-attr]


def test_abort_while_it_bakes_returns(served: Settings) -> None:
    """The predecessor is champion again in the same transaction."""
    start("credit", "2", "it is better", served)
    for _ in range(3):
        advance("credit", "I looked", served)
    abort("credit", "complaints", served.model_copy(update={"mlflow_uri": "http://127.0.0.1:9"}))
    assert [entry.version for entry in champion_history(database(served), "credit")] == [1, 2, 1]


def test_what_is_refused(served: Settings) -> None:
    """With the reason, and nothing moves."""
    for move in (pause, resume, advance, abort):
        with pytest.raises(ReleaseError, match="no release of 'credit' is running"):
            move("credit", "why", served)
    with pytest.raises(ReleaseError, match="version 1 of 'credit' is the champion already"):
        start("credit", "1", "why", served)
    with pytest.raises(ConfigError, match="--reason is empty"):
        start("credit", "2", " ", served)
    assert newest_release(database(served), "credit") is None


def test_a_pause_lasts_until_it_is_resumed(served: Settings) -> None:
    """What was seen before it stays to be seen, and a person who advances it does not resume it."""
    start("credit", "2", "it is better", served)
    look("credit", served)
    pause("credit", "a holiday", served)
    assert status("credit", served)["look"]["outcome"] == "hold"
    assert advance("credit", "I looked", served).is_paused
    assert not resume("credit", "back", served).is_paused


def test_a_direct_approval_ends_the_release(served: Settings) -> None:
    """At once, without an abort, and the version stays champion."""
    start("credit", "2", "it is better", served)
    register(served, "c")
    approve_version("credit", "3", "we know it", served, direct=True, override=True)
    state = newest_release(database(served), "credit")
    assert state is not None
    assert state.newest.action == "superseded"
    assert current_champion(database(served), "credit").version == 3  # type: ignore[union-attr]
    assert aliases_in_mlflow(mlflow_client(served), "credit") == {"champion": 3, "previous": 1}


def test_a_rollback_by_a_person_ends_the_release(served: Settings) -> None:
    """At once, and it is not completed as if its version were champion still."""
    start("credit", "2", "it is better", served)
    for _ in range(3):
        advance("credit", "I looked", served)
    roll_back_by_command("credit", "complaints", served)
    state = newest_release(database(served), "credit")
    assert state is not None
    assert (state.newest.action, state.newest.share) == ("superseded", 0)
    with pytest.raises(ReleaseError, match="running: release 1, of version 2, was superseded"):
        advance("credit", "enough", served)


def test_a_champion_that_changed_unseen_ends_it_too(served: Settings) -> None:
    """The command that changed it was killed before it ended the release: an abort succeeds."""
    start("credit", "2", "it is better", served)
    for _ in range(3):
        advance("credit", "I looked", served)
    roll_back(database(served), "credit", reason="complaints", actor="ann", at=datetime.now(UTC))
    assert abort("credit", "complaints", served).newest.action == "superseded"
    assert [entry.version for entry in champion_history(database(served), "credit")] == [1, 2, 1]


def test_a_version_that_is_released_is_not_rejected(served: Settings) -> None:
    """It could become champion as a rejected one; the message names what to do."""
    start("credit", "2", "it is better", served)
    with pytest.raises(PromotionError, match=r"being released \(release 1\).*perennial release credit abort"):
        reject("credit", "2", "no", served)
    abort("credit", "complaints", served)
    assert reject("credit", "2", "no", served).action == "rejected"


def test_a_version_that_was_released_waits_for_no_approval(served: Settings) -> None:
    """Neither while its release runs nor after it ended: a person began it."""
    assert waiting_version(database(served), "credit") == 2
    start("credit", "2", "the gate is manual", served)
    assert waiting_version(database(served), "credit") is None
    abort("credit", "complaints", served)
    assert waiting_version(database(served), "credit") is None
    assert standing(database(served), "credit").challenger is None


def test_another_version_waits_for_the_end_of_a_release(served: Settings) -> None:
    """A person's command does not end a release that the model file lets others wait for."""
    running = start("credit", "2", "it is better", served)
    judged(served, "c")
    with pytest.raises(ReleaseError, match=r"version 2 of 'credit' is being released.*perennial release credit abort"):
        start("credit", "3", "why", served)
    assert newest_release(database(served), "credit") == running


def test_a_release_without_service_is_refused(registry: Settings) -> None:
    """The message names the way without a release."""
    two_versions(registry)
    with pytest.raises(ReleaseError, match=r"nothing to observe.*perennial approve credit@2 --direct"):
        start("credit", "2", "why", registry)


def test_a_plan_without_anything_to_observe_is_refused(registry: Settings) -> None:
    """All at once is the mode direct."""
    two_versions(registry, mode="direct", steps=[100], shadow={"requests": 0, "hours": 1})
    log(registry, 1, "champion", 1)
    with pytest.raises(ReleaseError, match=r"release\.mode: direct"):
        start("credit", "2", "why", registry)


def test_a_version_that_the_gate_did_not_judge_is_refused(served: Settings) -> None:
    """It has to be judged against the present champion."""
    register(served, "c")
    with pytest.raises(PromotionError, match="perennial judge credit@3"):
        start("credit", "3", "why", served)


def test_the_lists_of_models_and_versions_tell_a_running_release(served: Settings) -> None:
    """Of the model, whichever version is shown; an ended one is in the history."""
    start("credit", "2", "it is better", served)
    running = RunningRelease(1, 2, "shadow", 0, False)
    assert [summary.release for summary in list_models(served)] == [running]
    assert show_model("credit", "1", served).release == running
    abort("credit", "complaints", served)
    assert list_models(served)[0].release is None
    assert show_model("credit", "2", served).release is None

"""What a person does with a release: start, pause, resume, advance, abort. Only starting needs MLflow."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from config.load import load_model_config
from config.settings import Settings
from core.errors import PromotionError, ReleaseError
from core.release.recorded import RecordedPlan
from store.champions import current_champion, find_verdict
from store.releases.records import Action, ReleaseState, StageKind
from store.releases.releases import Move, move_release, newest_release
from store.releases.reports import newest_look, trips
from tasks.champions.aliases import project
from tasks.champions.approvals import check_loadable, said_reason, version_of
from tasks.champions.history import known_engine
from tasks.release.begin import begin, has_traffic
from tasks.release.ended import ended_by_another_champion
from tasks.release.mesh import follow
from tasks.release.stages import following
from tasks.runs.actor import actor


def start(model: str, selector: str, reason: str, settings: Settings) -> ReleaseState:
    """Start the release of a version that the gate let pass, or that a person chooses.

    Parameters
    ----------
    model
        Name of the model.
    selector
        A version number or an alias.
    reason
        Reason, kept in the history.
    settings
        Names the database and the registry.

    Raises
    ------
    ReleaseError
        Another release runs, the version is champion, or the service has no traffic to observe.
    PromotionError
        The gate refused the version, or judged it against another champion.
    """
    said, engine = said_reason(reason), known_engine(model, settings)
    config = load_model_config(settings.root, model)
    version = version_of(model, selector, settings)
    champion = current_champion(engine, model)
    if champion is None:
        raise ReleaseError(f"{model!r} has no champion to release against; the first version is promoted directly")
    if champion.version == version:
        raise ReleaseError(f"version {version} of {model!r} is the champion already")
    if not has_traffic(engine, model):
        raise ReleaseError(
            f"the service did not answer {model!r} in the last day, so there is nothing to observe. Start it "
            f"(perennial serve) and send requests, or promote directly: perennial approve {model}@{version} --direct "
            "--reason …"
        )
    check_loadable(model, version, settings)
    _check_verdict(engine, model, version, champion.sequence)
    return begin(config, version, champion.sequence, "manual", said, settings)


def pause(model: str, reason: str, settings: Settings) -> ReleaseState:
    """Stop a release from moving on; its share stays, and a breach still ends it. A repeat changes nothing."""
    engine, state = _running(model, settings)
    return state if state.is_paused else _same_stage(engine, state, "paused", said_reason(reason))


def resume(model: str, reason: str, settings: Settings) -> ReleaseState:
    """Let a paused release move on. A repeat changes nothing."""
    engine, state = _running(model, settings)
    return _same_stage(engine, state, "resumed", said_reason(reason)) if state.is_paused else state


def advance(model: str, reason: str, settings: Settings) -> ReleaseState:
    """Move a release to its next stage without waiting for evidence; from the last one to its end.

    A paused release stays paused.
    """
    engine, state = _running(model, settings)
    wanted = following(RecordedPlan.from_json(state.release.plan).plan, state)
    moved = _moved(engine, state, wanted.action, wanted.stage, wanted.share, said_reason(reason))
    if wanted.action == "promoted":
        project(model, settings)
    return moved


def abort(model: str, reason: str, settings: Settings) -> ReleaseState:
    """End a release; the champion before it answers everything again. It needs the operational database alone.

    With a mesh, the weights are set at once. If the cluster is away, the release is over all the same, a warning says
    so, and the next look or the relay sets the weights.
    """
    said, engine = said_reason(reason), known_engine(model, settings)
    if (ended := ended_by_another_champion(engine, model)) is not None:
        return ended
    return _moved(engine, _present(engine, model), "aborted", "over", 0, said)


def status(model: str, settings: Settings) -> dict[str, Any]:
    """Return the newest release of a model with its newest look, as values that JSON can hold.

    Raises
    ------
    ModelNotFoundError
        No such model.
    """
    engine = known_engine(model, settings)
    state = newest_release(engine, model)
    if state is None:
        return {"model": model, "release": None}
    looked = None if state.is_over else newest_look(engine, state)
    document = state.newest.document if state.is_over else looked and looked.document
    release = state.release
    return {
        "model": model,
        "release": release.number,
        "version": release.version,
        "champion": release.champion,
        "running": not state.is_over,
        "paused": state.is_paused,
        "stage": state.newest.stage,
        "share": state.newest.share,
        "since": state.entered.at.isoformat(),
        "steps": [step.to_dict() for step in state.steps],
        "look": json.loads(document) if document else None,
        "looks": looked.looks if looked else 0,
        "trips": [
            {"instance": trip.instance, "kind": trip.kind, "reason": trip.reason}
            for trip in trips(engine, model, release.number)
        ],
    }


def _running(model: str, settings: Settings) -> tuple[Engine, ReleaseState]:
    engine = known_engine(model, settings)
    if (ended := ended_by_another_champion(engine, model)) is not None:
        raise ReleaseError(f"release {ended.release.number} of {model!r} is over: {ended.newest.reason}")
    return engine, _present(engine, model)


def _present(engine: Engine, model: str) -> ReleaseState:
    newest = newest_release(engine, model)
    if newest is not None and not newest.is_over:
        return newest
    raise ReleaseError(
        f"no release of {model!r} is running{_ended(newest)}; to start one: "
        f"perennial release {model} start VERSION --reason …"
    )


def _ended(newest: ReleaseState | None) -> str:
    if newest is None:
        return ""
    last, release = newest.newest, newest.release
    what = f"was {last.action.replace('_', ' ')} by {last.actor} at {last.at.astimezone(UTC):%F %H:%M} UTC"
    return f": release {release.number}, of version {release.version}, {what}"


def _same_stage(engine: Engine, state: ReleaseState, action: Action, reason: str) -> ReleaseState:
    return _moved(engine, state, action, state.newest.stage, state.newest.share, reason)


def _moved(
    engine: Engine, state: ReleaseState, action: Action, stage: StageKind, share: int, reason: str
) -> ReleaseState:
    moved = move_release(engine, state, Move(action, stage, share, reason, actor(), "", datetime.now(UTC)))
    follow(engine, state.release.model)
    return moved


def _check_verdict(engine: Engine, model: str, version: int, champion_sequence: int) -> None:
    found = find_verdict(engine, model, version, champion_sequence)
    if found is None:
        raise PromotionError(
            f"the gate has not judged version {version} of {model!r} against the present champion: "
            f"perennial judge {model}@{version}"
        )
    if found.decision == "keep":
        raise PromotionError(f"the gate refused version {version} of {model!r}; see 'perennial show {model}@{version}'")

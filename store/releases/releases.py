"""Start and move releases. The history is append-only; a change of state is a compare-and-set.

The champion moves in the transaction of the change that says so, and the event of a change is recorded with it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, func, select

from core.errors import ReleaseError, StaleReleaseError
from core.operate.events import release_changed
from store.champions import Champion, check_current, current_champion, newest_entry, roll_back_in, start_tenure_in
from store.database import insert_new, reading, writing
from store.events import record_event
from store.releases.records import EXPECTING, RETURNING, Action, Release, ReleaseState, StageKind, Step
from store.tables import ReleaseRow, ReleaseStepRow

_TOLD: dict[Action, str] = {
    "started": "started",
    "advanced": "advanced",
    "promoted": "advanced",
    "completed": "completed",
    "rolled_back": "rolled_back",
    "aborted": "rolled_back",
    "superseded": "rolled_back",
}
"""Events by action; a person who pauses or resumes knows it."""


@dataclass(frozen=True)
class Move:
    """A wanted change of a release's state, see :class:`~store.releases.records.Step`."""

    action: Action
    stage: StageKind
    share: int
    reason: str
    actor: str
    document: str
    at: datetime


def running_release(engine: Engine, model: str) -> ReleaseState | None:
    """Return a model's running release; None if none runs."""
    found = newest_release(engine, model)
    return None if found is None or found.is_over else found


def newest_release(engine: Engine, model: str) -> ReleaseState | None:
    """Return a model's newest release, running or not; None if there was none."""
    with reading(engine) as connection:
        return _newest(connection, model)


def running_releases(engine: Engine) -> list[ReleaseState]:
    """Return the running releases of all models, sorted by model."""
    return _chosen(engine, ReleaseStepRow.stage != "over")


def newest_releases(engine: Engine) -> list[ReleaseState]:
    """Return the newest release of each model, running or not, sorted by model."""
    return _chosen(engine)


def _chosen(engine: Engine, *conditions: Any) -> list[ReleaseState]:
    last = _last_steps().subquery()
    chosen = (
        select(ReleaseStepRow.model, ReleaseStepRow.number)
        .join(last, _is_step(last.c))
        .where(*conditions)
        .order_by(ReleaseStepRow.model)
    )
    with reading(engine) as connection:
        places = connection.execute(chosen).all()
        return [_state(connection, place.model, place.number) for place in places]


def release_history(engine: Engine, model: str) -> list[ReleaseState]:
    """Return a model's releases, oldest first."""
    chosen = select(ReleaseRow.number).where(ReleaseRow.model == model).order_by(ReleaseRow.number)
    with reading(engine) as connection:
        return [_state(connection, model, number) for number in connection.scalars(chosen).all()]


def was_released(engine: Engine, model: str, version: int, champion_sequence: int) -> bool:
    """Return whether a version was released against a champion's entry, whatever came of it, or is being released."""
    chosen = select(ReleaseRow.number).filter_by(model=model, version=version, champion_sequence=champion_sequence)
    with reading(engine) as connection:
        return connection.execute(chosen.limit(1)).first() is not None


def start_release(engine: Engine, release: Release, stage: StageKind, share: int) -> ReleaseState:
    """Start a release in its first stage; one that runs for the same version already is returned.

    Parameters
    ----------
    engine
        The operational database.
    release
        Its ``number`` is replaced by the next one.
    stage, share
        The first stage.

    Raises
    ------
    ReleaseError
        Another version is being released, or the version is champion.
    StaleChampionError
        The champion is not the one that the version was compared with.
    """
    with writing(engine) as connection:
        newest = _newest(connection, release.model)
        if newest is not None and not newest.is_over:
            if newest.release.version == release.version:
                return newest
            raise ReleaseError(other_runs(newest))
        present = check_current(connection, release.model, release.champion_sequence)
        if present.version == release.version:
            raise ReleaseError(f"version {release.version} of {release.model!r} is the champion already")
        numbered = replace(release, number=newest.release.number + 1 if newest else 1)
        if not insert_new(connection, ReleaseRow, asdict(numbered)):
            raise StaleReleaseError(_moved(release.model))
        move = Move("started", stage, share, release.reason, release.actor, "", release.started_at)
        return _moved_on(connection, ReleaseState(numbered, ()), move)


def move_release(engine: Engine, state: ReleaseState, move: Move) -> ReleaseState:
    """Change a release's state if it is still the one that the caller read. A repeat is harmless.

    The action ``promoted`` makes the version champion, and ``rolled_back`` and ``aborted`` return to the champion
    before, if the version was promoted; each in the same transaction. Nothing moves on if the champion changed in
    another way; ``aborted`` ends the release then, and leaves the champion.

    Parameters
    ----------
    engine
        The operational database.
    state
        The release as the caller read it.
    move
        The wanted change.

    Raises
    ------
    StaleReleaseError
        The release moved in the meantime, or is over.
    StaleChampionError
        The champion is not the one that the release expects.
    """
    release = state.release
    with writing(engine) as connection:
        present = _state(connection, release.model, release.number)
        if present.newest.sequence != state.newest.sequence:
            if _is_repeat(present.newest, state, move):
                return present
            raise StaleReleaseError(_moved(release.model))
        if present.is_over:
            raise StaleReleaseError(f"release {release.number} of {release.model!r} is over; nothing was changed")
        return _moved_on(connection, present, move)


def _moved_on(connection: Connection, state: ReleaseState, move: Move) -> ReleaseState:
    release = state.release
    if move.action == "promoted":
        start_tenure_in(
            connection,
            release.model,
            release.version,
            expected_sequence=release.champion_sequence,
            kind="release",
            reason=move.reason,
            actor=move.actor,
            at=move.at,
        )
    elif move.action in EXPECTING:
        check_current(connection, release.model, state.champion_sequence)
    elif move.action in RETURNING and state.is_promoted:
        _return(connection, state, move)
    last = state.newest if state.steps else None
    # Clocks of two machines differ; the history is ordered by its sequence, and its times must not contradict it.
    at = max(move.at, last.at) if last else move.at
    sequence = last.sequence + 1 if last else 1
    fields = {**asdict(move), "at": at}
    step = Step(model=release.model, number=release.number, sequence=sequence, **fields)
    if not insert_new(connection, ReleaseStepRow, asdict(step)):
        raise StaleReleaseError(_moved(release.model))
    if told := _TOLD.get(move.action):
        record_event(connection, _event(release, step, told))
    return ReleaseState(release, (*state.steps, step))


def _return(connection: Connection, state: ReleaseState, move: Move) -> None:
    """Return to the champion before; an abort finds nothing to return if a person changed the champion already."""
    model, expected = state.release.model, state.champion_sequence
    if move.action == "aborted" and not state.expects(newest_entry(connection, model)):
        return
    check_current(connection, model, expected)
    roll_back_in(connection, model, reason=move.reason, actor=move.actor, at=move.at, expected_sequence=expected)


def end_stale(engine: Engine, model: str, actor: str, at: datetime) -> ReleaseState | None:
    """End a model's running release if the champion changed in another way; return the ended one, None if it goes on.

    What was observed was compared with the champion before, so it says nothing about the present one.
    """
    state, present = running_release(engine, model), current_champion(engine, model)
    if state is None or state.expects(present):
        return None
    return move_release(engine, state, Move("superseded", "over", 0, _stale(present), actor, "", at))


def _stale(present: Champion | None) -> str:
    now = "there is none now" if present is None else f"it is version {present.version} now, by {present.actor}"
    return f"the champion changed during the release ({now}), so what was observed says nothing about the present one"


def _event(release: Release, step: Step, told: str) -> Any:
    facts = {name: getattr(step, name) for name in ("sequence", "action", "stage", "share", "reason", "actor", "at")}
    return release_changed(
        release.model, told, number=release.number, version=release.version, champion=release.champion, **facts
    )


def _is_repeat(found: Step, state: ReleaseState, move: Move) -> bool:
    wanted = (state.newest.sequence + 1, move.action, move.stage, move.share, move.reason, move.actor)
    return (found.sequence, found.action, found.stage, found.share, found.reason, found.actor) == wanted


def _newest(connection: Connection, model: str) -> ReleaseState | None:
    number = connection.scalar(select(func.max(ReleaseRow.number)).where(ReleaseRow.model == model))
    return None if number is None else _state(connection, model, number)


def _state(connection: Connection, model: str, number: int) -> ReleaseState:
    place = (ReleaseRow.model == model, ReleaseRow.number == number)
    release = connection.execute(select(ReleaseRow.__table__).where(*place)).mappings().one()
    chosen = select(ReleaseStepRow.__table__).where(ReleaseStepRow.model == model, ReleaseStepRow.number == number)
    steps = connection.execute(chosen.order_by(ReleaseStepRow.sequence)).mappings()
    return ReleaseState(Release(**release), tuple(Step(**row) for row in steps))


def _last_steps() -> Any:
    """Select the place of the newest step of each model's newest release."""
    newest = select(ReleaseRow.model, func.max(ReleaseRow.number).label("number")).group_by(ReleaseRow.model).subquery()
    return (
        select(ReleaseStepRow.model, ReleaseStepRow.number, func.max(ReleaseStepRow.sequence).label("sequence"))
        .join(newest, and_(ReleaseStepRow.model == newest.c.model, ReleaseStepRow.number == newest.c.number))
        .group_by(ReleaseStepRow.model, ReleaseStepRow.number)
    )


def _is_step(place: Any) -> Any:
    return and_(
        ReleaseStepRow.model == place.model,
        ReleaseStepRow.number == place.number,
        ReleaseStepRow.sequence == place.sequence,
    )


def other_runs(state: ReleaseState) -> str:
    """Return why another version cannot be released while a release runs, and what to do."""
    release = state.release
    return (
        f"version {release.version} of {release.model!r} is being released (release {release.number}); wait for its "
        f"end, or end it: perennial release {release.model} abort --reason …"
    )


def _moved(model: str) -> str:
    return f"the release of {model!r} moved meanwhile; look at it: perennial release {model}"

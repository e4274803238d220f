"""Champions, verdicts of the gate and reviews by people. The history is append-only.

Promotion is a compare-and-set: a process inserts the entry after the one it read; if another process was first, it
gets a :class:`~core.errors.StaleChampionError`. MLflow's aliases are a projection of this history, and what they were
last set to is recorded here. Every change of champion puts an event into the outbox in the same transaction, except an
adoption, which records a champion that existed before the history.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, Engine, Select, delete, func, insert, select, tuple_

from core.errors import PromotionError, StaleChampionError
from core.operate.events import champion_changed
from store.database import reading, upsert, writing
from store.events import record_event
from store.tables import ChampionRow, ProjectionRow, ReleaseRow, ReleaseStepRow, ReviewRow, VerdictRow

if TYPE_CHECKING:
    from config.schema import GateMode
    from core.gate.decision import Decision

Kind = Literal["gate", "approval", "release", "rollback", "adopted"]
Action = Literal["approved", "rejected"]


@dataclass(frozen=True)
class Champion:
    """An entry of the history: a version became champion.

    Parameters
    ----------
    model
        Name of the model.
    sequence
        1, 2, … without gaps.
    version
        The version that became champion.
    below
        Sequence of the entry that a rollback returns to; None if there is none.
    kind
        Cause: ``gate``, ``approval`` by a person, ``release`` by steps, ``rollback``, or ``adopted`` from a registry
        older than the gate.
    reason, actor
        Why the champion changed, and who changed it.
    at
        Time with time zone; never before that of the preceding entry.
    """

    model: str
    sequence: int
    version: int
    below: int | None
    kind: Kind
    reason: str
    actor: str
    at: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold, the time in ISO 8601."""
        return {**asdict(self), "at": self.at.isoformat()}


@dataclass(frozen=True)
class RecordedVerdict:
    """The gate's verdict on a version against the champion of that time.

    Parameters
    ----------
    model, version
        The version judged.
    champion_sequence, champion
        Entry and version it was compared with; 0 and None if there was no champion yet.
    decision, mode
        ``promote``, ``keep`` or ``undecided``; the gate's mode at that time.
    n_rows, holdout, sketch
        Number of rows compared, their fingerprint, and the JSON text from which repeated looks are counted; 0 and empty
        if nothing was compared.
    manifest
        SHA-256 of the manifest of the judged bundle: it distinguishes versions with the same number after the registry
        was recreated.
    document
        JSON text of the whole verdict.
    judged_at
        Time with time zone.
    number
        1, 2, … of the verdicts on this version against this champion; the highest number is in force.
    rules
        Hash of the rules that were applied, see :func:`config.load.rules_hash`; empty if they were not recorded.
    """

    model: str
    version: int
    champion_sequence: int
    champion: int | None
    decision: Decision
    mode: GateMode
    n_rows: int
    holdout: str
    sketch: str
    manifest: str
    document: str
    judged_at: datetime
    number: int = 1
    rules: str = ""


@dataclass(frozen=True)
class Review:
    """A person's approval or rejection of a version."""

    model: str
    version: int
    action: Action
    reason: str
    actor: str
    at: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold, the time in ISO 8601."""
        return {**asdict(self), "at": self.at.isoformat()}


@dataclass(frozen=True)
class Standing:
    """The versions that MLflow's aliases should name.

    Parameters
    ----------
    sequence
        Sequence of the current champion's entry; 0 if there is none.
    champion, previous, challenger
        The champion, the version a rollback returns to, the version that is being released or waits for a review; each
        may be None.
    """

    sequence: int
    champion: int | None
    previous: int | None
    challenger: int | None


def current_champion(engine: Engine, model: str) -> Champion | None:
    """Return the current champion's entry; None if the model has no champion."""
    with reading(engine) as connection:
        return newest_entry(connection, model)


def judged_models(engine: Engine) -> list[str]:
    """Return the names of all models that have a verdict or a champion, sorted."""
    names = select(VerdictRow.model).union(select(ChampionRow.model))
    with reading(engine) as connection:
        return sorted(connection.execute(names).scalars())


def current_champions(engine: Engine) -> list[Champion]:
    """Return the current champion's entry of every model, sorted by model name."""
    newest = select(ChampionRow.model, func.max(ChampionRow.sequence)).group_by(ChampionRow.model)
    chosen = select(ChampionRow.__table__).where(tuple_(ChampionRow.model, ChampionRow.sequence).in_(newest))
    with reading(engine) as connection:
        found = connection.execute(chosen.order_by(ChampionRow.model)).mappings()
        return [Champion(**row) for row in found]


def champion_history(engine: Engine, model: str) -> list[Champion]:
    """Return a model's entries, oldest first."""
    with reading(engine) as connection:
        return [Champion(**row) for row in connection.execute(_entries(model)).mappings()]


def champion_at(engine: Engine, model: str, moment: datetime) -> Champion | None:
    """Return the entry that was current at a time; the time of a change belongs to the new champion."""
    chosen = _entries(model).where(ChampionRow.at <= moment).order_by(None).order_by(ChampionRow.sequence.desc())
    with reading(engine) as connection:
        row = connection.execute(chosen.limit(1)).mappings().first()
        return None if row is None else Champion(**row)


def start_tenure(
    engine: Engine,
    model: str,
    version: int,
    *,
    expected_sequence: int,
    kind: Kind,
    reason: str,
    actor: str,
    at: datetime,
) -> Champion:
    """Make a version champion if the champion is still the one that the caller read.

    A repeat is harmless: if the version is champion already, or the same call inserted its entry before it was killed,
    that entry is returned. With ``kind`` ``approval``, the review is recorded in the same transaction.

    Parameters
    ----------
    expected_sequence
        Sequence of the entry the decision was made against; 0 for no champion.
    kind, reason, actor, at
        As in :class:`Champion`.

    Raises
    ------
    StaleChampionError
        Another version became champion in the meantime.
    """
    with writing(engine) as connection:
        return start_tenure_in(
            connection,
            model,
            version,
            expected_sequence=expected_sequence,
            kind=kind,
            reason=reason,
            actor=actor,
            at=at,
        )


def start_tenure_in(
    connection: Connection,
    model: str,
    version: int,
    *,
    expected_sequence: int,
    kind: Kind,
    reason: str,
    actor: str,
    at: datetime,
) -> Champion:
    """Make a version champion within a transaction, see :func:`start_tenure`."""
    present = newest_entry(connection, model)
    seen = present.sequence if present else 0
    if present and seen == expected_sequence and present.version == version:
        return present
    if seen == expected_sequence:
        below = present.sequence if present else None
        entry = Champion(model, seen + 1, version, below, kind, reason, actor, _not_before(present, at))
        present = _inserted(connection, entry, present)
    if present is None or not _is_repeat(present, version, expected_sequence, kind):
        raise StaleChampionError(_changed(model, expected_sequence, present))
    return present


def expected_champion(engine: Engine, model: str, sequence: int) -> Champion:
    """Return the champion's entry if it is the expected one, see :func:`check_current`."""
    with reading(engine) as connection:
        return check_current(connection, model, sequence)


def check_current(connection: Connection, model: str, expected_sequence: int) -> Champion:
    """Return the champion's entry if it is the expected one.

    Raises
    ------
    StaleChampionError
        It is another one, or there is none.
    """
    present = newest_entry(connection, model)
    if present is None or present.sequence != expected_sequence:
        raise StaleChampionError(_changed(model, expected_sequence, present))
    return present


def roll_back(
    engine: Engine, model: str, *, reason: str, actor: str, at: datetime, expected_sequence: int | None = None
) -> Champion:
    """Return to the champion before the current one, as a new entry.

    After v1, v2, v3 the first call returns to v2 and the next to v1: a version that was rolled back is skipped.

    Parameters
    ----------
    reason, actor, at
        As in :class:`Champion`.
    expected_sequence
        Sequence of the entry to roll back, so that two simultaneous calls go back one step and not two; None for the
        current entry.

    Raises
    ------
    PromotionError
        There is no predecessor.
    StaleChampionError
        The current entry is not the expected one.
    """
    with writing(engine) as connection:
        return roll_back_in(connection, model, reason=reason, actor=actor, at=at, expected_sequence=expected_sequence)


def roll_back_in(
    connection: Connection, model: str, *, reason: str, actor: str, at: datetime, expected_sequence: int | None = None
) -> Champion:
    """Return to the champion before within a transaction, see :func:`roll_back`."""
    present = newest_entry(connection, model)
    if present is None or present.below is None:
        raise PromotionError(_no_predecessor(model, present))
    if expected_sequence not in (None, present.sequence):
        raise StaleChampionError(_changed(model, expected_sequence or 0, present))
    target = _entry(connection, model, present.below)
    entry = Champion(
        model,
        present.sequence + 1,
        target.version,
        target.below,
        "rollback",
        reason,
        actor,
        _not_before(present, at),
    )
    if (found := _inserted(connection, entry, present)) != entry:
        raise StaleChampionError(_changed(model, present.sequence, found))
    return found


def predecessor(engine: Engine, model: str) -> Champion | None:
    """Return the entry that a rollback would return to; None if there is none."""
    return next(iter(predecessors(engine, model, 1)), None)


def predecessors(engine: Engine, model: str, limit: int) -> list[Champion]:
    """Return the entries that rollbacks in a row would return to, the next one first; at most ``limit``."""
    found: list[Champion] = []
    with reading(engine) as connection:
        entry = newest_entry(connection, model)
        while entry is not None and entry.below is not None and len(found) < limit:
            entry = _entry(connection, model, entry.below)
            found.append(entry)
    return found


def record_verdict(engine: Engine, verdict: RecordedVerdict) -> RecordedVerdict:
    """Record a verdict and return the stored one: of two verdicts with the same number the first is kept."""
    with writing(engine) as connection:
        upsert(connection, VerdictRow, [asdict(verdict)], replace=())
        chosen = _verdicts(verdict.model).where(
            VerdictRow.version == verdict.version,
            VerdictRow.champion_sequence == verdict.champion_sequence,
            VerdictRow.number == verdict.number,
        )
        return RecordedVerdict(**connection.execute(chosen).mappings().one())


def find_verdict(
    engine: Engine, model: str, version: int, champion_sequence: int | None = None
) -> RecordedVerdict | None:
    """Return the verdict in force on a version against a champion's entry; by default the newest entry it met."""
    chosen = _verdicts(model).where(VerdictRow.version == version)
    if champion_sequence is not None:
        chosen = chosen.where(VerdictRow.champion_sequence == champion_sequence)
    with reading(engine) as connection:
        newest = (VerdictRow.champion_sequence.desc(), VerdictRow.number.desc())
        row = connection.execute(chosen.order_by(*newest).limit(1)).mappings().first()
        return None if row is None else RecordedVerdict(**row)


def verdicts_against(engine: Engine, model: str, champion_sequence: int) -> list[RecordedVerdict]:
    """Return the verdicts against one champion's entry, oldest first. Each is a look at the holdout in its tenure."""
    chosen = _verdicts(model).where(VerdictRow.champion_sequence == champion_sequence)
    with reading(engine) as connection:
        order = (VerdictRow.judged_at, VerdictRow.version, VerdictRow.number)
        found = connection.execute(chosen.order_by(*order)).mappings()
        return [RecordedVerdict(**row) for row in found]


def record_review(engine: Engine, review: Review) -> None:
    """Record a review, unless it repeats the version's newest review."""
    with writing(engine) as connection:
        _record_review(connection, review)


def reviews(engine: Engine, model: str, version: int | None = None) -> list[Review]:
    """Return the reviews of a model's versions, or of one version, oldest first."""
    with reading(engine) as connection:
        return _reviews(connection, model, version)


def waiting_version(engine: Engine, model: str) -> int | None:
    """Return the newest version that waits for a review; None if none does.

    The gate decided ``promote`` against the current champion in mode ``manual``, and the version has no review and was
    not released.
    """
    with reading(engine) as connection:
        return _waiting(connection, model, newest_entry(connection, model))


def standing(engine: Engine, model: str) -> Standing:
    """Return the versions that MLflow's aliases should name."""
    with reading(engine) as connection:
        present = newest_entry(connection, model)
        challenger = _released(connection, model) or _waiting(connection, model, present)
        if present is None:
            return Standing(0, None, None, challenger)
        previous = None if present.below is None else _entry(connection, model, present.below).version
        return Standing(present.sequence, present.version, previous, challenger)


def is_projected(engine: Engine, model: str, wanted: Standing) -> bool:
    """Return whether MLflow's aliases are recorded as set to this."""
    chosen = select(ProjectionRow.sequence, ProjectionRow.challenger).where(ProjectionRow.model == model)
    with reading(engine) as connection:
        return connection.execute(chosen).one_or_none() == (wanted.sequence, wanted.challenger)


def forget_projection(engine: Engine, model: str) -> None:
    """Delete the record of MLflow's aliases before they are set: if the process dies, their state is unknown."""
    with writing(engine) as connection:
        connection.execute(delete(ProjectionRow).where(ProjectionRow.model == model))


def record_projection(engine: Engine, model: str, projected: Standing, at: datetime) -> None:
    """Record what MLflow's aliases were set to."""
    row = {"model": model, "sequence": projected.sequence, "challenger": projected.challenger, "at": at}
    with writing(engine) as connection:
        upsert(connection, ProjectionRow, [row], replace=("sequence", "challenger", "at"))


def _entries(model: str) -> Select[Any]:
    return select(ChampionRow.__table__).where(ChampionRow.model == model).order_by(ChampionRow.sequence)


def _verdicts(model: str) -> Select[Any]:
    return select(VerdictRow.__table__).where(VerdictRow.model == model)


def newest_entry(connection: Connection, model: str) -> Champion | None:
    """Return the current champion's entry within a transaction; None if there is none."""
    chosen = _entries(model).order_by(None).order_by(ChampionRow.sequence.desc()).limit(1)
    row = connection.execute(chosen).mappings().first()
    return None if row is None else Champion(**row)


def _entry(connection: Connection, model: str, sequence: int) -> Champion:
    return Champion(**connection.execute(_entries(model).where(ChampionRow.sequence == sequence)).mappings().one())


def _inserted(connection: Connection, entry: Champion, before: Champion | None) -> Champion:
    """Insert an entry unless its sequence is taken, and return the entry stored at that sequence."""
    upsert(connection, ChampionRow, [asdict(entry)], replace=())
    found = _entry(connection, entry.model, entry.sequence)
    if found == entry and entry.kind == "approval":
        review = Review(entry.model, entry.version, "approved", entry.reason, entry.actor, entry.at)
        _record_review(connection, review)
    if found == entry and entry.kind != "adopted":
        facts = {name: getattr(entry, name) for name in ("sequence", "version", "kind", "reason", "actor", "at")}
        record_event(connection, champion_changed(entry.model, previous=before.version if before else None, **facts))
    return found


def _is_repeat(present: Champion, version: int, expected_sequence: int, kind: Kind) -> bool:
    return (present.sequence, present.version, present.kind) == (expected_sequence + 1, version, kind)


def _not_before(present: Champion | None, at: datetime) -> datetime:
    # Clocks of two machines differ; the history is ordered by its sequence, and its times must not contradict it.
    return max(at, present.at) if present else at


def _record_review(connection: Connection, review: Review) -> None:
    known = _reviews(connection, review.model, review.version)
    if known and (known[-1].action, known[-1].reason, known[-1].actor) == (review.action, review.reason, review.actor):
        return
    connection.execute(insert(ReviewRow).values(asdict(review)))


def _reviews(connection: Connection, model: str, version: int | None) -> list[Review]:
    fields = [getattr(ReviewRow, name) for name in Review.__dataclass_fields__]
    chosen = select(*fields).where(ReviewRow.model == model).order_by(ReviewRow.id)
    if version is not None:
        chosen = chosen.where(ReviewRow.version == version)
    return [Review(**row) for row in connection.execute(chosen).mappings()]


def _waiting(connection: Connection, model: str, present: Champion | None) -> int | None:
    reviewed = select(ReviewRow.version).where(ReviewRow.model == model)
    sequence = present.sequence if present else 0
    released = select(ReleaseRow.version).filter_by(model=model, champion_sequence=sequence)
    against = (VerdictRow.model == model, VerdictRow.champion_sequence == sequence)
    newest = select(VerdictRow.version, func.max(VerdictRow.number)).where(*against).group_by(VerdictRow.version)
    chosen = select(VerdictRow.version).where(
        *against,
        tuple_(VerdictRow.version, VerdictRow.number).in_(newest),
        VerdictRow.decision == "promote",
        VerdictRow.mode == "manual",
        VerdictRow.version.not_in(reviewed),
        VerdictRow.version.not_in(released),
        VerdictRow.version != (present.version if present else 0),
    )
    return connection.scalar(chosen.order_by(VerdictRow.version.desc()).limit(1))


def _released(connection: Connection, model: str) -> int | None:
    """Return the version whose release runs and that is not champion yet."""
    newest = (
        select(ReleaseStepRow.number, ReleaseStepRow.stage)
        .where(ReleaseStepRow.model == model)
        .order_by(ReleaseStepRow.number.desc(), ReleaseStepRow.sequence.desc())
        .limit(1)
    )
    state = connection.execute(newest).first()
    if state is None or state.stage in ("bake", "over"):
        return None
    place = (ReleaseRow.model == model, ReleaseRow.number == state.number)
    return connection.scalar(select(ReleaseRow.version).where(*place))


def _changed(model: str, expected_sequence: int, present: Champion | None) -> str:
    seen = f"entry {expected_sequence} of its history" if expected_sequence else "no champion"
    now = f"version {present.version} (entry {present.sequence}, by {present.actor})" if present else "none"
    return (
        f"the champion of {model!r} changed meanwhile: the decision was made against {seen}, "
        f"but the champion is now {now}. See 'perennial history {model}', then run the same command again"
    )


def _no_predecessor(model: str, present: Champion | None) -> str:
    if present is None:
        return f"{model!r} has no champion, so there is nothing to roll back; see 'perennial history {model}'"
    return (
        f"{model!r} has no champion before version {present.version} to return to; "
        f"to make another version champion, run: perennial approve {model}@VERSION --reason … --override"
    )

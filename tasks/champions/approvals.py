"""Approve, reject and roll back versions; MLflow's aliases are updated after the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from config.settings import Settings
from core.errors import ConfigError, ModelNotFoundError, PromotionError
from core.text import readable
from store.champions import (
    Champion,
    Review,
    current_champion,
    find_verdict,
    predecessor,
    record_review,
    roll_back,
    start_tenure,
)
from store.database import open_database
from store.releases.releases import running_release
from tasks.champions.aliases import project, repair
from tasks.champions.history import known_engine
from tasks.registry.contents import registry_contents
from tasks.registry.fetch import pruned_reason
from tasks.registry.records import recorded_version
from tasks.registry.versions import registered_in_mlflow, version_number
from tasks.runs.actor import actor

MAX_REASON = 2_000


@dataclass(frozen=True)
class Move:
    """Result of an approval or a rollback.

    Parameters
    ----------
    entry
        The present champion's entry.
    replaced
        Version that was champion before; None if there was none, or if nothing changed.
    moved
        False if the version was already champion.
    """

    entry: Champion
    replaced: int | None
    moved: bool

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return {**self.entry.to_dict(), "replaced": self.replaced, "moved": self.moved}


def approve(model: str, selector: str, reason: str, settings: Settings, *, override: bool = False) -> Move:
    """Make a version champion by a person's approval; a repeat changes nothing.

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
    override
        Promote against the gate; the gate's objection is added to the reason.

    Raises
    ------
    PromotionError
        The gate did not judge the version against the present champion or refused it, or serving cannot use it.
    ModelNotFoundError
        No such model or version.
    BundleError
        This project did not register the version, or its verdict and its registration name different bundles;
        ``override`` does not change that.
    """
    version, present = asked(model, selector, reason, settings)
    return make_champion(model, version, present, reason, settings, override=override)


def asked(model: str, selector: str, reason: str, settings: Settings) -> tuple[int, Champion | None]:
    """Return the version that an approval is about, and the present champion.

    Raises
    ------
    ConfigError
        The reason is empty, or no version is named.
    ModelNotFoundError
        No such model or version.
    """
    said_reason(reason)  # before anything is looked up: an empty one is the first thing to correct
    version = version_of(model, selector, settings)
    repair(model, settings)
    return version, current_champion(open_database(settings.database_url), model)


def make_champion(
    model: str, version: int, present: Champion | None, reason: str, settings: Settings, *, override: bool
) -> Move:
    """Make a version champion over the present one, see :func:`approve`."""
    if present and present.version == version:
        return Move(present, None, moved=False)
    entry = start_tenure(
        open_database(settings.database_url),
        model,
        version,
        expected_sequence=present.sequence if present else 0,
        kind="approval",
        reason=checked_reason(model, version, reason, settings, override=override),
        actor=actor(),
        at=datetime.now(UTC),
    )
    project(model, settings)
    return Move(entry, present.version if present else None, moved=True)


def checked_reason(model: str, version: int, reason: str, settings: Settings, *, override: bool) -> str:
    """Return the reason of an approval for the history, with the gate's objection if it is overridden.

    Raises
    ------
    ConfigError
        The reason is empty.
    PromotionError
        The version cannot be loaded, or the gate objects and is not overridden.
    """
    said, engine = said_reason(reason), open_database(settings.database_url)
    check_loadable(model, version, settings)
    objection = _objection(engine, current_champion(engine, model), model, version)
    if objection and not override:
        raise PromotionError(_refusal(model, version, objection))
    return f"{said} [override: {objection}]" if objection else said


def reject(model: str, selector: str, reason: str, settings: Settings) -> Review:
    """Record a person's rejection of a version; it no longer waits for approval. A repeat records nothing new.

    Raises
    ------
    PromotionError
        The version is champion, or it is being released.
    ModelNotFoundError
        No such model or version.
    """
    said, version = said_reason(reason), version_of(model, selector, settings)
    engine = open_database(settings.database_url)
    repair(model, settings)
    present = current_champion(engine, model)
    if present and present.version == version:
        raise PromotionError(
            f"version {version} is the champion of {model!r}; to replace it: perennial rollback {model} --reason …"
        )
    running = running_release(engine, model)
    if running is not None and running.release.version == version:
        raise PromotionError(
            f"version {version} of {model!r} is being released (release {running.release.number}); end that first: "
            f"perennial release {model} abort --reason …"
        )
    review = Review(model, version, "rejected", said, actor(), datetime.now(UTC))
    record_review(engine, review)
    project(model, settings)
    return review


def rollback(model: str, reason: str, settings: Settings) -> Move:
    """Return to the champion before the present one.

    Two concurrent calls go back one step, not two.

    Raises
    ------
    PromotionError
        There is no predecessor, or retention removed its files.
    ModelNotFoundError
        No such model, or MLflow no longer has the predecessor.
    StaleChampionError
        The champion changed in the meantime.
    """
    said, engine = said_reason(reason), known_engine(model, settings)
    repair(model, settings)
    present, target = current_champion(engine, model), predecessor(engine, model)
    if target is not None:
        _check_returnable(model, target.version, settings)
    entry = roll_back(
        engine,
        model,
        reason=said,
        actor=actor(),
        at=datetime.now(UTC),
        expected_sequence=present.sequence if present else None,
    )
    project(model, settings)
    return Move(entry, present.version if present else None, moved=True)


def version_of(model: str, selector: str, settings: Settings) -> int:
    """Return the version that a person names by its number or an alias.

    Raises
    ------
    ConfigError
        None is named.
    ModelNotFoundError
        There is no such model or version.
    """
    if not selector:
        raise ConfigError(f"name the version: {readable(model)}@VERSION")
    return version_number(model, selector, settings)


def _check_returnable(model: str, version: int, settings: Settings) -> None:
    """Refuse a predecessor that is gone, and name the way to another champion."""
    other = (
        f"To make another version champion ('perennial history {model}' lists the former ones): "
        f"perennial approve {model}@VERSION --reason … --override"
    )
    try:
        version_number(model, str(version), settings)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(f"the previous champion no longer exists in MLflow: {error}. {other}") from error
    try:
        check_loadable(model, version, settings)
    except PromotionError as error:
        raise PromotionError(f"{error}. {other}") from error


def _objection(engine: Engine, present: Champion | None, model: str, version: int) -> str:
    """Return why a version may not be approved; empty if it may."""
    from core.gate.decision import GateVerdict

    recorded = find_verdict(engine, model, version)
    if recorded is None:
        return f"the gate has not judged version {version}"
    if recorded.champion_sequence != (present.sequence if present else 0):
        then, now = _champion_text(recorded.champion), _champion_text(present.version if present else None)
        return f"version {version} was judged against {then}; the champion is now {now}"
    verdict = GateVerdict.from_json(recorded.document)
    if verdict.decision == "keep":
        return verdict.reasons[0]
    if verdict.serving is None or not verdict.serving.passed:
        if verdict.rehearse_again:
            busy = f"the machine was too busy to rehearse the serving of version {version}"
            return f"{busy}; rehearse it again with perennial judge {model}@{version}"
        reasons = verdict.serving.reasons if verdict.serving else ("it was not rehearsed",)
        return f"version {version} may not be served: {'; '.join(reasons)}"
    return ""


def check_loadable(model: str, version: int, settings: Settings) -> None:
    """Refuse a version that this project did not register, or whose files retention removed, also by an override."""
    contents = registry_contents(settings)
    found = registered_in_mlflow(contents, model, version)
    if reason := pruned_reason(found, recorded_version(contents, found, settings)):
        raise PromotionError(reason)


def _champion_text(version: int | None) -> str:
    return "no champion" if version is None else f"version {version}"


def _refusal(model: str, version: int, objection: str) -> str:
    return (
        f"{objection}. To make version {version} champion anyway, with a recorded override: "
        f"perennial approve {model}@{version} --reason … --override"
    )


def said_reason(reason: str) -> str:
    """Return a person's reason as it is kept in the history.

    Raises
    ------
    ConfigError
        It is empty.
    """
    said = readable(reason.strip(), MAX_REASON)
    if not said:
        raise ConfigError("--reason is empty; give the reason in a sentence: it is kept in the history")
    return said

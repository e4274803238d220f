"""Promotion beyond the database: MLflow's aliases follow it, and people approve, reject and roll back."""

from __future__ import annotations

import getpass
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from config.load import model_names
from config.settings import Settings
from core.errors import ConfigError, ModelNotFoundError, PromotionError, StaleChampionError, StorageError
from core.text import readable
from store.champions import (
    Champion,
    Review,
    Standing,
    champion_at,
    champion_history,
    current_champion,
    find_verdict,
    forget_projection,
    is_projected,
    predecessor,
    record_projection,
    record_review,
    reviews,
    roll_back,
    standing,
    take_office,
    waiting_version,
)
from store.database import open_database
from tasks.mlflow_client import mlflow_client, mlflow_failures
from tasks.register import CHALLENGER, CHAMPION, MANIFEST, PREVIOUS
from tasks.registry import is_empty, registered_models, version_number

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger("perennial.champions")

MAX_REASON = 2_000


@dataclass(frozen=True)
class Move:
    """What a promotion or a rollback by hand came to.

    Parameters
    ----------
    entry
        The present champion's entry.
    replaced
        Version that was champion before; None where there was none, or where nothing moved.
    moved
        False where the version was champion already.
    """

    entry: Champion
    replaced: int | None
    moved: bool

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return {**self.entry.to_dict(), "replaced": self.replaced, "moved": self.moved}


@dataclass(frozen=True)
class Reign:
    """A time in office; ``until`` is None for the present champion."""

    entry: Champion
    until: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return {**self.entry.to_dict(), "until": self.until and self.until.isoformat()}


@dataclass(frozen=True)
class OfficeHistory:
    """Who was champion of a model when, why, by whose hand.

    Parameters
    ----------
    model
        Name of the model.
    moment
        The moment asked for; None for the whole history.
    reigns
        Oldest first; at a moment the one of that moment, or none.
    reviews
        What people said of versions, oldest first; none at a moment.
    waiting
        Version that waits for a person; None at a moment.
    """

    model: str
    moment: datetime | None
    reigns: tuple[Reign, ...]
    reviews: tuple[Review, ...] = ()
    waiting: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return {
            "model": self.model,
            "at": self.moment and self.moment.isoformat(),
            "champions": [reign.to_dict() for reign in self.reigns],
            "reviews": [review.to_dict() for review in self.reviews],
            "waiting": self.waiting,
        }


def project(model: str, settings: Settings) -> Standing:
    """Set MLflow's aliases ``champion``, ``previous`` and ``challenger`` to what the database says.

    A repeat writes nothing that is right already. What MLflow should say is read again after it was written, and
    written again where somebody moved it meanwhile, so the last writer leaves the newest. Whoever dies in between has
    said before that the aliases are unknown. Other aliases are not touched; a version that MLflow no longer has is
    left out with a warning.

    Raises
    ------
    StorageError
        MLflow or the database failed; the next command tries again.
    """
    engine, client = open_database(settings.database_url), mlflow_client(settings)
    with _alone(model, settings):
        while True:
            wanted = standing(engine, model)
            forget_projection(engine, model)
            with mlflow_failures(settings):
                _set_aliases(client, model, wanted)
            if standing(engine, model) == wanted:
                record_projection(engine, model, wanted, datetime.now(UTC))
                return wanted


def repair(model: str, settings: Settings, *, thorough: bool = False) -> None:
    """Make up for what a killed command left undone between the database and MLflow.

    A registry from before the gate has its champion in MLflow alone: that version is adopted. Where the database says
    that MLflow was told everything, MLflow is not even imported.

    Parameters
    ----------
    thorough
        Look at MLflow's aliases nonetheless: somebody may have moved them by hand.
    """
    if is_empty(settings):
        return
    engine = open_database(settings.database_url)
    wanted = standing(engine, model)
    if not wanted.sequence and model not in model_names(settings.root):
        return  # in a shared registry, other projects' aliases are not ours to move
    if not thorough and is_projected(engine, model, wanted):
        return
    if not wanted.sequence:
        _adopt(engine, model, settings)
    project(model, settings)


def repair_all(settings: Settings) -> None:
    """Repair every registered model, see :func:`repair`."""
    for model in registered_models(settings):
        repair(model, settings, thorough=True)


def approve(model: str, selector: str, reason: str, settings: Settings, *, override: bool = False) -> Move:
    """Make a version champion by a person's word; a repeat finds it in office.

    Parameters
    ----------
    selector
        A version number or an alias.
    reason
        Why; it stays in the history.
    override
        Promote against the gate; what the gate objects is added to the reason.

    Raises
    ------
    PromotionError
        The gate did not judge the version against the present champion, says no, or serving cannot use it.
    ModelNotFoundError
        No such model or version.
    """
    said, version = _said(reason), _version(model, selector, settings)
    engine = open_database(settings.database_url)
    repair(model, settings)
    present = current_champion(engine, model)
    if present and present.version == version:
        return Move(present, None, moved=False)
    objection = _objection(engine, present, model, version, settings)
    if objection and not override:
        raise PromotionError(_refusal(model, version, objection))
    entry = take_office(
        engine,
        model,
        version,
        expected_sequence=present.sequence if present else 0,
        kind="approval",
        reason=f"{said} [override: {objection}]" if objection else said,
        actor=actor(),
        at=datetime.now(UTC),
    )
    project(model, settings)
    return Move(entry, present.version if present else None, moved=True)


def reject(model: str, selector: str, reason: str, settings: Settings) -> Review:
    """Record that a person does not want a version; it waits no longer. A repeat records nothing new.

    Raises
    ------
    PromotionError
        The version is champion.
    ModelNotFoundError
        No such model or version.
    """
    said, version = _said(reason), _version(model, selector, settings)
    engine = open_database(settings.database_url)
    repair(model, settings)
    present = current_champion(engine, model)
    if present and present.version == version:
        raise PromotionError(
            f"version {version} is the champion of {model!r}; to take it back: perennial rollback {model} --reason …"
        )
    review = Review(model, version, "rejected", said, actor(), datetime.now(UTC))
    record_review(engine, review)
    project(model, settings)
    return review


def rollback(model: str, reason: str, settings: Settings) -> Move:
    """Return to the champion before the present one.

    Two people who do it at once go back one step, not two.

    Raises
    ------
    PromotionError
        There is no predecessor.
    ModelNotFoundError
        No such model, or MLflow no longer has the predecessor.
    StaleChampionError
        The champion changed meanwhile.
    """
    said, engine = _said(reason), _known(model, settings)
    repair(model, settings)
    present, target = current_champion(engine, model), predecessor(engine, model)
    if target is not None:
        _check_kept(model, target.version, settings)
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


def history(model: str, settings: Settings, at: str | None = None) -> OfficeHistory:
    """Tell who was champion when, from the database alone.

    Parameters
    ----------
    at
        A moment in ISO 8601, of the local zone where it names none; None for the whole history.

    Raises
    ------
    ConfigError
        The moment is none.
    ModelNotFoundError
        No such model.
    """
    moment = None if at is None else _moment(at)
    engine = _known(model, settings)
    entries = champion_history(engine, model)
    ends = [entry.at for entry in entries[1:]] + [None]
    reigns = tuple(Reign(entry, until) for entry, until in zip(entries, ends, strict=False))
    if moment is None:
        return OfficeHistory(model, None, reigns, tuple(reviews(engine, model)), waiting_version(engine, model))
    held = champion_at(engine, model, moment)
    return OfficeHistory(model, moment, tuple(reign for reign in reigns if reign.entry == held))


def actor() -> str:
    """Whoever runs this process, as ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = f"uid {os.getuid()}"
    return readable(f"{user}@{socket.gethostname()}", 200)


def _set_aliases(client: MlflowClient, model: str, wanted: Standing) -> None:
    held = _aliases(client, model)
    for alias, version in ((CHAMPION, wanted.champion), (PREVIOUS, wanted.previous), (CHALLENGER, wanted.challenger)):
        if version == held.get(alias) or (version is not None and _set_alias(client, model, alias, version)):
            continue
        if alias in held:
            client.delete_registered_model_alias(model, alias)


def _set_alias(client: MlflowClient, model: str, alias: str, version: int) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.set_registered_model_alias(model, alias, str(version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        logger.warning("%s of %s is version %d, which MLflow no longer has: no alias is set", alias, model, version)
        return False
    return True


def _aliases(client: MlflowClient, model: str) -> dict[str, int]:
    from mlflow.exceptions import MlflowException

    try:
        return {alias: int(version) for alias, version in client.get_registered_model(model).aliases.items()}
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise


def _adopt(engine: Engine, model: str, settings: Settings) -> None:
    client = mlflow_client(settings)
    with mlflow_failures(settings):
        held = _aliases(client, model).get(CHAMPION)
        # What Perennial did not register cannot be compared with, so it is no champion of ours.
        if held is None or MANIFEST not in client.get_model_version(model, str(held)).tags:
            return
    with suppress(StaleChampionError):  # another command adopted or promoted first
        take_office(
            engine,
            model,
            held,
            expected_sequence=0,
            kind="adopted",
            reason=f"version {held} had MLflow's alias champion when this history began",
            actor=actor(),
            at=datetime.now(UTC),
        )


@contextmanager
def _alone(model: str, settings: Settings) -> Iterator[None]:
    """Keep other processes of this machine from setting the same aliases; ends with the process."""
    from filelock import FileLock

    path = settings.var / "locks" / f"{model}.aliases.lock"
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise StorageError(f"the lock {path} cannot be taken: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _known(model: str, settings: Settings) -> Engine:
    engine = open_database(settings.database_url)
    if model not in model_names(settings.root) and current_champion(engine, model) is None:
        known = ", ".join(model_names(settings.root)) or "none yet"
        raise ModelNotFoundError(f"there is no model {readable(model)!r}; models here: {known}")
    return engine


def _version(model: str, selector: str, settings: Settings) -> int:
    if not selector:
        raise ConfigError(f"name the version: {readable(model)}@VERSION")
    return version_number(model, selector, settings)


def _check_kept(model: str, version: int, settings: Settings) -> None:
    try:
        version_number(model, str(version), settings)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"the champion before the present one is gone from MLflow: {error}. To put another version in its place: "
            f"perennial approve {model}@VERSION --reason … --override"
        ) from error


def _objection(engine: Engine, present: Champion | None, model: str, version: int, settings: Settings) -> str:
    """Why a version may not be approved; empty where it may."""
    from core.gate import GateVerdict

    recorded = find_verdict(engine, model, version)
    if recorded is None:
        return f"the gate has not judged version {version}"
    if recorded.manifest != _manifest(model, version, settings):
        return f"the verdict on record is about another bundle than MLflow's version {version}"
    if recorded.champion_sequence != (present.sequence if present else 0):
        then, now = _office(recorded.champion), _office(present.version if present else None)
        return f"version {version} was judged when {then} was in office, and now it is {now}"
    verdict = GateVerdict.from_dict(json.loads(recorded.document))
    if verdict.decision == "keep":
        return verdict.reasons[0]
    if verdict.serving is None or not verdict.serving.passed:
        reasons = verdict.serving.reasons if verdict.serving else ("it was not rehearsed",)
        return f"version {version} may not be served: {'; '.join(reasons)}"
    return ""


def _manifest(model: str, version: int, settings: Settings) -> str:
    client = mlflow_client(settings)
    with mlflow_failures(settings):
        return str(client.get_model_version(model, str(version)).tags.get(MANIFEST, ""))


def _office(version: int | None) -> str:
    return "no champion" if version is None else f"version {version}"


def _refusal(model: str, version: int, objection: str) -> str:
    return (
        f"{objection}. To make version {version} champion nonetheless, on record: "
        f"perennial approve {model}@{version} --reason … --override"
    )


def _said(reason: str) -> str:
    said = readable(reason.strip(), MAX_REASON)
    if not said:
        raise ConfigError("--reason is empty; say in a sentence why: it stays in the history")
    return said


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"--at expects a moment such as 2026-03-01, 2026-03-01T12:30 or 2026-03-01T12:30+01:00, "
            f"found {readable(text)!r}"
        ) from error

"""Who was champion when, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from config.load import model_names
from config.settings import Settings
from core.errors import ConfigError, ModelNotFoundError
from core.text import readable
from store.champions import (
    Champion,
    Review,
    champion_at,
    champion_history,
    current_champion,
    reviews,
    waiting_version,
)
from store.database import open_database

if TYPE_CHECKING:
    pass


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
    engine = known_engine(model, settings)
    entries = champion_history(engine, model)
    ends = [entry.at for entry in entries[1:]] + [None]
    reigns = tuple(Reign(entry, until) for entry, until in zip(entries, ends, strict=False))
    if moment is None:
        return OfficeHistory(model, None, reigns, tuple(reviews(engine, model)), waiting_version(engine, model))
    held = champion_at(engine, model, moment)
    return OfficeHistory(model, moment, tuple(reign for reign in reigns if reign.entry == held))


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"--at expects a moment such as 2026-03-01, 2026-03-01T12:30 or 2026-03-01T12:30+01:00, "
            f"found {readable(text)!r}"
        ) from error


def known_engine(model: str, settings: Settings) -> Engine:
    """Operational database, where a model is known: it has a model file or had a champion.

    Raises
    ------
    ModelNotFoundError
        It is not.
    """
    engine = open_database(settings.database_url)
    if model not in model_names(settings.root) and current_champion(engine, model) is None:
        known = ", ".join(model_names(settings.root)) or "none yet"
        raise ModelNotFoundError(f"there is no model {readable(model)!r}; models here: {known}")
    return engine

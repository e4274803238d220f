"""History of a model's champions: when, why and by which actor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

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
from store.releases.records import ReleaseState
from store.releases.releases import release_history


@dataclass(frozen=True)
class Tenure:
    """A time as champion; ``until`` is None for the present champion."""

    entry: Champion
    until: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return {**self.entry.to_dict(), "until": self.until and self.until.isoformat()}


@dataclass(frozen=True)
class TenureHistory:
    """Tenures and reviews of a model's versions.

    Parameters
    ----------
    model
        Name of the model.
    moment
        The requested moment; None for the whole history.
    tenures
        Oldest first; for a moment, the tenure at that moment or none.
    reviews
        Approvals and rejections, oldest first; empty for a moment.
    waiting
        Version that waits for approval; None for a moment.
    releases
        Releases, oldest first; empty for a moment.
    """

    model: str
    moment: datetime | None
    tenures: tuple[Tenure, ...]
    reviews: tuple[Review, ...] = ()
    waiting: int | None = None
    releases: tuple[ReleaseState, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return {
            "model": self.model,
            "at": self.moment and self.moment.isoformat(),
            "champions": [tenure.to_dict() for tenure in self.tenures],
            "reviews": [review.to_dict() for review in self.reviews],
            "waiting": self.waiting,
            "releases": [_release(state) for state in self.releases],
        }


def history(model: str, settings: Settings, at: str | None = None) -> TenureHistory:
    """Return the tenures of a model's champions, from the database alone.

    Parameters
    ----------
    at
        A moment in ISO 8601, in the local time zone unless it names one; None for the whole history.

    Raises
    ------
    ConfigError
        ``at`` is not a moment.
    ModelNotFoundError
        No such model.
    """
    moment = None if at is None else _moment(at)
    engine = known_engine(model, settings)
    entries = champion_history(engine, model)
    ends = [entry.at for entry in entries[1:]] + [None]
    tenures = tuple(Tenure(entry, until) for entry, until in zip(entries, ends, strict=False))
    if moment is None:
        said, waiting = tuple(reviews(engine, model)), waiting_version(engine, model)
        return TenureHistory(model, None, tenures, said, waiting, tuple(release_history(engine, model)))
    held = champion_at(engine, model, moment)
    return TenureHistory(model, moment, tuple(tenure for tenure in tenures if tenure.entry == held))


def _release(state: ReleaseState) -> dict[str, Any]:
    about = {"release": state.release.number, "version": state.release.version, "champion": state.release.champion}
    return {**about, "running": not state.is_over, "steps": [step.to_dict() for step in state.steps]}


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"--at expects a moment such as 2026-03-01, 2026-03-01T12:30 or 2026-03-01T12:30+01:00, "
            f"found {readable(text)!r}"
        ) from error


def known_engine(model: str, settings: Settings) -> Engine:
    """Open the operational database for a known model: it has a model file or had a champion.

    Raises
    ------
    ModelNotFoundError
        The model has neither.
    """
    engine = open_database(settings.database_url)
    if model not in model_names(settings.root) and current_champion(engine, model) is None:
        known = ", ".join(model_names(settings.root)) or "none yet"
        raise ModelNotFoundError(f"there is no model {readable(model)!r}; models here: {known}")
    return engine

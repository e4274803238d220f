"""Whether nothing is left to do for a registered version: what the operational database records of it.

A command asks this before it imports anything that computes, so documents of verdicts are read as they are recorded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from config.load import rules_hash
from config.schema import ModelConfig
from config.settings import Settings
from core.errors import StorageError
from store.champions import (
    RecordedVerdict,
    champion_history,
    current_champion,
    find_verdict,
    reviews,
    standing,
)
from store.database import open_database
from store.releases.releases import was_released

if TYPE_CHECKING:
    from core.gate.decision import Decision


@dataclass(frozen=True)
class RecordedRefusal:
    """A verdict that was not positive: its decision and its reasons."""

    decision: Decision
    reasons: tuple[str, ...]


def is_settled(config: ModelConfig, version: int, manifest: str, settings: Settings) -> bool:
    """Return whether nothing is left to do for a version that was registered before.

    A settled version was champion, or was reviewed by a person, or was judged by the present rules and its verdict was
    carried out: it is or was being released, or there was nothing to do. A version is not settled if its run was killed
    before that, if it was judged by other rules, if the machine was too busy to rehearse its serving, if it waits for
    the end of another release, or if it waits for approval and the champion has changed since its verdict.

    Parameters
    ----------
    config
        Holds the present rules.
    manifest
        SHA-256 of its bundle's manifest, from the registry.
    settings
        Names the operational database.

    Raises
    ------
    StorageError
        The recorded verdict is about another bundle with this version number.
    """
    engine = open_database(settings.database_url)
    verdict = find_verdict(engine, config.model, version)
    if verdict is not None:
        check_bundle(verdict, manifest)
    if any(entry.version == version for entry in champion_history(engine, config.model)):
        return True
    if reviews(engine, config.model, version):
        return True
    return verdict is not None and verdict.rules == rules_hash(config) and _is_carried_out(engine, verdict)


def check_bundle(verdict: RecordedVerdict, manifest: str) -> None:
    """Refuse a version whose bundle is not the one that was judged under its number.

    Raises
    ------
    StorageError
        The bundle differs, because the registry was replaced.
    """
    if verdict.manifest != manifest:
        raise StorageError(
            f"version {verdict.version} of {verdict.model!r} in MLflow is not the bundle that was judged under this "
            "number: the registry was replaced. Restore it, or move the operational database aside "
            "(PERENNIAL_DATABASE_URL)"
        )


def refusal_on_record(model: str, version: int, settings: Settings) -> RecordedRefusal | None:
    """Return the last verdict on a version if it was not positive and no person made the version champion since."""
    engine = open_database(settings.database_url)
    recorded = find_verdict(engine, model, version)
    if recorded is None or recorded.decision == "promote":
        return None
    if any(entry.version == version for entry in champion_history(engine, model)):
        return None
    reasons = json.loads(recorded.document).get("reasons", ())
    return RecordedRefusal(recorded.decision, tuple(reasons))


def alias_and_champion(model: str, version: int, settings: Settings) -> tuple[str | None, int | None]:
    """Return a version's alias (``champion``, ``challenger``, ``previous`` or None) and the champion's version."""
    now = standing(open_database(settings.database_url), model)
    held = {"champion": now.champion, "challenger": now.challenger, "previous": now.previous}
    return next((alias for alias, number in held.items() if number == version), None), now.champion


def awaits_rehearsal(verdict: RecordedVerdict) -> bool:
    """Return whether the serving was not measured because the machine was busy, and no other check decided."""
    serving = json.loads(verdict.document).get("serving") if verdict.decision == "undecided" else None
    return serving is not None and serving.get("passed") is None


def _is_carried_out(engine: Engine, verdict: RecordedVerdict) -> bool:
    if verdict.decision != "promote" or verdict.mode == "dry_run":
        return not awaits_rehearsal(verdict)
    if was_released(engine, verdict.model, verdict.version, verdict.champion_sequence):
        return True
    champion = current_champion(engine, verdict.model)
    return verdict.mode == "manual" and verdict.champion_sequence == (champion.sequence if champion else 0)

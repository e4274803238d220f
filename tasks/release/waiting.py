"""Versions that passed the gate and wait for the end of another version's release."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

from config.load import load_model_config, rules_hash
from config.settings import Settings
from core.errors import StaleChampionError
from core.release.outcome import ReleaseOutcome
from store.champions import RecordedVerdict, current_champion, reviews, verdicts_against
from store.database import open_database
from store.releases.releases import running_release, was_released
from tasks.release.begin import begin, way_of

_logger = logging.getLogger("perennial.release")


def start_waiting(outcome: ReleaseOutcome, settings: Settings) -> ReleaseOutcome:
    """Start the release of the newest version that waits for the end of another one; a repeat changes nothing.

    A version whose verdict is about an earlier champion does not start: the next training or ``perennial judge`` judges
    it again.

    Parameters
    ----------
    outcome
        Of the look after which no release runs.
    settings
        Names the database and the registry.
    """
    model = outcome.model
    found = waiting(model, settings)
    if found is None:
        return outcome
    config = load_model_config(settings.root, model)
    reason = json.loads(found.document)["reasons"][0]
    try:
        begin(config, found.version, found.champion_sequence, "gate", reason, settings)
    except StaleChampionError as error:
        _logger.info("%s", error)
        return outcome
    return replace(outcome, next_version=found.version)


def waiting(model: str, settings: Settings) -> RecordedVerdict | None:
    """Return the verdict of the newest version whose release may start now; None if there is none.

    Parameters
    ----------
    model
        Name of the model.
    settings
        Names the database and the model file.

    Raises
    ------
    ConfigError
        The model file is gone or not valid.
    """
    engine = open_database(settings.database_url)
    champion = current_champion(engine, model)
    if champion is None or running_release(engine, model) is not None:
        return None
    verdicts = [
        verdict
        for verdict in verdicts_against(engine, model, champion.sequence)
        if _passed(verdict)
        and not was_released(engine, model, verdict.version, champion.sequence)
        and not reviews(engine, model, verdict.version)
    ]
    if not verdicts:
        return None
    config = load_model_config(settings.root, model)
    rules = rules_hash(config)
    current = [verdict for verdict in verdicts if verdict.rules == rules]
    return current[-1] if current and way_of(config, current[-1].version, engine).kind == "staged" else None


def _passed(verdict: RecordedVerdict) -> bool:
    return verdict.decision == "promote" and verdict.mode == "enabled"

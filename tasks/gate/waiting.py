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
    engine, model = open_database(settings.database_url), outcome.model
    champion = current_champion(engine, model)
    if champion is None or running_release(engine, model) is not None:
        return outcome
    config = load_model_config(settings.root, model)
    rules = rules_hash(config)
    waiting = [
        verdict
        for verdict in verdicts_against(engine, model, champion.sequence)
        if _passed(verdict)
        and verdict.rules == rules
        and not was_released(engine, model, verdict.version, champion.sequence)
        and not reviews(engine, model, verdict.version)
    ]
    if not waiting or way_of(config, waiting[-1].version, engine).kind != "staged":
        return outcome
    verdict = waiting[-1]
    reason = json.loads(verdict.document)["reasons"][0]
    try:
        begin(config, verdict.version, champion.sequence, "gate", reason, settings)
    except StaleChampionError as error:
        _logger.info("%s", error)
        return outcome
    return replace(outcome, next_version=verdict.version)


def _passed(verdict: RecordedVerdict) -> bool:
    return verdict.decision == "promote" and verdict.mode == "enabled"

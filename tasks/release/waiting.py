"""Versions that passed the gate and wait for the end of another version's release."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

from sqlalchemy import Engine

from config.load import load_model_config, rules_hash
from config.settings import Settings
from core.errors import StaleChampionError
from core.release.outcome import ReleaseOutcome
from store.champions import RecordedVerdict, current_champion, reviews, verdicts_against
from store.database import open_database
from store.releases.releases import running_release, was_released
from tasks.champions.aliases import project
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
    verdict = waiting_verdict(engine, model, settings)
    if verdict is None:
        return outcome
    config, reason = load_model_config(settings.root, model), json.loads(verdict.document)["reasons"][0]
    try:
        begin(config, verdict.version, verdict.champion_sequence, "gate", reason, settings)
    except StaleChampionError as error:
        _logger.info("%s", error)
        return outcome
    return replace(outcome, next_version=verdict.version)


def waiting_verdict(engine: Engine, model: str, settings: Settings) -> RecordedVerdict | None:
    """Return the verdict on the newest version that waits and whose release can start now; None if there is none.

    Parameters
    ----------
    engine
        The operational database.
    model
        Name of the model.
    settings
        Names the folder of model files.

    Raises
    ------
    ConfigError
        A version waits, and the model file cannot be read.
    """
    champion = current_champion(engine, model)
    if champion is None or running_release(engine, model) is not None:
        return None
    passed = [
        verdict
        for verdict in verdicts_against(engine, model, champion.sequence)
        if verdict.decision == "promote"
        and verdict.mode == "enabled"
        and not was_released(engine, model, verdict.version, champion.sequence)
        and not reviews(engine, model, verdict.version)
    ]
    if not passed:
        return None
    config = load_model_config(settings.root, model)
    waiting = [verdict for verdict in passed if verdict.rules == rules_hash(config)]
    if not waiting or way_of(config, waiting[-1].version, engine).kind != "staged":
        return None
    return waiting[-1]


def go_on(outcome: ReleaseOutcome, settings: Settings) -> ReleaseOutcome:
    """Do what follows a look, as the flow does: MLflow's aliases, and the release of a version that waits."""
    if outcome.moved_champion:
        project(outcome.model, settings)
    return start_waiting(outcome, settings) if outcome.is_over else outcome

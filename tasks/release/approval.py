"""A person's approval: it starts a release where the model file stages, and else makes the version champion."""

from __future__ import annotations

from datetime import UTC, datetime

from config.load import load_model_config
from config.schema import ModelConfig
from config.settings import Settings
from core.errors import ReleaseError
from store.champions import Review, record_review
from store.database import open_database
from store.releases.records import ReleaseState
from tasks.champions.aliases import project
from tasks.champions.approvals import Move, asked, checked_reason, make_champion
from tasks.release.begin import begin, way_of
from tasks.release.ended import ending_release
from tasks.runs.actor import actor


def approve_version(
    model: str, selector: str, reason: str, settings: Settings, *, override: bool = False, direct: bool = False
) -> Move | ReleaseState:
    """Approve a version; a repeat changes nothing.

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
        Approve against the gate; its objection is added to the reason.
    direct
        Make it champion at once, whatever the model file says of releases.

    Returns
    -------
    Move or ReleaseState
        The change of the champion, or the release that was started.

    Raises
    ------
    PromotionError, ModelNotFoundError, BundleError
        As for :func:`tasks.champions.approvals.approve`.
    ReleaseError
        A release of another version runs.
    """
    version, present = asked(model, selector, reason, settings)
    if not direct and present is not None and present.version != version:
        config = load_model_config(settings.root, model)
        way = way_of(config, version, open_database(settings.database_url))
        if way.kind == "wait":
            raise ReleaseError(
                f"version {version} of {model!r} is not released yet: {way.reason}; abort that one first"
            )
        if way.kind == "staged":
            return _started(config, version, present.sequence, reason, settings, override=override)
    with ending_release(model, settings):
        return make_champion(model, version, present, reason, settings, override=override)


def _started(
    config: ModelConfig, version: int, champion_sequence: int, reason: str, settings: Settings, *, override: bool
) -> ReleaseState:
    model, engine = config.model, open_database(settings.database_url)
    said = checked_reason(model, version, reason, settings, override=override)
    state = begin(config, version, champion_sequence, "approval", said, settings)
    record_review(engine, Review(model, version, "approved", said, actor(), datetime.now(UTC)))
    project(model, settings)
    return state

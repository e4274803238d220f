"""Give a version that may be released its traffic: at once, or by the start of a release.

The order makes every step safe to repeat: a release of the same version that runs already is the one that is started.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import uuid4

from sqlalchemy import Engine

from config.schema import ModelConfig
from config.settings import Settings
from core.errors import ReleaseError
from core.release.plan import Stage
from store.champions import current_champion, expected_champion
from store.database import open_database
from store.registry.registrations import trusted_manifest
from store.releases.answers import was_served
from store.releases.records import Release, ReleaseState, StartKind
from store.releases.releases import Move, move_release, other_runs, running_release, start_release
from tasks.release.mesh import follow, prepare
from tasks.release.plans import recorded_plan
from tasks.runs.actor import actor

_logger = logging.getLogger("perennial.release")

RECENT = timedelta(days=1)
"""A model that the service answered within this time has traffic to observe."""


@dataclass(frozen=True)
class Way:
    """How a version gets the traffic.

    Parameters
    ----------
    kind
        ``direct``: it becomes champion at once; ``staged``: by a release; ``wait``: after the release that runs.
    reason
        Why, as a sentence for the history; empty if there is nothing to say.
    """

    kind: Literal["direct", "staged", "wait"]
    reason: str = ""


def way_of(config: ModelConfig, version: int, engine: Engine) -> Way:
    """Choose how a version gets the traffic.

    Parameters
    ----------
    config
        The model file.
    version
        The version.
    engine
        The operational database.
    """
    model, mode = config.model, config.release.mode
    if current_champion(engine, model) is None:
        return Way("direct")
    running = running_release(engine, model)
    if running is not None and running.release.version != version and config.release.newer == "wait":
        return Way("wait", f"it waits for the end of release {running.release.number}")
    if mode == "direct":
        return Way("direct")
    if mode == "auto" and not has_traffic(engine, model):
        return Way("direct", "promoted directly: the service did not answer the model in the last day")
    return Way("staged")


def has_traffic(engine: Engine, model: str) -> bool:
    """Return whether the service answered a model so recently that there is traffic to observe."""
    return was_served(engine, model, datetime.now(UTC) - RECENT)


def begin(
    config: ModelConfig,
    version: int,
    champion_sequence: int,
    kind: StartKind,
    reason: str,
    settings: Settings,
    by: str | None = None,
) -> ReleaseState:
    """Start the release of a version against the present champion.

    A running release of another version is superseded if the model file says so.

    Parameters
    ----------
    config
        The model file.
    version
        The version to release.
    champion_sequence
        Entry of the champion that it was judged against.
    kind, reason, by
        What starts it, why, and who; by default the present user.
    settings
        Names the database and the registry.

    Raises
    ------
    StaleChampionError
        The champion changed in the meantime.
    ReleaseError
        The version is champion, or it is not known to this project, or it has to wait for the end of another release,
        or it predicts something else.
    ModelNotFoundError, BundleError, StorageError
        A bundle cannot be read.
    """
    engine, model, who = open_database(settings.database_url), config.model, by or actor()
    running = running_release(engine, model)
    if running is not None and running.release.version == version:
        return running
    if running is not None and config.release.newer == "wait":
        raise ReleaseError(other_runs(running))
    champion = expected_champion(engine, model, champion_sequence)
    manifest = trusted_manifest(engine, model, version)
    if manifest is None:
        raise ReleaseError(f"version {version} of {model!r} was not registered by this project, so it is not released")
    recorded = recorded_plan(config, champion.version, version, settings)
    first = recorded.plan.stages[0]
    _refuse_nothing_to_observe(config, first)
    if running is not None:
        _supersede(engine, running, version, who)
    prepare(engine, model, recorded.mesh)
    release = Release(
        model=model,
        number=0,
        version=version,
        manifest=manifest,
        champion=champion.version,
        champion_sequence=champion_sequence,
        plan=recorded.to_json(),
        salt=uuid4().hex,
        kind=kind,
        reason=reason,
        actor=who,
        started_at=datetime.now(UTC),
    )
    state = start_release(engine, release, first.kind, first.share)
    _logger.info("release %d of %s: version %d starts in %s", state.release.number, model, version, first.name)
    follow(engine, model)
    return state


def _refuse_nothing_to_observe(config: ModelConfig, first: Stage) -> None:
    if first.kind == "bake":
        raise ReleaseError(
            f"the plan of {config.model!r} has neither a shadow nor a step below 100 %, so there is nothing to "
            "observe before the champion changes; add one, or set release.mode: direct"
        )


def _supersede(engine: Engine, running: ReleaseState, version: int, who: str) -> None:
    reason = f"version {version} passed the gate, and the model file lets a newer challenger end a running release"
    move_release(engine, running, Move("superseded", "over", 0, reason, who, "", datetime.now(UTC)))

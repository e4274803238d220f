"""One look at a running release: observe, decide, and record what follows.

A look may be repeated and may be killed at any moment: it changes the release's state once or not at all.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import Engine

from config.settings import Settings
from core.errors import StaleChampionError
from core.jsonable import jsonable
from core.release.decision import Look, decide
from core.release.observed import Observed
from core.release.outcome import ReleaseOutcome, ReleaseStatus
from core.release.plan import Plan
from core.release.recorded import RecordedPlan
from store.database import open_database
from store.releases.records import ReleaseState
from store.releases.releases import Move, end_stale, move_release, running_release
from store.releases.reports import record_look, trips
from tasks.release.mesh import followed
from tasks.release.observe import observe
from tasks.release.stages import Following, following, stage_of
from tasks.runs.actor import actor

_logger = logging.getLogger("perennial.release")

CLOCKS_DIFFER = timedelta(minutes=1)
"""By so much the beginning of a stage may be in the future without a word: clocks of machines differ."""


def look(model: str, settings: Settings, now: datetime | None = None) -> ReleaseOutcome:
    """Look once at a model's running release, and take the step that follows.

    Parameters
    ----------
    model
        Name of the model.
    settings
        Names the database.
    now
        Time of the look, with time zone; by default the present.

    Raises
    ------
    StaleReleaseError
        A person or another look moved the release in the meantime; look again.
    StorageError
        The database failed.
    """
    return followed(_look(model, settings, now or datetime.now(UTC)), settings)


def _look(model: str, settings: Settings, now: datetime) -> ReleaseOutcome:
    engine = open_database(settings.database_url)
    state = running_release(engine, model)
    if state is None:
        return ReleaseOutcome(model, "none", (f"no release of {model!r} is running",))
    if (ended := end_stale(engine, model, actor(), now)) is not None:
        return _superseded(ended)
    recorded = RecordedPlan.from_json(state.release.plan)
    found, document = _looked(engine, state, recorded, now)
    try:
        return _carried_out(engine, state, recorded.plan, found, document, now)
    except StaleChampionError:
        ended = end_stale(engine, model, actor(), now)
        if ended is None:
            raise
        return _superseded(ended)


def _looked(engine: Engine, state: ReleaseState, recorded: RecordedPlan, now: datetime) -> tuple[Look, str]:
    champion, challenger = observe(engine, state, recorded)
    stage, waited = stage_of(state), state.hours_in_stage(now)
    tripped = trips(engine, state.release.model, state.release.number)
    reason = tripped[0].reason if tripped else None
    found = decide(recorded.plan, stage, champion, challenger, waited, reason)
    if (ahead := state.entered.at - now) > CLOCKS_DIFFER:
        found = replace(found, reasons=(*found.reasons, _clock(ahead)))
    left = timedelta(hours=recorded.plan.deadline_hours(stage) - waited)
    return found, _document(found, champion, challenger, now, None if state.is_paused else now + left)


def _clock(ahead: timedelta) -> str:
    minutes = math.ceil(ahead / timedelta(minutes=1))
    return f"by this clock the stage begins in {minutes:,} minutes, and no request counts before: check the clocks"


def _carried_out(
    engine: Engine, state: ReleaseState, plan: Plan, found: Look, document: str, now: datetime
) -> ReleaseOutcome:
    checks = tuple(jsonable(asdict(check)) for check in found.checks)
    wanted = _wanted(state, plan, found)
    if wanted is None:
        record_look(engine, state, document, now)
        status: ReleaseStatus = "paused" if state.is_paused else "held"
        return _outcome(state, status, found.reasons, checks)
    reason = " ".join(found.reasons)
    moved = move_release(engine, state, Move(wanted.action, wanted.stage, wanted.share, reason, actor(), document, now))
    number, model = state.release.number, state.release.model
    _logger.info("release %d of %s: %s (%s)", number, model, wanted.action, found.reasons[0])
    return _outcome(moved, cast("ReleaseStatus", wanted.action), found.reasons, checks)


def _wanted(state: ReleaseState, plan: Plan, found: Look) -> Following | None:
    """Return the change that a look asks for; None for none. A paused release can only be rolled back by a breach."""
    if found.outcome == "roll_back" and (not state.is_paused or found.is_harm):
        return Following("rolled_back", "over", 0)
    if found.outcome in ("hold", "roll_back") or state.is_paused:
        return None
    return following(plan, state)


def _superseded(ended: ReleaseState) -> ReleaseOutcome:
    return _outcome(ended, "superseded", (ended.newest.reason,), ())


def _outcome(
    state: ReleaseState, status: ReleaseStatus, reasons: tuple[str, ...], checks: tuple[dict[str, Any], ...]
) -> ReleaseOutcome:
    newest, release = state.newest, state.release
    return ReleaseOutcome(
        release.model, status, reasons, release.number, release.version, newest.stage, newest.share, checks
    )


def _document(found: Look, champion: Observed, challenger: Observed, now: datetime, deadline: datetime | None) -> str:
    content = {
        "outcome": found.outcome,
        "reasons": list(found.reasons),
        "checks": [jsonable(asdict(check)) for check in found.checks],
        "champion": _figures(champion),
        "challenger": _figures(challenger),
        "deadline": deadline and deadline.isoformat(),
        "at": now.isoformat(),
    }
    return json.dumps(content, ensure_ascii=False)


def _figures(one: Observed) -> dict[str, Any]:
    import numpy as np

    latencies = one.latencies_ms
    quantiles = {
        f"p{share:g}": float(np.percentile(latencies, share)) if len(latencies) else None for share in (50, 99)
    }
    return {
        "requests": one.n_requests,
        "failures": one.n_failures,
        "labels": len(one.labels),
        "predictions": one.predictions.tolist(),
        **quantiles,
    }

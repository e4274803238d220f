"""Judge a registered version, remember the verdict, and let it take office.

The order makes every step safe to repeat: the version is registered, its verdict is recorded in the operational
database, the champion moves there by compare-and-set, and MLflow's tags and aliases follow.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from config.settings import Settings
from core.errors import StaleChampionError, StorageError
from core.gate.decision import GateVerdict
from core.gate.looks import HoldoutSketch
from core.text import readable
from core.train.training_run import TrainingRun
from store.champions import (
    RecordedVerdict,
    champion_history,
    current_champion,
    find_verdict,
    record_verdict,
    reviews,
    standing,
    take_office,
    verdicts_against,
)
from store.database import open_database
from tasks.champions.aliases import project, repair
from tasks.gate.publish import publish_verdict
from tasks.runs.actor import actor
from tasks.train.bench import close_bench

if TYPE_CHECKING:
    from tasks.gate.judgement import Judgement, Opponent

_logger = logging.getLogger("perennial.judge")


def judge(run: TrainingRun, version: int, settings: Settings) -> GateVerdict:
    """Judge a version against the present champion; a repeat gives the verdict that is recorded already."""
    from tasks.gate.judgement import judgement

    repair(run.config.model, settings, thorough=True)
    engine = open_database(settings.database_url)
    opponent = _opponent(engine, run.config.model, version)
    recorded = find_verdict(engine, run.config.model, version, opponent.sequence)
    if recorded is None:
        recorded = record_verdict(engine, _record(judgement(run, version, opponent, settings)))
    verdict = GateVerdict.from_dict(json.loads(recorded.document))
    publish_verdict(verdict, run.config.gate, run.folder, settings)
    _logger.info("gate: %s", verdict.reasons[0])
    return verdict


def promote(run: TrainingRun, verdict: GateVerdict, settings: Settings) -> bool:
    """Do what a verdict says; False where the champion moved meanwhile, so that the version must be judged again."""
    engine = open_database(settings.database_url)
    if verdict.passed and verdict.mode == "enabled":
        try:
            take_office(
                engine,
                verdict.model,
                verdict.version,
                expected_sequence=verdict.champion_sequence,
                kind="gate",
                reason=verdict.reasons[0],
                actor=readable(f"{actor()} (train, {run.lineage.trigger})", 255),
                at=datetime.now(UTC),
            )
        except StaleChampionError as error:
            _logger.info("%s; judging again", error)
            return False
    project(verdict.model, settings)
    close_bench()
    return True


def is_settled(model: str, version: int, manifest: str, settings: Settings) -> bool:
    """Whether nothing is left to do for a version that was registered before.

    It was champion once, or it was judged and its verdict led to all that it can lead to. A version whose run was
    killed before that is not settled; nor is one that waits for approval while the champion it was judged against is
    gone.

    Parameters
    ----------
    manifest
        SHA-256 of its bundle's manifest, from the registry.

    Raises
    ------
    StorageError
        The verdict on record is about another bundle of this number.
    """
    engine = open_database(settings.database_url)
    verdict = find_verdict(engine, model, version)
    if verdict is not None and verdict.manifest != manifest:
        raise StorageError(
            f"version {version} of {model!r} in MLflow is not the bundle that was judged under this number: the "
            "registry was made anew or replaced. Restore it, or move the operational database aside "
            "(PERENNIAL_DATABASE_URL)"
        )
    if any(entry.version == version for entry in champion_history(engine, model)):
        return True
    return verdict is not None and _has_run_its_course(engine, verdict)


def office_of(model: str, version: int, settings: Settings) -> tuple[str | None, int | None]:
    """Return a version's alias (``champion``, ``challenger``, ``previous`` or None) and who is champion."""
    now = standing(open_database(settings.database_url), model)
    held = {"champion": now.champion, "challenger": now.challenger, "previous": now.previous}
    return next((alias for alias, number in held.items() if number == version), None), now.champion


def _has_run_its_course(engine: Engine, verdict: RecordedVerdict) -> bool:
    if verdict.decision != "promote" or verdict.mode == "dry_run":
        return True
    champion = current_champion(engine, verdict.model)
    stands = verdict.champion_sequence == (champion.sequence if champion else 0)
    return bool(reviews(engine, verdict.model, verdict.version)) or (verdict.mode == "manual" and stands)


def _opponent(engine: Engine, model: str, version: int) -> Opponent:
    from tasks.gate.judgement import Opponent

    champion = current_champion(engine, model)
    if champion is None:
        return Opponent(None)
    looks = [look for look in verdicts_against(engine, model, champion.sequence) if look.version != version]
    earlier = [HoldoutSketch.from_json(look.sketch) for look in looks if look.sketch]
    return Opponent(champion.version, champion.sequence, earlier)


def _record(made: Judgement) -> RecordedVerdict:
    verdict = made.verdict
    looked_at = verdict.holdout if verdict.comparison else None
    return RecordedVerdict(
        model=verdict.model,
        version=verdict.version,
        champion_sequence=verdict.champion_sequence,
        champion=verdict.champion,
        decision=verdict.decision,
        mode=verdict.mode,
        n_rows=looked_at.n_rows if looked_at else 0,
        holdout=looked_at.fingerprint if looked_at else "",
        sketch=made.sketch.to_json() if made.sketch else "",
        manifest=made.manifest,
        document=json.dumps(verdict.to_dict(), ensure_ascii=False),
        judged_at=datetime.now(UTC),
    )

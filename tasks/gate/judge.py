"""Judge a registered version, record the verdict, and promote the version.

The order makes every step safe to repeat: the version is registered, its verdict is recorded in the operational
database, the champion is changed there by compare-and-set, and MLflow's tags and aliases are updated last.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from config.load import rules_hash
from config.settings import Settings
from core.errors import StaleChampionError
from core.gate.decision import GateVerdict
from core.gate.looks import HoldoutSketch
from core.outcome import TrainOutcome
from core.text import readable
from core.train.training_run import TrainingRun
from store.champions import (
    RecordedVerdict,
    current_champion,
    find_verdict,
    record_verdict,
    start_tenure,
    verdicts_against,
)
from store.database import open_database
from store.releases.releases import running_release, was_released
from tasks.champions.aliases import project, repair
from tasks.gate.publish import publish_verdict
from tasks.gate.settled import awaits_rehearsal
from tasks.release.begin import begin, way_of
from tasks.release.ended import ended_by_another_champion
from tasks.runs.actor import actor
from tasks.train.bench import close_bench

if TYPE_CHECKING:
    from tasks.gate.judgement import Baseline, Judgement

_logger = logging.getLogger("perennial.judge")


def judge(run: TrainingRun, version: int, settings: Settings) -> GateVerdict:
    """Judge a version against the present champion by the rules of its model file.

    A repeat gives the recorded verdict, provided that it was made by the same rules. By other rules, or if the machine
    was too busy to rehearse its serving, the version is judged again, and the last verdict stands.
    """
    from tasks.gate.judgement import judgement

    repair(run.config.model, settings, thorough=True)
    engine, rules = open_database(settings.database_url), rules_hash(run.config)
    baseline = _baseline(engine, run.config.model, version)
    recorded = find_verdict(engine, run.config.model, version, baseline.sequence)
    if recorded is None or recorded.rules != rules or awaits_rehearsal(recorded):
        made = judgement(run, version, baseline, settings)
        recorded = _recorded(engine, made, rules, recorded.number + 1 if recorded else 1)
    verdict = GateVerdict.from_json(recorded.document)
    publish_verdict(verdict, rules, run.config.gate, run.folder, settings)
    _logger.info("gate: %s", verdict.reasons[0])
    return verdict


def promote(run: TrainingRun, verdict: GateVerdict, settings: Settings, command: str = "train") -> bool:
    """Promote a version if its verdict says so, or start its release; return False if the champion changed meanwhile.

    Then it must be judged again.

    Parameters
    ----------
    command
        Command that the champion's history names beside the actor.
    """
    if verdict.passed and verdict.mode == "enabled":
        try:
            _hand_over(run, verdict, settings, readable(f"{actor()} ({command}, {run.lineage.trigger})", 255))
        except StaleChampionError as error:
            _logger.info("%s; judging again", error)
            return False
    project(verdict.model, settings)
    close_bench()
    return True


def _hand_over(run: TrainingRun, verdict: GateVerdict, settings: Settings, by: str) -> None:
    """Give a version the traffic, or start its release."""
    engine = open_database(settings.database_url)
    way = way_of(run.config, verdict.version, engine)
    if way.kind == "wait" or was_released(engine, verdict.model, verdict.version, verdict.champion_sequence):
        _logger.info("version %d of %s: %s", verdict.version, verdict.model, way.reason or "it was released before")
    elif way.kind == "staged":
        begin(run.config, verdict.version, verdict.champion_sequence, "gate", verdict.reasons[0], settings, by)
    else:
        start_tenure(
            engine,
            verdict.model,
            verdict.version,
            expected_sequence=verdict.champion_sequence,
            kind="gate",
            reason=f"{verdict.reasons[0]} [{way.reason}]" if way.reason else verdict.reasons[0],
            actor=by,
            at=datetime.now(UTC),
        )
        ended_by_another_champion(engine, verdict.model)


def judged(version: TrainOutcome, verdict: GateVerdict, folder: Path | None, released: str = "") -> TrainOutcome:
    """Return the outcome of a judged version from the outcome of its registration and its verdict.

    Parameters
    ----------
    version
        Outcome of the registration; a version that an earlier run registered has no metrics and links.
    folder
        Folder of the completed model card; None if it is not on this machine.
    released
        How a version that passed the gate gets its traffic, see :func:`release_note`; empty if it is champion.
    """
    status, reasons = verdict.status, verdict.reasons
    if status == "promoted" and released:
        status, reasons = "releasing", (*reasons, released)
    alias = {"promoted": "champion", "releasing": "challenger", "waiting": "challenger"}.get(status)
    metric = {"value": verdict.value, "low": verdict.low, "high": verdict.high}
    card = {"model card": str(folder / "card.html")} if folder else {}
    return replace(
        version,
        status=status,
        stage="gate",
        reasons=reasons,
        alias=alias,
        metrics=version.metrics or {verdict.metric: metric},
        links=version.links or card,
        decision=verdict.decision,
        champion=verdict.version if status == "promoted" else verdict.champion,
    )


def release_note(verdict: GateVerdict, settings: Settings) -> str:
    """Return how a version that passed the gate gets its traffic; empty if it is champion."""
    engine = open_database(settings.database_url)
    present = current_champion(engine, verdict.model)
    if present is None or present.version == verdict.version:
        return ""
    running = running_release(engine, verdict.model)
    if running is None:
        return ""
    number, stage = running.release.number, running.newest
    if running.release.version == verdict.version:
        return f"release {number} has begun ({stage.stage}, {stage.share} %); see 'perennial release {verdict.model}'"
    return f"it waits for the end of release {number}, of version {running.release.version}"


def _recorded(engine: Engine, made: Judgement, rules: str, number: int) -> RecordedVerdict:
    recorded = record_verdict(engine, _record(made, rules, number))
    while recorded.rules != rules:  # another machine may use a number for its own rules
        recorded = record_verdict(engine, _record(made, rules, recorded.number + 1))
    return recorded


def _baseline(engine: Engine, model: str, version: int) -> Baseline:
    from tasks.gate.judgement import Baseline

    champion = current_champion(engine, model)
    if champion is None:
        return Baseline(None)
    # Counted by version: judging the same challenger again by other rules is no further look at the rows.
    looks = {look.version: look.sketch for look in verdicts_against(engine, model, champion.sequence) if look.sketch}
    earlier = [HoldoutSketch.from_json(sketch) for number, sketch in looks.items() if number != version]
    return Baseline(champion.version, champion.sequence, earlier)


def _record(made: Judgement, rules: str, number: int) -> RecordedVerdict:
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
        number=number,
        rules=rules,
    )

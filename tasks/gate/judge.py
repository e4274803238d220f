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
from tasks.champions.aliases import project, repair
from tasks.gate.publish import publish_verdict
from tasks.gate.settled import awaits_rehearsal
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
    """Promote a version if its verdict says so; return False if the champion changed, so that it must be judged again.

    Parameters
    ----------
    command
        Command that the champion's history names beside the actor.
    """
    engine = open_database(settings.database_url)
    if verdict.passed and verdict.mode == "enabled":
        try:
            start_tenure(
                engine,
                verdict.model,
                verdict.version,
                expected_sequence=verdict.champion_sequence,
                kind="gate",
                reason=verdict.reasons[0],
                actor=readable(f"{actor()} ({command}, {run.lineage.trigger})", 255),
                at=datetime.now(UTC),
            )
        except StaleChampionError as error:
            _logger.info("%s; judging again", error)
            return False
    project(verdict.model, settings)
    close_bench()
    return True


def judged(version: TrainOutcome, verdict: GateVerdict, folder: Path | None) -> TrainOutcome:
    """Return the outcome of a judged version from the outcome of its registration and its verdict.

    Parameters
    ----------
    version
        Outcome of the registration; a version that an earlier run registered has no metrics and links.
    folder
        Folder of the completed model card; None if it is not on this machine.
    """
    status = verdict.status
    alias = {"promoted": "champion", "waiting": "challenger"}.get(status)
    metric = {"value": verdict.value, "low": verdict.low, "high": verdict.high}
    card = {"model card": str(folder / "card.html")} if folder else {}
    return replace(
        version,
        status=status,
        stage="gate",
        reasons=verdict.reasons,
        alias=alias,
        metrics=version.metrics or {verdict.metric: metric},
        links=version.links or card,
        decision=verdict.decision,
        champion=verdict.version if status == "promoted" else verdict.champion,
    )


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

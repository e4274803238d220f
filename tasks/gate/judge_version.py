"""Judge a registered version by name: one that was not judged yet, or was judged by other rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from config.load import load_model_config
from config.settings import Settings
from core.errors import ConfigError, ModelNotFoundError, PromotionError
from core.gate.decision import GateVerdict
from core.outcome import TrainOutcome
from store.champions import champion_history, current_champion, find_verdict, reviews
from store.database import open_database
from tasks.champions.aliases import repair
from tasks.gate.judge import judge, judged, promote, release_note
from tasks.gate.settled import alias_and_champion, check_bundle
from tasks.registry.versions import data_version_of, registered_version, version_number
from tasks.runs.lock import hold_model
from tasks.runs.progress import step
from tasks.train.training_run import training_run

if TYPE_CHECKING:
    from config.schema import ModelConfig
    from tasks.registry.register import Registered


def judge_version(
    selector: str, settings: Settings, overrides: Mapping[str, str] | None = None, wait_seconds: float = 0.0
) -> TrainOutcome:
    """Judge a version against the champion by the rules of the model file now, and promote it if the gate says so.

    The holdout is cut from the data version it was trained on, as its training did. A repeat by the same rules gives
    the recorded verdict. For the champion itself that is the last verdict before it was promoted.

    Parameters
    ----------
    selector
        ``model@version`` or ``model@alias``.
    overrides
        Dotted paths and values for the model file, see :func:`config.load.load_model_config`.
    wait_seconds
        Maximum time to wait for another run of the model.

    Raises
    ------
    ConfigError
        No version is named, or the model file is not valid.
    ModelNotFoundError, DataVersionError, BundleError
        There is no such version, its data version is gone, or its bundle is broken.
    PromotionError
        A person rejected the version or rolled it back, or it is champion and was never judged.
    """
    model, _, which = selector.partition("@")
    if not which:
        raise ConfigError(f"name the version to judge: {model}@VERSION")
    config = load_model_config(settings.root, model, overrides)
    with hold_model(model, settings, wait_seconds):
        repair(model, settings, thorough=True)
        found = registered_version(model, version_number(model, which, settings), settings)
        engine = open_database(settings.database_url)
        _check_reviews(engine, found)
        champion = current_champion(engine, model)
        if champion is not None and champion.version == found.version:
            return _verdict_on_champion(engine, found, settings)
        return _judged_now(engine, config, found, settings)


def _judged_now(engine: Engine, config: ModelConfig, found: Registered, settings: Settings) -> TrainOutcome:
    recorded = find_verdict(engine, found.model, found.version)
    if recorded is not None:
        check_bundle(recorded, found.manifest)
    data_version = data_version_of(found.model, found.version, settings)
    if not data_version:
        raise ModelNotFoundError(
            f"version {found.version} of {found.model!r} names no data version: Perennial did not register it, so it "
            "cannot be judged"
        )
    with step("Laying out the snapshot"):
        run = training_run(config, data_version, "manual", settings)
    with step("Judging"):
        verdict = judge(run, found.version, settings)
        while not promote(run, verdict, settings, command="judge"):  # the champion changed in the meantime
            verdict = judge(run, found.version, settings)
    released = release_note(verdict, settings)
    return judged(_registered(found, run.snapshot.version), verdict, run.folder, released)


def _check_reviews(engine: Engine, found: Registered) -> None:
    """Raise an error if a person rejected the version or rolled it back: the gate does not override a person."""
    said = reviews(engine, found.model, found.version)
    entries = champion_history(engine, found.model)
    places = [place for place, entry in enumerate(entries) if entry.version == found.version]
    after = entries[places[-1] + 1] if places and places[-1] + 1 < len(entries) else None
    if after is not None and after.kind == "rollback":
        what, by, reason = "rolled back", after.actor, after.reason
    elif said and said[-1].action == "rejected":
        what, by, reason = "rejected", said[-1].actor, said[-1].reason
    else:
        return
    raise PromotionError(
        f"version {found.version} of {found.model!r} was {what} by {by} ({reason}), which the gate cannot override. "
        f"To make it champion: perennial approve {found.model}@{found.version} --reason … --override"
    )


def _verdict_on_champion(engine: Engine, found: Registered, settings: Settings) -> TrainOutcome:
    recorded = find_verdict(engine, found.model, found.version)
    if recorded is None:
        raise PromotionError(
            f"version {found.version} is the champion of {found.model!r} and was never judged; a champion is not "
            f"compared with itself. See 'perennial history {found.model}'"
        )
    check_bundle(recorded, found.manifest)
    data_version = data_version_of(found.model, found.version, settings)
    verdict = GateVerdict.from_json(recorded.document)
    alias, champion = alias_and_champion(found.model, found.version, settings)
    outcome = judged(_registered(found, data_version), verdict, None)
    return replace(outcome, status="unchanged", alias=alias, champion=champion)


def _registered(found: Registered, data_version: str) -> TrainOutcome:
    return TrainOutcome(
        model=found.model,
        status="registered",
        stage="registry",
        reasons=(),
        data_version=data_version,
        version=found.version,
        run_id=found.run_id,
    )

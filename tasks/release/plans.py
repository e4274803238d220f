"""The plan of a release from the model file and the bundles of both versions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from config.schema import ModelConfig
from config.settings import Settings
from core.errors import ReleaseError
from core.release.plan import Guardrails, Plan
from core.release.recorded import RecordedPlan
from tasks.registry.fetch import fetched_texts

CONTRACT, PROFILE = "contract.json", "profile.json"


def plan_of(config: ModelConfig) -> Plan:
    """Return the plan of the section ``release`` of a model file."""
    section = config.release
    return Plan(
        steps=section.steps,
        min_requests=section.min_requests,
        max_wait_hours=section.max_wait_hours,
        shadow_requests=section.shadow.requests,
        shadow_hours=section.shadow.hours,
        bake_hours=section.bake_hours,
        at_deadline=section.at_deadline,
        min_labels=section.min_labels,
        confidence=section.confidence,
        guardrails=Guardrails(**section.guardrails.model_dump()),
        metric=config.gate.metric,
    )


def recorded_plan(config: ModelConfig, champion: int, challenger: int, settings: Settings) -> RecordedPlan:
    """Return the plan to record, with the bins of the champion's bundle and the classes of both.

    Parameters
    ----------
    config
        The model file.
    champion, challenger
        Version that is compared with, and version that is released.
    settings
        Names the registry.

    Raises
    ------
    ReleaseError
        Only one of them has classes, so that nothing that they answer can be compared.
    ModelNotFoundError, BundleError, StorageError
        A bundle cannot be read.
    """
    contract, profile = _documents(config.model, champion, settings)
    classes, others = (
        tuple(one.get("classes") or ()) for one in (contract, _documents(config.model, challenger, settings)[0])
    )
    if bool(classes) != bool(others):
        raise ReleaseError(
            f"version {challenger} of {config.model!r} {_predicts(others)} and the champion, version {champion}, "
            f"{_predicts(classes)}: they cannot be compared. Promote it directly: perennial approve "
            f"{config.model}@{challenger} --direct --reason …"
        )
    section = config.release
    found = RecordedPlan(
        plan_of(config), section.newer, section.look_seconds, classes, (), section.mesh, challenger_classes=others
    )
    return replace(found, edges=tuple(_edges(profile))) if len(found.all_classes) <= 2 else found


def _documents(model: str, version: int, settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return contract and profile of a version's bundle; one that it does not have is empty."""
    texts = fetched_texts(model, version, (CONTRACT, PROFILE), settings)
    return json.loads(texts.get(CONTRACT, "{}")), json.loads(texts.get(PROFILE, "{}"))


def _predicts(classes: tuple[str, ...]) -> str:
    return f"predicts {len(classes)} classes" if classes else "predicts a number"


def _edges(profile: dict[str, Any]) -> list[float]:
    prediction = profile.get("prediction")
    return list(prediction.get("edges") or ()) if isinstance(prediction, dict) else []

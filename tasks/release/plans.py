"""The plan of a release from the model file and the champion's bundle."""

from __future__ import annotations

import json
from typing import Any

from config.schema import ModelConfig
from config.settings import Settings
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


def recorded_plan(config: ModelConfig, champion: int, settings: Settings) -> RecordedPlan:
    """Return the plan to record, with the classes and the bins of the champion's bundle.

    Parameters
    ----------
    config
        The model file.
    champion
        Version that is compared with.
    settings
        Names the registry.

    Raises
    ------
    ModelNotFoundError, BundleError, StorageError
        The champion's bundle cannot be read.
    """
    texts = fetched_texts(config.model, champion, (CONTRACT, PROFILE), settings)
    contract, profile = (json.loads(texts.get(name, "{}")) for name in (CONTRACT, PROFILE))
    section = config.release
    classes = tuple(contract.get("classes") or ())
    edges = tuple(_edges(profile)) if len(classes) <= 2 else ()
    return RecordedPlan(plan_of(config), section.newer, section.look_seconds, classes, edges, section.mesh)


def _edges(profile: dict[str, Any]) -> list[float]:
    prediction = profile.get("prediction")
    return list(prediction.get("edges") or ()) if isinstance(prediction, dict) else []

"""Which fields of a model file decide a model, and which decide a verdict."""

from collections.abc import Iterator
from datetime import date
from typing import Any, Literal, get_origin

import pytest
from pydantic import BaseModel

from config.load import config_hash, rules_hash
from config.schema import Candidate, ModelConfig, Section, SimulatedSource
from tests.factories import credit_config

Decides = Literal["model", "verdict", "neither"]

# Field: what it decides, and a value that the base below does not have. What decides a model decides verdicts too.
FIELDS: dict[str, tuple[Decides, Any]] = {
    "model": ("model", "other"),
    "task": ("model", "multiclass"),
    "source": ("neither", SimulatedSource(kind="simulated", start=date(2020, 1, 1))),
    "target": ("model", "owner"),
    "positive": ("model", "0"),
    "time": ("model", "seen"),
    "key": ("model", None),
    "key_is_unique": ("model", False),
    "features.numeric": ("model", ("income",)),
    "features.categorical": ("model", ()),
    "features.boolean": ("model", ()),
    "features.dates": ("model", ("born",)),
    "features.ignored": ("model", ("note",)),
    "validation.suite": ("neither", "config/expectations/other.json"),
    "validation.max_quarantine": ("neither", 0.5),
    "training.estimator": ("model", "sklearn.linear_model.LogisticRegression"),
    "training.params": ("model", {"max_iter": 10}),
    "training.search.candidates": ("model", {"forest": Candidate(estimator="sklearn.ensemble.RandomForestClassifier")}),
    "training.search.average": ("model", False),
    "training.search.space": ("model", {"max_iter": [10, 200]}),
    "training.search.trials": ("model", 4),
    "training.search.minutes": ("model", 1.0),
    "training.search.sampler": ("model", "random"),
    "training.cv": ("model", 4),
    "training.holdout": ("model", 0.3),
    "training.calibrate": ("model", "sigmoid"),
    "training.seed": ("model", 1),
    "training.half_life_days": ("model", 30.0),
    "training.trusted_types": ("model", ("boosters.Booster",)),
    "training.leakage.max_duplicates": ("model", 0.5),
    "training.leakage.max_single_feature": ("model", 0.9),
    "training.leakage.allow": ("model", ("age",)),
    "evaluation.slices": ("model", ("region",)),
    "evaluation.resamples": ("model", 600),
    "evaluation.confidence": ("model", 0.9),
    "gate.metric": ("model", "log_loss"),
    "gate.floor": ("verdict", 0.9),
    "gate.margin": ("verdict", 0.1),
    "gate.min_gain": ("verdict", 0.1),
    "gate.confidence": ("verdict", 0.9),
    "gate.resamples": ("verdict", 300),
    "gate.min_rows": ("verdict", 50),
    "gate.slice_margin": ("verdict", 0.1),
    "gate.max_calibration_loss": ("verdict", 0.5),
    "gate.max_calibration_error": ("verdict", 0.5),
    "gate.max_latency_ms": ("verdict", 500.0),
    "gate.mode": ("verdict", "manual"),
    "release.mode": ("neither", "direct"),
    "release.steps": ("neither", (10, 100)),
    "release.min_requests": ("neither", 50),
    "release.max_wait_hours": ("neither", 1.0),
    "release.at_deadline": ("neither", "wait"),
    "release.newer": ("neither", "supersede"),
    "release.shadow.requests": ("neither", 50),
    "release.shadow.hours": ("neither", 1.0),
    "release.bake_hours": ("neither", 1.0),
    "release.look_seconds": ("neither", 5.0),
    "release.min_labels": ("neither", 50),
    "release.confidence": ("neither", 0.9),
    "release.guardrails.error_rate": ("neither", 0.05),
    "release.guardrails.latency_ratio": ("neither", 3.0),
    "release.guardrails.prediction_psi": ("neither", None),
    "release.guardrails.performance_loss": ("neither", 0.1),
    "release.mesh.kind": ("neither", "rollouts"),
    "release.mesh.namespace": ("neither", "other"),
    "release.mesh.name": ("neither", "other"),
    "release.mesh.rule": ("neither", 1),
    "release.mesh.backends.champion": ("neither", "other"),
    "release.mesh.backends.challenger": ("neither", "other"),
    "release.mesh.prometheus.requests": ("neither", 'other{version="$version"}'),
    "release.mesh.prometheus.code_label": ("neither", "status"),
    "release.mesh.prometheus.latency": ("neither", None),
    "release.mesh.prometheus.latency_unit": ("neither", "milliseconds"),
    "release.mesh.prometheus.predictions": ("neither", None),
    "drift.psi": ("neither", 0.2),
    "drift.class_psi": ("neither", 0.2),
    "drift.class_ratio": ("neither", 2.0),
    "drift.confidence": ("neither", 0.9),
    "drift.min_importance": ("neither", 0.5),
    "drift.window_rows": ("neither", 500),
    "drift.min_rows": ("neither", 100),
    "drift.persistence": ("neither", (1, 1)),
    "drift.cooldown_hours": ("neither", 1.0),
    "drift.label_delay_days": ("neither", 1.0),
    "drift.max_loss": ("neither", 0.5),
    "drift.retrain_on": ("neither", "never"),
    "monitor.source": ("neither", "predictions"),
    "monitor.window_hours": ("neither", 6.0),
    "monitor.report": ("neither", "always"),
    "labels.match_days": ("neither", 30.0),
    "labels.train": ("neither", True),
    "labels.min_band_ratio": ("neither", 0.3),
    "retrain.cooldown_hours": ("neither", 2.0),
    "retrain.per_week": ("neither", 1),
    "retrain.min_new_labels": ("neither", 5),
    "schedule.ingest": ("neither", "0 1 * * *"),
    "schedule.monitor": ("neither", "0 1 * * *"),
    "schedule.retrain": ("neither", "0 1 * * *"),
    "schedule.timezone": ("neither", "Europe/Berlin"),
}

MESH = {
    "kind": "gateway",
    "namespace": "serving",
    "name": "credit",
    "backends": {"champion": "one", "challenger": "two"},
    "prometheus": {
        "requests": 'requests_total{version="$version"}',
        "latency": 'seconds_bucket{version="$version"}',
        "predictions": 'predictions_total{version="$version"}',
    },
}
BASE = credit_config(
    training={"search": {"space": {"max_iter": [10, 100]}, "trials": 3}},
    release={"shadow": {"requests": 0}, "mesh": MESH},
)


def _section(annotation: Any) -> type[Section] | None:
    """Section of a field's type; of ``Search | None`` it is Search, of sections by name none."""
    if get_origin(annotation) is dict:
        return None
    kinds = [annotation, *getattr(annotation, "__args__", ())]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)


def _fields(section: type[Section], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = None if name == "source" else _section(field.annotation)
        yield from [prefix + name] if inner is None else _fields(inner, f"{prefix}{name}.")


def _changed(section: BaseModel, path: str, value: Any) -> Any:
    # A copy is not validated, so that fields that belong together can be changed one at a time.
    name, _, rest = path.partition(".")
    return section.model_copy(update={name: _changed(getattr(section, name), rest, value) if rest else value})


def test_every_field_is_in_the_table() -> None:
    """A new field of the model file fails here until the table says what depends on it."""
    assert list(_fields(ModelConfig)) == list(FIELDS)


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_alone_changes_what_the_table_says(path: str) -> None:
    """A training's key follows what decides a model; the hash of a verdict's rules follows the gate as well."""
    decides, value = FIELDS[path]
    changed = _changed(BASE, path, value)
    assert changed != BASE
    assert (config_hash(changed) != config_hash(BASE)) is (decides == "model")
    assert (rules_hash(changed) != rules_hash(BASE)) is (decides != "neither")

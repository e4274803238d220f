"""Outcomes of the flows, and what their Prefect run pages show."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from config.schema import ModelConfig
from core.column_notes import undeclared_notes
from core.monitored_window import MonitoredWindow
from core.outcome import IngestOutcome, TrainOutcome
from core.references import Batch, DataVersion, StagedRows, ValidationResult
from core.training_run import TrainingRun

if TYPE_CHECKING:
    from core.drift import ColumnDrift, DriftVerdict
    from core.gate import GateVerdict

DRIFT_DETECTED = "perennial.drift.detected"


def refused(config: ModelConfig, validation: ValidationResult) -> IngestOutcome:
    """Answer for rows that the validation refused."""
    _validation_artifact(config, validation)
    return IngestOutcome(
        model=config.model,
        accepted=False,
        data_version=None,
        batch=None,
        is_new=False,
        n_rows=validation.n_rows,
        n_quarantined=validation.n_quarantined,
        reasons=validation.reasons,
        links=_validation_links(validation),
    )


def accepted(
    config: ModelConfig,
    rows: StagedRows,
    batch: Batch,
    validation: ValidationResult | None,
    data_version: DataVersion,
) -> IngestOutcome:
    """Answer for rows that are in a data version now; without a validation they were there before."""
    if validation is not None:
        _validation_artifact(config, validation)
    return IngestOutcome(
        model=config.model,
        accepted=True,
        data_version=data_version.version,
        batch=batch.name,
        is_new=batch.is_new,
        n_rows=rows.n_rows,
        n_quarantined=validation.n_quarantined if validation else 0,
        reasons=(
            *(validation.reasons if validation else (f"these rows are in batch {batch.name} already",)),
            *undeclared_notes(rows.undeclared),
        ),
        links=_validation_links(validation) if validation else {},
    )


def refused_by_validation(ingestion: IngestOutcome) -> TrainOutcome:
    """Answer for a training whose rows were refused."""
    return TrainOutcome(
        model=ingestion.model,
        status="refused",
        stage="validation",
        reasons=ingestion.reasons,
        links=ingestion.links,
    )


def refused_by_leakage(run: TrainingRun, reasons: tuple[str, ...]) -> TrainOutcome:
    """Answer for a training that would have learnt from what it must not know."""
    create_markdown_artifact(_listed(reasons), key=_key(run.config.model, "leakage"), description="Leakage checks")
    return TrainOutcome(
        model=run.config.model,
        status="refused",
        stage="leakage",
        reasons=reasons,
        data_version=run.snapshot.version,
    )


def trained(run: TrainingRun, version: TrainOutcome, verdict: GateVerdict) -> TrainOutcome:
    """Answer for a version that was registered and judged; put verdict, metrics and links on the run page.

    Parameters
    ----------
    version
        What the registration answered; one that an earlier run registered has no metrics and links.
    """
    outcome = judged(version, verdict, run.folder)
    rows = [{"metric": name, **estimate} for name, estimate in outcome.metrics.items()]
    create_table_artifact(rows, key=_key(outcome.model, "metrics"), description=" ".join(outcome.reasons))
    links = "\n".join(f"- {title}: `{place}`" for title, place in outcome.links.items())
    create_markdown_artifact(links, key=_key(outcome.model, "links"), description="Where to look")
    gate_artifact(outcome.model, verdict)
    return outcome


def judged(version: TrainOutcome, verdict: GateVerdict, folder: Path) -> TrainOutcome:
    """Turn a registered version's outcome into that of the gate, where promotion followed a ``promote``."""
    status = _status(verdict)
    alias = {"promoted": "champion", "waiting": "challenger"}.get(status)
    metric = {"value": verdict.value, "low": verdict.low, "high": verdict.high}
    return replace(
        version,
        status=status,
        stage="gate",
        reasons=verdict.reasons,
        alias=alias,
        metrics=version.metrics or {verdict.metric: metric},
        links=version.links or {"model card": str(folder / "card.html")},
        decision=verdict.decision,
        champion=verdict.version if status == "promoted" else verdict.champion,
    )


def gate_artifact(model: str, verdict: GateVerdict) -> None:
    """Put a verdict on the run page: headline, checks and the numbers behind them."""
    from tasks.gate_page import gate_markdown

    create_markdown_artifact(gate_markdown(verdict), key=_key(model, "gate"), description=verdict.reasons[0])


def watched(window: MonitoredWindow, verdict: DriftVerdict) -> DriftVerdict:
    """Put a verdict on drift on the run page, and tell Prefect's automations where drift was found.

    A repeat sends the same event once more, under the same id.
    """
    rows = [_column_row(column) for column in verdict.columns]
    create_table_artifact(rows, key=_key(verdict.model, "drift"), description=" ".join(verdict.reasons))
    create_markdown_artifact(
        f"**{verdict.status}**\n\n{_listed(verdict.reasons)}\n\n- report: `{window.folder / 'drift.html'}`",
        key=_key(verdict.model, "drift-report"),
        description="Whether the rows are still those the champion was trained on",
    )
    if verdict.status == "drift":
        _announce(window, verdict)
    return verdict


def _announce(window: MonitoredWindow, verdict: DriftVerdict) -> None:
    from prefect.events import emit_event

    emit_event(
        DRIFT_DETECTED,
        resource={
            "prefect.resource.id": f"perennial.model.{verdict.model}",
            "prefect.resource.name": verdict.model,
            # Automations match labels, not payloads.
            "perennial.retrain": str(verdict.retrain).lower(),
        },
        related=[
            {
                "prefect.resource.id": f"perennial.model-version.{verdict.model}.{verdict.champion}",
                "prefect.resource.role": "champion",
            }
        ],
        payload={
            "model": verdict.model,
            "champion": verdict.champion,
            "decision_id": verdict.id,
            "retrain": verdict.retrain,
            "window": verdict.to_dict()["window"],
            "importance_share": verdict.importance_share,
            "reasons": list(verdict.reasons),
            "report": str(window.folder / "drift.html"),
        },
        id=UUID(verdict.id[:32]),
        occurred=verdict.measured_at,
    )


def _column_row(column: ColumnDrift) -> dict[str, Any]:
    return {
        "column": column.name,
        "role": column.role,
        "drifted": "yes" if column.drifted else "no",
        "PSI": round(column.psi, 4),
        "by chance": round(column.critical, 4),
        "importance": round(column.importance, 3),
        "missing": round(column.missing, 4),
        "missing before": round(column.missing_reference, 4),
    }


def _status(verdict: GateVerdict) -> str:
    if verdict.decision == "promote":
        return {"enabled": "promoted", "manual": "waiting", "dry_run": "recorded"}[verdict.mode]
    return "refused" if verdict.decision == "keep" else "undecided"


def _validation_artifact(config: ModelConfig, validation: ValidationResult) -> None:
    rows = [
        {
            "expectation": outcome.description,
            "level": outcome.level,
            "held": "yes" if outcome.passed else "no",
            "unexpected rows": outcome.n_unexpected,
            "observed": outcome.observed,
        }
        for outcome in validation.outcomes
    ]
    create_table_artifact(rows, key=_key(config.model, "validation"), description=" ".join(validation.reasons))


def _validation_links(validation: ValidationResult) -> dict[str, str]:
    links = {"validation report": str(validation.docs)}
    if validation.quarantine is not None:
        links["rows set aside"] = str(validation.quarantine)
    return links


def _key(model: str, what: str) -> str:
    """Artifact keys are lower case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9-]", "-", f"{model}-{what}")


def _listed(reasons: tuple[str, ...]) -> str:
    return "\n".join(f"- {reason}" for reason in reasons)

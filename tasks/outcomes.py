"""Outcomes of the flows, and what their Prefect run pages show."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prefect import Flow, State
from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import FlowRun

from config.schema import ModelConfig
from config.settings import load_settings
from core.data.deliveries import PREDICTION_LOG, file_notes, row_notes
from core.drift.monitored_window import MonitoredWindow
from core.drift.reasons import undeclared_notes
from core.errors import StorageError
from core.outcome import IngestOutcome, LabelSelection, TrainOutcome
from core.references import Batch, DataVersion, StagedRows, ValidationResult
from core.train.training_run import TrainingRun
from tasks.runs.events import send_events

if TYPE_CHECKING:
    from core.drift.decision import ColumnDrift
    from core.drift.verdict import DriftVerdict
    from core.gate.decision import GateVerdict
    from core.operate.retraining import RetrainOutcome
    from core.release.outcome import ReleaseOutcome
    from tasks.served.training_rows import LabelledRows

_log = logging.getLogger("perennial.publish")

TELL_SECONDS = 5.0
"""Maximum time that a run waits at its end for Prefect to accept its events."""


def refused(config: ModelConfig, validation: ValidationResult) -> IngestOutcome:
    """Return the outcome of rows that the validation refused."""
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
    """Return the outcome of rows that are in a data version; without a validation, they were there before."""
    if validation is not None:
        _validation_artifact(config, validation)
    n_written = batch.n_rows if batch.is_new else 0
    n_unread = rows.files.n_known if rows.has_rows else 0
    # What retention removed from the prediction log is no row that a source has lost.
    n_gone = 0 if rows.source == PREDICTION_LOG else batch.counts.n_gone
    counts = replace(batch.counts, n_known=batch.counts.n_known + n_unread, n_gone=n_gone)
    return IngestOutcome(
        model=config.model,
        accepted=True,
        data_version=data_version.version,
        batch=batch.name,
        is_new=batch.is_new,
        n_rows=rows.n_rows + n_unread,
        n_quarantined=validation.n_quarantined if validation else 0,
        reasons=(
            *file_notes(rows.files),
            *(validation.reasons if validation else (f"these rows are already in batch {batch.name}",)),
            *row_notes(counts, n_written, keyed=config.replaces_rows),
            *undeclared_notes(rows.undeclared),
        ),
        links=_validation_links(validation) if validation else {},
        n_new=n_written - counts.n_replaced,
        n_known=counts.n_known if validation else rows.n_rows + n_unread,
        n_replaced=counts.n_replaced,
        n_gone=counts.n_gone,
    )


def no_served_rows(config: ModelConfig, found: LabelledRows) -> IngestOutcome:
    """Return the outcome of a log without a labelled row to add; the data stay as they are."""
    return IngestOutcome(
        model=config.model,
        accepted=True,
        data_version=None,
        batch=None,
        is_new=False,
        n_rows=0,
        n_quarantined=0,
        reasons=found.notes,
        selection=found.selection,
    )


def refused_selection(config: ModelConfig, found: LabelledRows) -> IngestOutcome:
    """Return the outcome of served rows whose labels are a selected sample; show the bands on the run page."""
    selection = found.selection
    assert selection is not None, "the caller has seen that the rows are selected"  # noqa: S101 - tells mypy what holds
    _selection_artifact(config.model, selection)
    reason = (
        f"refused: the rows with labels are a selected sample of those served: with the score {selection.lowest} they "
        f"have a label {selection.ratio:.2f} times as often as the others (at most {selection.upper:.2f} times; "
        f"labels.min_band_ratio is {selection.bound:g}). A model trained on them learns another population: record "
        "labels of these rows too, or set labels.min_band_ratio to 0 if the selection is meant"
    )
    return IngestOutcome(
        model=config.model,
        accepted=False,
        data_version=None,
        batch=None,
        is_new=False,
        n_rows=found.n_labelled,
        n_quarantined=0,
        reasons=(reason, *found.notes),
        selection=selection,
    )


def served_outcome(outcome: IngestOutcome, found: LabelledRows) -> IngestOutcome:
    """Return the outcome of served rows with what is known of their labels; show the bands on the run page."""
    if found.selection is not None:
        _selection_artifact(outcome.model, found.selection)
    return replace(outcome, reasons=(*found.notes, *outcome.reasons), selection=found.selection)


def with_served(outcome: IngestOutcome, served: IngestOutcome) -> IngestOutcome:
    """Return the outcome of a source's rows together with that of the served rows, which may refuse the training."""
    if not served.accepted:
        return replace(outcome, accepted=False, data_version=None, reasons=served.reasons, served=served)
    return replace(outcome, data_version=served.data_version or outcome.data_version, served=served)


def _selection_artifact(model: str, selection: LabelSelection) -> None:
    rows = [
        {"score": band.name, "rows": band.n_rows, "with a label": band.n_labelled, "share": f"{band.share:.1%}"}
        for band in selection.bands
    ]
    create_table_artifact(rows, key=_key(model, "labels"), description="Served rows with a label, by score")


def refused_by_validation(ingestion: IngestOutcome) -> TrainOutcome:
    """Return the outcome of a training whose rows were refused."""
    return TrainOutcome(
        model=ingestion.model,
        status="refused",
        stage="validation",
        reasons=ingestion.reasons,
        links=ingestion.links,
    )


def refused_by_leakage(run: TrainingRun, reasons: tuple[str, ...]) -> TrainOutcome:
    """Return the outcome of a training that the leakage checks refused."""
    create_markdown_artifact(_listed(reasons), key=_key(run.config.model, "leakage"), description="Leakage checks")
    return TrainOutcome(
        model=run.config.model,
        status="refused",
        stage="leakage",
        reasons=reasons,
        data_version=run.snapshot.version,
    )


def trained(run: TrainingRun, version: TrainOutcome, verdict: GateVerdict) -> TrainOutcome:
    """Return the outcome of a registered and judged version; show verdict, metrics and links on the run page.

    Parameters
    ----------
    version
        Outcome of the registration; a version that an earlier run registered has no metrics and links.
    """
    from tasks.gate.judge import judged, release_note

    outcome = judged(version, verdict, run.folder, release_note(verdict, load_settings()))
    rows = [{"metric": name, **estimate} for name, estimate in outcome.metrics.items()]
    create_table_artifact(rows, key=_key(outcome.model, "metrics"), description=" ".join(outcome.reasons))
    links = "\n".join(f"- {title}: `{place}`" for title, place in outcome.links.items())
    create_markdown_artifact(links, key=_key(outcome.model, "links"), description="Links")
    gate_artifact(outcome.model, verdict)
    return outcome


def gate_artifact(model: str, verdict: GateVerdict) -> None:
    """Show a verdict on the run page: its headline, checks and numbers."""
    from tasks.reports.gate import gate_markdown

    create_markdown_artifact(gate_markdown(verdict), key=_key(model, "gate"), description=verdict.reasons[0])


def retrained(outcome: RetrainOutcome) -> RetrainOutcome:
    """Show the outcome of a trigger on the run page."""
    create_markdown_artifact(
        f"**{outcome.status}**\n\n{_listed(outcome.reasons)}\n\n- trigger: `{outcome.trigger_id}`",
        key=_key(outcome.model, "retrain"),
        description="Outcome of the trigger",
    )
    return outcome


def tell(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 - Prefect's names
    """Send a run's events to Prefect at its end; the relay sends those not accepted within some seconds."""
    try:
        send_events(load_settings(), seconds=TELL_SECONDS)
    except StorageError as error:
        _log.warning("%s; 'perennial relay' sends them", error)


def released(outcome: ReleaseOutcome) -> ReleaseOutcome:
    """Show a look at a release on the run page: its numbers, their figure, and what follows."""
    # Its colors come with the metrics of a training, which an ingestion need not import.
    from tasks.reports.release_figure import look_image

    shown = ("name", "state", "champion", "challenger", "estimate", "lower", "upper", "limit")
    rows = [{name: check[name] for name in shown} for check in outcome.checks]
    if rows:
        create_table_artifact(rows, key=_key(outcome.model, "release"), description=" ".join(outcome.reasons))
        create_image_artifact(
            look_image(outcome),
            key=_key(outcome.model, "release-figure"),
            description="Bounds of the harm against its limits",
        )
    where = f"{outcome.stage}, {outcome.share} %" if outcome.stage else "no release"
    create_markdown_artifact(
        f"**{outcome.status}** ({where})\n\n{_listed(outcome.reasons)}",
        key=_key(outcome.model, "release-look"),
        description="Look at the release",
    )
    return outcome


def watched(window: MonitoredWindow, verdict: DriftVerdict) -> DriftVerdict:
    """Show a drift verdict on the run page."""
    rows = [_column_row(column) for column in verdict.columns]
    create_table_artifact(rows, key=_key(verdict.model, "drift"), description=" ".join(verdict.reasons))
    create_markdown_artifact(
        f"**{verdict.status}**\n\n{_listed(verdict.reasons)}\n\n- report: `{window.folder / 'drift.html'}`",
        key=_key(verdict.model, "drift-report"),
        description="Drift of the current rows against the reference",
    )
    return verdict


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
    """Return an artifact key, which consists of lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9-]", "-", f"{model}-{what}")


def _listed(reasons: tuple[str, ...]) -> str:
    return "\n".join(f"- {reason}" for reason in reasons)

"""Results as lines for a terminal."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from core.comparison import Comparison
    from core.data_history import DataHistory
    from core.gate import GateVerdict
    from core.outcome import IngestOutcome, TrainOutcome
    from tasks.registry import ModelSummary, VersionDetail
_IN_NUMBERS = str.maketrans("", "", ",.+-")


def short_path(path: Any) -> str:
    """Path relative to the working directory where it lies below it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Align columns: text to the left, numbers to the right."""
    if not rows:
        return []
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    right = [all(_looks_numeric(row[i]) for row in rows) for i in range(len(header))]
    lines = []
    for line in [header, *rows]:
        cells = [
            cell.rjust(width) if flush_right else cell.ljust(width)
            for cell, width, flush_right in zip(line, widths, right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def record_crash(error: BaseException) -> Path:
    """Append the trace of an unexpected error to the crash log and return its path."""
    from config.settings import load_settings

    path = load_settings().var / "log" / "crash.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log:
        log.writelines(traceback.format_exception(error))
    return path


def _looks_numeric(cell: str) -> bool:
    return cell.strip("–").translate(_IN_NUMBERS).isdigit() or cell in {"", "–"}


def training_lines(outcome: TrainOutcome) -> list[str]:
    """Say what a training came to, and where to look."""
    metrics = [_metric_row(metric, estimate) for metric, estimate in outcome.metrics.items()]
    return [
        "",
        _training_headline(outcome),
        *(f"  {reason}" for reason in outcome.reasons),
        *section(table(("metric", "value", "low", "high"), metrics)),
        *section([f"{title:18} {short_path(place)}" for title, place in outcome.links.items()]),
    ]


def comparison_lines(verdict: GateVerdict) -> list[str]:
    """Say how one version does against another, and what the gate would say to it.

    Parameters
    ----------
    verdict
        Of the second version as a challenger of the first.
    """
    return [
        "",
        f"{verdict.model}: version {verdict.version} against version {verdict.champion}",
        *_rows_lines(verdict),
        *(section(_gain_table(verdict, verdict.comparison)) if verdict.comparison else []),
        "",
        f"the gate would say: {verdict.decision}",
        *(f"  {reason}" for reason in verdict.reasons),
    ]


def ingestion_lines(outcome: IngestOutcome) -> list[str]:
    """Say what became of the rows."""
    verb = "wrote" if outcome.is_new else "kept"
    headline = f"{verb} batch {outcome.batch}" if outcome.accepted else "validation says no: the rows were refused"
    version = [f"  data version {outcome.data_version}"] if outcome.data_version else []
    links = [f"{title:18} {short_path(place)}" for title, place in outcome.links.items()]
    return ["", headline, *(f"  {reason}" for reason in outcome.reasons), *version, *section(links)]


def model_lines(summaries: list[ModelSummary]) -> list[str]:
    """One line per model."""
    rows = [
        (
            summary.model,
            str(summary.n_versions),
            _text(summary.champion),
            _text(summary.challenger),
            f"{summary.metric} {summary.value:.4f}" if summary.metric and summary.value is not None else "–",
            _text(summary.created_at),
        )
        for summary in summaries
    ]
    lines = table(("model", "versions", "champion", "challenger", "gate metric", "newest"), rows)
    return lines or ["no models yet; write one with: perennial init --data FILE --target COLUMN"]


def version_lines(detail: VersionDetail) -> list[str]:
    """Everything about one version."""
    aliases = f" ({', '.join(detail.aliases)})" if detail.aliases else ""
    metrics = [(name, f"{value:.4f}") for name, value in detail.metrics.items()]
    return [
        f"{detail.model} version {detail.version}{aliases}, {detail.created_at}",
        f"  gate: {detail.gate}",
        *(f"    {reason}" for reason in detail.reasons),
        *section(table(("metric", "value"), metrics)),
        *section([f"{name:18} {value}" for name, value in detail.lineage.items()]),
        *section([f"{title:18} {short_path(place)}" for title, place in detail.links.items()]),
    ]


def history_lines(history: DataHistory) -> list[str]:
    """Versions, newest last, and the batches of the working copy."""
    versions = [
        (
            "*" if entry.is_current else "",
            entry.version.removesuffix(".dir"),
            _count(entry.n_rows),
            _count(entry.n_batches),
            _moment(entry.created_at),
            entry.git_commit[:10] or "–",
        )
        for entry in history.versions
    ]
    batches = [
        (
            entry.name,
            _count(entry.n_rows),
            _count(entry.n_quarantined),
            _day(entry.first_time),
            _day(entry.last_time),
            _moment(entry.ingested_at),
            entry.source,
        )
        for entry in history.batches
    ]
    if not versions:
        return [f"no data of {history.model} yet; read it with: perennial ingest {history.model}"]
    header = ("batch", "rows", "set aside", "first", "last", "ingested", "source")
    return [
        *table(("", "data version", "rows", "batches", "made", "commit"), versions),
        *section(table(header, batches)),
    ]


def _training_headline(outcome: TrainOutcome) -> str:
    name = f"{outcome.model} version {outcome.version}" if outcome.version else outcome.model
    alias = f" ({outcome.alias})" if outcome.alias else ""
    stays = f"; version {outcome.champion} stays champion" if outcome.champion else ""
    ask = f"perennial approve {outcome.model}@{outcome.version} --reason TEXT"
    what = "is not promoted" if outcome.version else "was not trained"
    return {
        "promoted": f"promoted {name}: it is the champion now",
        "waiting": f"{name} waits for a person: {ask} (or reject)",
        "recorded": f"{name} would be promoted, but the mode is dry_run{stays}",
        "refused": f"{outcome.stage} says no: {name} {what}{stays}",
        "undecided": f"{outcome.stage} cannot tell: {name} is not promoted{stays}",
        "unchanged": f"nothing to do: {name}{alias} is that model already",
    }[outcome.status]


def _rows_lines(verdict: GateVerdict) -> list[str]:
    holdout = verdict.holdout
    if holdout is None:
        return []
    return [
        f"  {holdout.n_rows:,} of {holdout.n_holdout:,} holdout rows are new to both: version {verdict.champion} has "
        f"trained on {holdout.n_seen_by_champion:,}, version {verdict.version} on {holdout.n_seen_by_challenger:,}"
    ]


def _gain_table(verdict: GateVerdict, comparison: Comparison) -> list[str]:
    from core.checks import percent_text
    from core.text import readable
    from tasks.gate_words import gain_cells, metric_label, slice_remark

    header = (metric_label(comparison.metric), "rows", f"version {verdict.champion}", f"version {verdict.version}")
    method = f"{percent_text(comparison.confidence)} by {comparison.difference.method}"
    whole = ("all rows", *gain_cells(comparison.n_rows, comparison.difference), method)
    slices = [
        (
            f"{readable(part.column, 40)} = {readable(part.level, 40)}",
            *gain_cells(part.n_rows, part.difference),
            slice_remark(part),
        )
        for part in comparison.slices
    ]
    return table((*header, "gain", "interval", ""), [whole, *slices])


def _metric_row(name: str, estimate: dict[str, float | None]) -> tuple[str, ...]:
    return (name, *("–" if estimate[part] is None else f"{estimate[part]:.4f}" for part in ("value", "low", "high")))


def section(lines: list[str]) -> list[str]:
    """Set lines apart by an empty one; nothing where there are none."""
    return ["", *(f"  {line}" for line in lines)] if lines else []


def _text(value: object) -> str:
    return "–" if value is None else str(value)


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _day(value: datetime | None) -> str:
    return "–" if value is None else f"{value:%Y-%m-%d}"


def _moment(value: datetime | None) -> str:
    return "–" if value is None else f"{value:%Y-%m-%d %H:%M}"

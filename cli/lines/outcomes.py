"""Results as lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.output import section, short_path, table

if TYPE_CHECKING:
    from core.outcome import IngestOutcome, TrainOutcome


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


def ingestion_lines(outcome: IngestOutcome) -> list[str]:
    """Say what became of the rows."""
    verb = "wrote" if outcome.is_new else "kept"
    headline = f"{verb} batch {outcome.batch}" if outcome.accepted else "validation says no: the rows were refused"
    version = [f"  data version {outcome.data_version}"] if outcome.data_version else []
    links = [f"{title:18} {short_path(place)}" for title, place in outcome.links.items()]
    return ["", headline, *(f"  {reason}" for reason in outcome.reasons), *version, *section(links)]


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


def _metric_row(name: str, estimate: dict[str, float | None]) -> tuple[str, ...]:
    return (name, *("–" if estimate[part] is None else f"{estimate[part]:.4f}" for part in ("value", "low", "high")))

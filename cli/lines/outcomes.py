"""Results as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cli.output import section, short_path, table

if TYPE_CHECKING:
    from core.outcome import IngestOutcome, TrainOutcome
    from core.score.outcome import ScoreOutcome


def training_lines(outcome: TrainOutcome) -> list[str]:
    """Report the outcome of a training, with reasons, metrics and links."""
    metrics = [_metric_row(metric, estimate) for metric, estimate in outcome.metrics.items()]
    return [
        "",
        _training_headline(outcome),
        *_said((*outcome.reasons, *outcome.notes)),
        *section(table(("metric", "value", "low", "high"), metrics)),
        *section([f"{title:18} {short_path(place)}" for title, place in outcome.links.items()]),
    ]


def ingestion_lines(outcome: IngestOutcome) -> list[str]:
    """Report whether the rows were accepted, with reasons and links."""
    version = [f"  data version {outcome.data_version}"] if outcome.data_version else []
    links = [f"{title:18} {short_path(place)}" for title, place in outcome.links.items()]
    own = ["", _ingestion_headline(outcome), *_said(outcome.reasons), *_bands(outcome), *version, *section(links)]
    return [*own, *(ingestion_lines(outcome.served) if outcome.served and outcome.accepted else [])]


def _ingestion_headline(outcome: IngestOutcome) -> str:
    if not outcome.accepted:
        is_selected = outcome.selection is not None and outcome.selection.is_selected
        return (
            "refused: the rows with labels are a selected sample"
            if is_selected
            else "validation failed: the rows were refused"
        )
    if outcome.batch is None:
        return "no served rows to add"
    return f"{'wrote' if outcome.is_new else 'kept'} batch {outcome.batch}"


def _bands(outcome: IngestOutcome) -> list[str]:
    if outcome.selection is None:
        return []
    rows = [
        (band.name, f"{band.n_rows:,}", f"{band.n_labelled:,}", f"{100 * band.share:.1f} %".rjust(len("100.0 %")))
        for band in outcome.selection.bands
    ]
    return section(table(("score", "served", "with a label", "share"), rows))


def score_lines(outcome: ScoreOutcome) -> list[str]:
    """Report what was scored by which version, and where it is."""
    places = {"output": outcome.output, "rows set aside": outcome.set_aside}
    links = [f"{title:18} {short_path(place)}" for title, place in places.items() if place]
    head = f"{outcome.model} version {outcome.version}: {'; '.join(outcome.reasons)}"
    return [head, *section([f"{'predicted at':18} {outcome.predicted_at}", *links])]


def _said(reasons: Iterable[str]) -> list[str]:
    """Indent reasons; the headline has said "refused" already, which a verdict on rows says once more."""
    return [f"  {reason.removeprefix('refused: ')}" for reason in reasons]


def _training_headline(outcome: TrainOutcome) -> str:
    name = f"{outcome.model} version {outcome.version}" if outcome.version else outcome.model
    alias = f" ({outcome.alias})" if outcome.alias else ""
    stays = f"; version {outcome.champion} remains champion" if outcome.champion else ""
    ask = f"perennial approve {outcome.model}@{outcome.version} --reason TEXT"
    what = "is not promoted" if outcome.version else "was not trained"
    if outcome.status == "unchanged" and outcome.refused:
        return (
            f"{'undecided' if outcome.decision == 'undecided' else 'refused'} as before: {name} is not promoted{stays}"
        )
    if outcome.status == "unchanged" and outcome.stage == "gate":
        return f"nothing to do: {name} is champion already; this is its last verdict"
    return {
        "promoted": f"promoted {name}: it is now champion",
        "releasing": f"{name} passed the gate and is released step by step{stays} until then",
        "waiting": f"{name} waits for approval: {ask} (or reject)",
        "recorded": f"{name} would be promoted, but the mode is dry_run{stays}",
        "refused": f"refused ({outcome.stage}): {name} {what}{stays}",
        "undecided": f"undecided ({outcome.stage}): {name} is not promoted{stays}",
        "unchanged": f"nothing to do: {name}{alias} was trained from the same data, configuration and code",
    }[outcome.status]


def _metric_row(name: str, estimate: dict[str, float | None]) -> tuple[str, ...]:
    return (name, *("–" if estimate[part] is None else f"{estimate[part]:.4f}" for part in ("value", "low", "high")))

"""Registered versions and comparisons as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.output import section, short_path, table

if TYPE_CHECKING:
    from core.gate.comparison import Comparison
    from core.gate.decision import GateVerdict
    from tasks.registry.versions import ModelSummary, RunningRelease, VersionDetail


def comparison_lines(verdict: GateVerdict) -> list[str]:
    """Report the comparison of two versions and the gate's verdict.

    Parameters
    ----------
    verdict
        The gate's verdict on the second version as challenger to the first.
    """
    return [
        "",
        f"{verdict.model}: version {verdict.version} against version {verdict.champion}",
        *_rows_lines(verdict),
        *(section(_gain_table(verdict, verdict.comparison)) if verdict.comparison else []),
        "",
        f"gate's verdict: {verdict.decision}",
        *(f"  {reason}" for reason in verdict.reasons),
    ]


def model_lines(summaries: list[ModelSummary]) -> list[str]:
    """One line per model, and the errors of model files that cannot be loaded."""
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
    releases = [f"{one.model}: {_release(one.model, one.release)}" for one in summaries if one.release]
    problems = [line for summary in summaries if summary.problem for line in ("", *summary.problem.splitlines())]
    return [*lines, *section(releases), *problems] or [
        "no models yet; write one with: perennial init --data FILE --target COLUMN"
    ]


def version_lines(detail: VersionDetail) -> list[str]:
    """Everything about one version."""
    aliases = f" ({', '.join(detail.aliases)})" if detail.aliases else ""
    metrics = _metric_rows(detail)
    choice = [
        (name.removeprefix("choice."), text) for name, text in detail.params.items() if name.startswith("choice.")
    ]
    return [
        f"{detail.model} version {detail.version}{aliases}, {detail.created_at}",
        *([f"  {_release(detail.model, detail.release)}"] if detail.release else []),
        f"  gate: {detail.gate}",
        *(f"    {reason}" for reason in detail.reasons),
        *section(table(("metric", "value", "recorded in"), metrics)),
        *(section(table((f"chosen: {detail.params.get('candidate', '–')}", "in MLflow"), choice)) if choice else []),
        *section([f"{name:18} {value}" for name, value in detail.lineage.items()]),
        *section([f"{title:18} {short_path(place)}" for title, place in detail.links.items()]),
    ]


def _release(model: str, release: RunningRelease) -> str:
    """Say which version is being released, how far it is, and where to read more."""
    where = {"shadow": "in the shadow", "step": f"at {release.share} % of the requests", "bake": "baking"}[
        release.stage
    ]
    paused = ", paused" if release.paused else ""
    return f"release {release.number} of version {release.version} runs, {where}{paused}: perennial release {model}"


def _metric_rows(detail: VersionDetail) -> list[tuple[str, str, str]]:
    """Return the gate's metric as the verdict records it, and the others as MLflow has them, which is not verified."""
    judged = {} if detail.gate_value is None else {detail.gate_metric: detail.gate_value}
    others = {name: value for name, value in detail.metrics.items() if name not in judged}
    return [
        *((name, f"{value:.4f}", "the gate's verdict") for name, value in judged.items()),
        *((name, f"{value:.4f}", "MLflow") for name, value in others.items()),
    ]


def _rows_lines(verdict: GateVerdict) -> list[str]:
    holdout = verdict.holdout
    if holdout is None:
        return []
    return [
        f"  {holdout.n_rows:,} of {holdout.n_holdout:,} holdout rows are new to both: version {verdict.champion} was "
        f"trained on {holdout.n_seen_by_champion:,}, version {verdict.version} on {holdout.n_seen_by_challenger:,}"
    ]


def _gain_table(verdict: GateVerdict, comparison: Comparison) -> list[str]:
    from core.gate.wording import gain_cells, metric_label, slice_remark
    from core.text import percent_text, readable

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


def _text(value: object) -> str:
    return "–" if value is None else str(value)

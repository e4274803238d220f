"""The gate's verdict as a section of the model card.

A card is registered before its version is judged, and its bundle never changes. So the card has a placeholder for the
verdict between two marks, and a copy of the card is completed after judging.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from config.schema import Gate
from core.gate.decision import GateVerdict
from core.gate.wording import (
    check_badge,
    check_reasons,
    decision_badge,
    gain_cells,
    gain_interval,
    holdout_facts,
    look_facts,
    metric_label,
    remarks,
    serving_facts,
    signed,
    slice_remark,
    standing,
)
from core.text import percent_text
from tasks.reports.gate_figure import forest_plot, shown_slices
from tasks.reports.pages import template_environment

if TYPE_CHECKING:
    import jinja2

    from core.gate.comparison import Comparison

BEGIN = "<!-- gate -->"
END = "<!-- /gate -->"


def with_verdict(card_html: str, verdict: GateVerdict, gate: Gate | None = None) -> str:
    """Put a verdict into a card, in place of the placeholder or of an earlier verdict.

    Parameters
    ----------
    card_html
        A page of :func:`tasks.reports.card.render_card`. Without a placeholder, the verdict is added at its end.
    gate
        Section of the model file; adds the margins to the figure.
    """
    return _filled(card_html, gate_html(verdict, gate))


def with_verdict_md(card_markdown: str, verdict: GateVerdict) -> str:
    """Put a verdict into a card in Markdown, see :func:`with_verdict`."""
    return _filled(card_markdown, gate_markdown(verdict))


def gate_html(verdict: GateVerdict, gate: Gate | None = None) -> str:
    """Render a verdict as a part of a page; every value from data is escaped."""
    figure = forest_plot(verdict.comparison, gate) if verdict.comparison else ""
    return _environment().get_template("gate.html.j2").render(_content(verdict), figure=figure, shaded=gate is not None)


def gate_markdown(verdict: GateVerdict) -> str:
    """Render a verdict as Markdown; every value from data is escaped."""
    return _environment().get_template("gate.md.j2").render(_content(verdict))


def _filled(card: str, section: str) -> str:
    # The first marks count: they precede all text on the card that comes from data.
    before, begin, rest = card.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        return f"{card}\n{section}"
    return f"{before}{begin}\n{section}{end}{after}"


def _content(verdict: GateVerdict) -> dict[str, Any]:
    holdout, serving, trials = verdict.holdout, verdict.serving, verdict.self_test
    said = [check.reason for check in verdict.checks]
    return {
        "standing": standing(verdict),
        "badge": decision_badge(verdict),
        "headline": verdict.reasons[0] if verdict.reasons else "",
        "remarks": remarks(verdict),
        "checks": check_reasons(verdict.checks),
        "label": metric_label(verdict.metric),
        "gain_cells": gain_cells,
        "holdout": {**holdout_facts(holdout), **_looks(verdict.comparison)} if holdout else {},
        "rule": holdout.rule if holdout else "",
        "trials": trials.results if trials else (),
        "serving": serving_facts(serving) if serving else {},
        "serving_remarks": _unsaid(serving.reasons, said) if serving else [],
        "comparison": verdict.comparison,
        **(_comparison_content(verdict.comparison) if verdict.comparison else {}),
    }


def _looks(comparison: Comparison | None) -> dict[str, str]:
    return look_facts(comparison) if comparison else {}


def _comparison_content(comparison: Comparison) -> dict[str, Any]:
    drawn = shown_slices(comparison)
    confidences = [part.difference.confidence for part in drawn if part.difference]
    return {
        "confidence": percent_text(comparison.confidence),
        "slice_confidence": percent_text(confidences[0]) if confidences else "",
        "n_drawn": len(drawn),
    }


def _unsaid(sentences: Sequence[str], said: Sequence[str]) -> list[str]:
    return [sentence for sentence in sentences if not any(sentence in other for other in said)]


def _environment() -> jinja2.Environment:
    environment = template_environment()
    environment.filters |= {
        "answer": check_badge,
        "gain_interval": gain_interval,
        "signed": signed,
        "slice_remark": slice_remark,
    }
    return environment

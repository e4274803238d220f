"""The model card as Markdown and as one self-contained page."""

from __future__ import annotations

import html
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.metrics.evaluation import Estimate
from core.text import readable, significant
from core.train.card import CardFacts
from tasks.reports.figures import draw_figures

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).with_name("templates")
MARKDOWN_LENGTH = 2_000


@dataclass(frozen=True)
class Card:
    """A model card in both forms."""

    markdown: str
    html: str


def render_card(facts: CardFacts) -> Card:
    """Render the card from its facts; every value from data is escaped for its format."""
    content = {name: getattr(facts, name) for name in facts.__dataclass_fields__}
    content |= {
        "limits": facts.limits,
        "task_sentence": _task_sentence(facts),
        "lineage_rows": _lineage_rows(facts),
        "figures": draw_figures(facts.evaluation),
        "css": (TEMPLATES / "page.css").read_text(encoding="utf-8"),
    }
    environment = template_environment()
    return Card(
        markdown=environment.get_template("card.md.j2").render(content),
        html=environment.get_template("card.html.j2").render(content),
    )


def template_environment() -> jinja2.Environment:
    """Return a Jinja environment with HTML escaping and the number formats of our pages."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        # Markdown has no autoescaping: its templates pass every value from data through the filter ``md``.
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",)),
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": _number, "amount": _amount, "interval": _interval, "spread": _spread, "md": _md}
    environment.filters |= {"readable": readable}
    return environment


def _task_sentence(facts: CardFacts) -> str:
    config = facts.config
    if config.task == "binary":
        return f"Predicts the probability of {config.target} = {config.positive}."
    return f"Predicts {config.target} ({config.task})."


def _lineage_rows(facts: CardFacts) -> dict[str, str]:
    lineage = facts.lineage
    commit = f"{lineage.git_commit or 'none'}{' (with uncommitted changes)' if lineage.git_dirty else ''}"
    return {
        "data version": lineage.data_version,
        "git commit": commit,
        "configuration": lineage.config_hash[:16],
        "code": lineage.code_version[:16],
        "requirements.lock": lineage.lock_hash[:16] or "none",
        "run key": lineage.run_key[:16],
        "trigger": lineage.trigger,
    }


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return significant(value, 4) if abs(value) >= 10 else f"{value:.4f}"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else _number(value)


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "–"
    return f"{_number(estimate.low)} to {_number(estimate.high)}"


def _spread(scores: Sequence[float] | None) -> str:
    if not scores:
        return "–"
    deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return f"{_number(statistics.fmean(scores))} ± {_number(deviation)}"


def _md(value: object) -> str:
    """Escape Markdown and HTML markup, and invisible characters."""
    flat = readable(re.sub(r"\s+", " ", str(value)), MARKDOWN_LENGTH)
    return re.sub(r"([\\`*_\[\]{}|#!])", r"\\\1", html.escape(flat, quote=False))

"""Jinja templates of our pages: escaping, and the formats of numbers."""

from __future__ import annotations

import html
import math
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.text import readable, significant

if TYPE_CHECKING:
    import jinja2

    from core.metrics.bootstrap import Estimate

TEMPLATES = Path(__file__).with_name("templates")
MARKDOWN_LENGTH = 2_000


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

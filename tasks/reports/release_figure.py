"""The figure of one look at a release: what was shown of each guardrail, against its limit."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from core.text import significant
from tasks.reports.figures import ACCENT, INK, MUTED, SECOND

if TYPE_CHECKING:
    from core.release.outcome import ReleaseOutcome

LABELS = {
    "error_rate": "failed requests",
    "latency": "latency",
    "predictions": "predictions (PSI)",
    "performance": "performance",
}
COLORS = {"ok": ACCENT, "breached": SECOND}
WIDTH, TOP, ROW, BOTTOM = 680, 44, 34, 30
LEFT, RIGHT = 150, 430
"""Pixels between which the axis lies; the numbers stand to its right."""
LEAST, MOST = -0.5, 2.0
"""Harm in units of its limit at the ends of the axis; what lies beyond is drawn at the end."""


def look_image(outcome: ReleaseOutcome) -> str:
    """Return the figure of a look as a ``data:`` address of an SVG image; empty if no guardrail was checked."""
    if not outcome.checks:
        return ""
    return "data:image/svg+xml;base64," + base64.b64encode(look_svg(outcome).encode()).decode()


def look_svg(outcome: ReleaseOutcome) -> str:
    """Draw one row for each guardrail: the interval of the harm and its estimate, in units of the limit.

    Parameters
    ----------
    outcome
        A look with at least one check.

    Returns
    -------
    str
        An SVG element without references to anything outside it.
    """
    height = TOP + ROW * len(outcome.checks) + BOTTOM
    title = (
        f"{outcome.model}: release {outcome.number} of version {outcome.version}, "
        f"{outcome.stage} at {outcome.share} %, {outcome.status.replace('_', ' ')}"
    )
    parts = [
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(12, 22, title, weight="bold"),
        *_axis(height),
        *(part for place, check in enumerate(outcome.checks) for part in _row(check, TOP + ROW * place + ROW // 2)),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="DejaVu Sans, sans-serif" font-size="12">{"".join(parts)}</svg>'
    )


def _axis(height: int) -> Sequence[str]:
    bottom = height - BOTTOM
    limit = _place(1.0)
    return (
        f'<line x1="{limit}" y1="{TOP - 6}" x2="{limit}" y2="{bottom}" stroke="{SECOND}"/>',
        _text(limit, bottom + 16, "limit", color=SECOND, anchor="middle"),
        f'<line x1="{_place(0.0)}" y1="{TOP - 6}" x2="{_place(0.0)}" y2="{bottom}" stroke="{MUTED}"/>',
        _text(_place(0.0), bottom + 16, "0", color=MUTED, anchor="middle"),
    )


def _row(check: dict[str, Any], y: int) -> Sequence[str]:
    color = COLORS.get(check["state"], MUTED)
    parts = [_text(12, y + 4, LABELS.get(check["name"], check["name"]))]
    limit = check["limit"]
    lower, estimate, upper = (_in_limits(check[name], limit) for name in ("lower", "estimate", "upper"))
    if lower is not None or upper is not None:
        # A bound that does not exist is beyond every number.
        start, end = _place(LEAST if lower is None else lower), _place(MOST if upper is None else upper)
        parts.append(f'<line x1="{start}" y1="{y}" x2="{end}" y2="{y}" stroke="{color}" stroke-width="3"/>')
    if estimate is not None:
        parts.append(f'<circle cx="{_place(estimate)}" cy="{y}" r="5" fill="{color}"/>')
    said = "no data" if estimate is None else f"{significant(check['estimate'], 3)}, limit {significant(limit, 3)}"
    parts.append(_text(RIGHT + 20, y + 4, f"{check['state']}, {said}", color=color))
    return parts


def _in_limits(value: float | None, limit: float) -> float | None:
    return None if value is None else value / limit


def _place(harm: float) -> int:
    share = (min(max(harm, LEAST), MOST) - LEAST) / (MOST - LEAST)
    return round(LEFT + share * (RIGHT - LEFT))


def _text(x: int, y: int, text: str, *, color: str = INK, anchor: str = "start", weight: str = "normal") -> str:
    style = f'fill="{color}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x}" y="{y}" {style}>{escape(text)}</text>'

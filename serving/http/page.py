"""The status page and the status document: served versions, their tenure, live rates, and drift."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response

from core.text import readable, significant
from serving import routes
from serving.http.service import DRAINING, Service
from serving.http.status import ReleaseAnswer, StatusAnswer, UnansweredAnswer, service_status

TEMPLATES = Path(__file__).with_name("templates")

FRESH = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
POLICY = (
    "default-src 'none'; script-src {script}; style-src {css}; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
BY = {
    "gate": "promoted by the gate",
    "approval": "approved by a person",
    "rollback": "restored by a rollback",
    "adopted": "adopted from the registry",
    "release": "promoted by a release",
}
DRIFTS = {
    "ok": ("good", "✓ ok"),
    "watch": ("warn", "▲ watch"),
    "drift": ("bad", "✕ drift"),
    "insufficient": ("", "… too few rows"),
}
OVERALL = {"ok": ("good", "✓ no problems"), "trouble": ("bad", "▲ problems"), "not ready": ("warn", "… not ready")}

LARGE_PSI = 0.25
"""Least PSI of a full bar, so that the bars of small values stay short."""

AGES = ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h"), (math.inf, 86_400, "days"))

Render = Callable[[StatusAnswer], str]


def add_page(app: FastAPI, service: Service, mlflow_uri: str) -> None:
    """Add the routes ``/`` (the status page) and ``/v1/status`` (its content as JSON).

    Parameters
    ----------
    app
        Application that gets both routes.
    service
        The worker's service.
    mlflow_uri
        URI of the registry, for links.
    """
    render, policy = page_writer()

    async def found() -> StatusAnswer:
        window = await asyncio.to_thread(service.live.window)
        return service_status(service, window, mlflow_uri)

    @app.get(routes.STATUS.path, response_model=StatusAnswer)
    async def status(response: Response) -> Any:
        """Status of the service: served versions, their tenure, live rates, and drift."""
        response.headers.update(FRESH)
        return await found()

    @app.get(routes.PAGE.path, include_in_schema=False)
    async def page() -> Response:
        """Status page: served versions, their tenure, live rates, and drift."""
        headers = {**FRESH, "content-security-policy": policy, "referrer-policy": "no-referrer"}
        return Response(render(await found()), media_type="text/html", headers=headers)


def page_writer() -> tuple[Render, str]:
    """Return the function that renders the page, and a policy (CSP) that allows only its own style and script."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"readable": readable, "day": _day, "age": _age, "number": _number, "width": _width}
    environment.globals |= {"rate": rate, "milliseconds": milliseconds, "share": share, "refused": refused}
    environment.globals |= {"by": BY, "drifts": DRIFTS, "release_label": release_label}
    css, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    template = environment.get_template("page.html.j2")

    def render(status: StatusAnswer) -> str:
        return template.render(status=status, overall=_overall(status), css=css, script=script)

    return render, POLICY.format(script=_digest(script), css=_digest(css))


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _overall(status: StatusAnswer) -> tuple[str, str]:
    tone, words = OVERALL[status.status]
    return tone, f"{words}: {status.reason}" if status.reason == DRAINING else words


def _day(moment: str) -> str:
    at = _moment(moment)
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _age(moment: str, now: str) -> str:
    seconds = (_moment(now) - _moment(moment)).total_seconds()
    unit, name = next((unit, name) for below, unit, name in AGES if seconds < below)
    return f"{int(max(0.0, seconds) // unit):,} {name} ago"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if abs(value) < 10 else significant(value, 4)


def _width(psi: float, largest: float) -> str:
    return f"{100 * max(0.0, psi) / max(largest, LARGE_PSI):.1f}"


def release_label(release: ReleaseAnswer) -> tuple[str, str]:
    """Return tone and text of a release's badge."""
    words = {"shadow": "shadow: no client has its answers", "bake": "bake: it answers all requests"}
    text = words.get(release.stage) or f"{release.share} % of the requests"
    if release.trouble is not None:
        return "bad", f"▲ {text}"
    return ("warn", f"… paused, {text}") if release.paused else ("good", f"✓ {text}")


def rate(per_second: float | None) -> str:
    """Format a rate, in the same way as the page's script.

    Examples
    --------
    >>> rate(None), rate(0.0), rate(0.25), rate(12.34), rate(1234.5)
    ('–', '0/s', '0.25/s', '12.3/s', '1,234/s')
    """
    if per_second is None:
        return "–"
    digits = 2 if per_second < 10 else 1 if per_second < 100 else 0
    return "0/s" if per_second == 0 else f"{per_second:,.{digits}f}/s"


def milliseconds(value: float | None) -> str:
    """Format a latency in ms, in the same way as the page's script.

    Examples
    --------
    >>> milliseconds(None), milliseconds(1.84), milliseconds(184.4), milliseconds(1840), milliseconds(10_000)
    ('–', '1.8 ms', '184 ms', '1.84 s', '≥ 10 s')
    """
    if value is None:
        return "–"
    if value >= 10_000:
        return "≥ 10 s"
    return f"{value:.{1 if value < 100 else 0}f} ms" if value < 1000 else f"{value / 1000:.2f} s"


def share(value: float | None) -> str:
    """Format a share, in the same way as the page's script.

    Examples
    --------
    >>> share(None), share(0.0), share(0.0001), share(0.034), share(0.34)
    ('–', '0%', '< 0.1%', '3.4%', '34%')
    """
    if value is None:
        return "–"
    if 0 < value < 0.0005:
        return "< 0.1%"
    return f"{100 * value:.{1 if 0 < value < 0.1 else 0}f}%"


def refused(found: UnansweredAnswer | None) -> str:
    """Format requests by status code, in the same way as the page's script."""
    if found is None:
        return "–"
    return ", ".join(f"{count:,} × {code}" for code, count in found.codes.items()) or "none"

"""Health of a worker, which is answered without the framework and is therefore known early in a start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from serving.routes import LIVE, READY

if TYPE_CHECKING:
    from serving.http.service import Service

HEALTH = (LIVE.name, READY.name)
"""Names of its routes."""


def health(service: Service, route: str) -> tuple[int, dict[str, Any]]:
    """Return status and content of the answer to a request for one of the :data:`HEALTH` routes."""
    if route == LIVE.name:
        return 200, {"status": "live", "reason": None}
    reason = service.not_ready_because()
    status = "ready" if reason is None else "not ready"
    return 200 if reason is None else 503, {"status": status, "reason": reason}


def health_document(service: Service, route: str) -> tuple[int, bytes]:
    """Return the status and the document of that answer."""
    status, content = health(service, route)
    return status, msgspec.json.encode(content)

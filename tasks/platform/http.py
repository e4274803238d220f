"""Short HTTP requests that may get no answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from config.settings import is_loopback_host, secret


@dataclass(frozen=True)
class Answer:
    """An answer: status, headers with names in lower case, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the JSON document in the body; None if the body is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def ask(url: str, *, body: Any = None, headers: Mapping[str, str] | None = None, seconds: float) -> Answer | None:
    """Send a GET request, or a POST request if there is a body; return None if no answer comes in time."""
    import httpx

    try:
        # Proxies from the environment cannot reach this machine's loopback addresses.
        direct = is_loopback_host(urlsplit(url).hostname or "")
        with httpx.Client(trust_env=not direct, timeout=seconds, headers=dict(headers or {})) as client:
            reply = client.get(url) if body is None else client.post(url, json=body)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None
    return Answer(reply.status_code, dict(reply.headers), reply.content)


def prefect_headers() -> dict[str, str]:
    """Return the authorization header for Prefect Cloud or a server with a password."""
    key, password = secret("PREFECT_API_KEY"), secret("PREFECT_API_AUTH_STRING")
    if key:
        return {"Authorization": f"Bearer {key}"}
    if password:
        return {"Authorization": "Basic " + base64.b64encode(password.encode()).decode()}
    return {}

"""Requests to the two HTTP APIs that a release with a mesh needs: Kubernetes and Prometheus."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config.settings import is_loopback_host
from core.errors import ConfigError, StorageError


@dataclass(frozen=True)
class Api:
    """An HTTP API that answers with JSON.

    Parameters
    ----------
    name
        For messages.
    url
        Its address.
    token
        Bearer token; None for none.
    ca_file
        Certificate authorities that are trusted; None for the usual ones.
    seconds
        Time limit of a request.
    variables
        Prefix of the environment variables that describe it, for messages.
    """

    name: str
    url: str
    token: str | None = field(repr=False)
    ca_file: Path | None
    seconds: float
    variables: str

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: Any = None,
        content_type: str = "",
    ) -> tuple[int, Any]:
        """Send a request; return status and document of an answer that says what to do about the request.

        Parameters
        ----------
        method, path, params
            The request.
        content, content_type
            Document of the body, if there is one, and its type.

        Raises
        ------
        ConfigError
            The API does not accept the credentials, or its certificates, or they cannot be used.
        StorageError
            The API does not answer in time, or not with what is expected.
        """
        import httpx

        headers = self._headers() | ({"Content-Type": content_type} if content_type else {})
        body = None if content is None else json.dumps(content)
        direct = is_loopback_host(urlsplit(self.url).hostname or "")
        try:
            with httpx.Client(trust_env=not direct, timeout=self.seconds, verify=self._context()) as client:
                reply = client.request(
                    method, self.url.rstrip("/") + path, params=params, content=body, headers=headers
                )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise StorageError(
                f"{self.name} at {self.url} does not answer within {self.seconds:g} s "
                f"({error or type(error).__name__}); check the address ({self.variables}URL) and the certificates"
            ) from error
        return reply.status_code, self._document(reply.status_code, reply.content)

    def _headers(self) -> dict[str, str]:
        if self.token is None:
            return {}
        address = urlsplit(self.url)
        if address.scheme != "https" and not is_loopback_host(address.hostname or ""):
            raise ConfigError(f"{self.variables}URL: expected https, because a token is sent; found {self.url}")
        if not self.token.isascii() or not self.token.isprintable():
            raise ConfigError(f"the token of {self.name} has characters that no token has")
        return {"Authorization": f"Bearer {self.token}"}

    def _context(self) -> ssl.SSLContext | bool:
        if self.ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"{self.ca_file}: expected certificates in PEM format ({error})") from error

    def _document(self, status: int, body: bytes) -> Any:
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        if status in {401, 403}:
            raise ConfigError(
                f"{self.name} at {self.url} refused the credentials ({status}{_said(document)}); "
                "check the token and its rights"
            )
        if status >= 500 or status == 429 or 300 <= status < 400 or (status < 300 and not isinstance(document, dict)):
            raise StorageError(
                f"{self.name} at {self.url} expected to answer with a document, found {status}{_said(document)}"
            )
        return document


def _said(document: Any) -> str:
    said = message(document)
    return f": {said}" if said else ""


def message(document: Any) -> str:
    """Return what the document of a failure says, shortened; empty if it says nothing."""
    if not isinstance(document, dict):
        return ""
    return str(document.get("message") or document.get("error") or "")[:300]

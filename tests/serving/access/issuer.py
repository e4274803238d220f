"""An identity provider for tests: keys, tokens, and a server on this machine that publishes keys."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, serialize_compact

ISSUER = "https://issuer.example.org/"
AUDIENCE = "perennial"
NOW = 1_800_000_000.0
"""What the clocks of these tests show."""

AnyKey = RSAKey | ECKey | OKPKey


class Lax(JWSRegistry):
    """Signs anything with anything, as a forger would."""

    def get_alg(self, name: str) -> Any:
        """Return an algorithm without a word about its strength."""
        return self.algorithms[name]

    def check_header(self, header: dict[str, Any]) -> None:
        """Find nothing wrong."""


@cache
def signing_key(kind: str = "RSA", kid: str = "one", **parameters: Any) -> AnyKey:
    """Return a private key, always the same one for the same arguments."""
    named: Any = {"kid": kid, **parameters}
    if kind == "RSA":
        return RSAKey.generate_key(2048, named)
    if kind in ("Ed25519", "X25519"):
        return OKPKey.generate_key(kind, named)  # type: ignore[arg-type] # one of the curves it names
    return ECKey.generate_key(kind, named)


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good token; a claim changed to None is left out."""
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "shop", "exp": NOW + 600, "iat": NOW - 10, "roles": ["predict"]}
    return {name: value for name, value in (good | changes).items() if value is not None}


def token(
    content: dict[str, Any] | None = None,
    *,
    key: AnyKey | None = None,
    alg: str = "RS256",
    header: dict[str, Any] | None = None,
) -> str:
    """Return a signed token, good in all that is not changed."""
    key = key or signing_key()
    protected = {"alg": alg, "kid": key.kid, "typ": "at+jwt", **(header or {})}
    protected = {name: value for name, value in protected.items() if value is not None}
    payload = json.dumps(claims() if content is None else content)
    return serialize_compact(protected, payload, key, registry=Lax())


def jwks(*keys: AnyKey) -> dict[str, Any]:
    """Return what an identity provider publishes of its keys."""
    return {"keys": [key.as_dict(private=False) for key in keys or (signing_key(),)]}


class Publisher:
    """What the server answers, and how often it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body = json.dumps(jwks()).encode()
        self.headers: dict[str, str] = {}
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.seconds_between_bytes = 0.0
        self.n_asked = 0
        self.url = ""

    def publish(self, *keys: AnyKey) -> None:
        """Publish these keys from now on."""
        self.body = json.dumps(jwks(*keys)).encode()


@contextmanager
def publishing() -> Iterator[Publisher]:
    """Run a server that publishes keys."""
    publisher = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            publisher.n_asked += 1
            publisher.may_answer.wait(120)
            self.send_response(publisher.status)
            for name, value in publisher.headers.items():
                self.send_header(name, value)
            self.end_headers()
            _send(self, publisher)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    publisher.url = f"http://127.0.0.1:{server.server_port}/keys"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield publisher
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _send(handler: BaseHTTPRequestHandler, publisher: Publisher) -> None:
    try:
        if not publisher.seconds_between_bytes:
            handler.wfile.write(publisher.body)
            return
        for byte in publisher.body:
            handler.wfile.write(bytes([byte]))
            time.sleep(publisher.seconds_between_bytes)
    except (BrokenPipeError, ConnectionResetError):
        return  # the client had enough

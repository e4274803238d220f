"""Deliveries of webhooks as their senders sign them, written out here so that no code of ours checks itself."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from config.settings import HookSettings
from tests.serving.running import Running

PATH = "/v1/hooks/credit/retrain"

STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the specification's test vector
NEWER_SECRET = "whsec_" + b64encode(bytes(range(32))).decode()
SHARED_SECRET = "whsec_" + b64encode(bytes(range(1, 33))).decode()
GITHUB_SECRET = "a-secret-of-a-repository"  # noqa: S105
MLFLOW_SECRET = "a-secret-of-a-registry"  # noqa: S105


@dataclass(frozen=True)
class Sent:
    """A request that brings a delivery."""

    body: bytes
    headers: Mapping[str, str | bytes] = field(default_factory=dict)
    path: str = PATH

    def changed(self, **headers: str | bytes | None) -> Sent:
        """Return the delivery with other headers, without those that are None; ``_`` stands for ``-``."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        found = {**self.headers, **given}
        return replace(self, headers={name: value for name, value in found.items() if value is not None})


def hook_settings(**given: Any) -> HookSettings:
    """Return keys for one model of a sender in each convention, one for another model, and one for all models."""
    secrets = {
        "standard": f"ci/credit={STANDARD_SECRET} other/bike={NEWER_SECRET} all={SHARED_SECRET}",
        "github": f"repo/credit={GITHUB_SECRET}",
        "mlflow": f"registry/credit={MLFLOW_SECRET}",
    }
    return HookSettings.model_validate({"per_minute": 100_000, **secrets, **given})


def project(folder: Path, *models: str) -> Path:
    """Make a project that describes models, and return its folder."""
    home = folder / "config" / "models"
    home.mkdir(parents=True, exist_ok=True)
    for model in models or ("credit", "bike"):
        (home / f"{model}.yaml").touch()
    return folder


def standard(
    body: bytes = b"{}", *, id_: str = "msg_1", secret: str = STANDARD_SECRET, at: float | None = None
) -> Sent:
    """Sign as Standard Webhooks says."""
    moment = str(int(time.time() if at is None else at))
    key = b64decode(secret.removeprefix("whsec_"))
    signature = b64encode(hmac.digest(key, f"{id_}.{moment}.".encode() + body, "sha256")).decode()
    return Sent(body, {"webhook-id": id_, "webhook-timestamp": moment, "webhook-signature": f"v1,{signature}"})


def mlflow(body: bytes, *, id_: str = "d1", secret: str = MLFLOW_SECRET, at: float | None = None) -> Sent:
    """Sign as MLflow does."""
    moment = str(int(time.time() if at is None else at))
    signature = b64encode(hmac.digest(secret.encode(), f"{id_}.{moment}.".encode() + body, "sha256")).decode()
    names = {"x-mlflow-delivery-id": id_, "x-mlflow-timestamp": moment, "x-mlflow-signature": f"v1,{signature}"}
    return Sent(body, names)


def github(
    body: bytes, *, event: str = "push", delivery: str = "72d3162e-cc78-11e3", secret: str = GITHUB_SECRET
) -> Sent:
    """Sign as GitHub does."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return Sent(
        body, {"x-github-event": event, "x-github-delivery": delivery, "x-hub-signature-256": f"sha256={signature}"}
    )


def push(*paths: str, **more: Any) -> bytes:
    """Return the body of a push to the default branch whose second commit modifies files."""
    listed = [
        {"id": "a" * 40, "added": ["README.md"], "removed": [], "modified": []},
        {"id": "b" * 40, "added": [], "removed": [], "modified": list(paths)},
    ]
    content = {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": "b" * 40,
        "repository": {"id": 1, "full_name": "bank/scores", "default_branch": "main"},
        "pusher": {"name": "ada", "email": "ada@example.org"},
        "head_commit": listed[-1],
        "commits": listed,
    }
    return json.dumps({**content, **more}).encode()


def registry(entity: str, action: str, **data: Any) -> bytes:
    """Return the body of a delivery of MLflow's registry."""
    content = {"entity": entity, "action": action, "timestamp": "2026-01-01T00:00:00+00:00", "data": data}
    return json.dumps(content).encode()


def deliver(service: Running, sent: Sent, content_type: str = "application/json") -> tuple[int, dict[str, Any]]:
    """Send a delivery over a connection of its own; return status and document."""
    status, _, body = deliver_raw(service, sent, content_type)
    return status, json.loads(body)


def deliver_raw(
    service: Running, sent: Sent, content_type: str | bytes | None = "application/json"
) -> tuple[int, Mapping[str, str], bytes]:
    """Send a delivery byte by byte as it is given, which a library of clients would not."""
    headers = {"host": "hooks.example.org", "content-length": str(len(sent.body)), **sent.headers}
    if content_type is not None:
        headers["content-type"] = content_type
    head = [b"POST " + sent.path.encode() + b" HTTP/1.1"]
    head += [name.encode() + b": " + (v if isinstance(v, bytes) else v.encode()) for name, v in headers.items()]
    with service.connect() as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused by its head, and closed
            connection.sendall(b"\r\n".join(head) + b"\r\n\r\n" + sent.body)
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        found = {name.lower(): value for name, value in reply.getheaders()}
        return reply.status, found, reply.read()

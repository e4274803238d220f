"""Sign and send webhook deliveries as their senders do, to test a configuration."""

from __future__ import annotations

import hmac
import json
import secrets
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from config.settings import HOOK_CONVENTIONS, HookKey, HookSettings
from core.errors import ConfigError, StorageError

if TYPE_CHECKING:
    import httpx

SECRET_BYTES = 32
TIMEOUT_SECONDS = 30.0
"""The service answers within 10 s."""


@dataclass(frozen=True)
class Delivery:
    """A signed request.

    Parameters
    ----------
    headers
        Headers with the signature.
    body
        The signed body.
    """

    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """The service's answer to a delivery.

    Parameters
    ----------
    status_code
        200 if the delivery requests nothing, 202 if its trigger is stored.
    status, id, reason
        Result of the delivery, the trigger's id, and the reason.
    """

    status_code: int
    status: Literal["accepted", "known", "ignored"]
    id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return dict(vars(self))

    def lines(self) -> list[str]:
        """Return the answer as lines of text."""
        meaning = {
            "accepted": "the trigger is in the inbox",
            "known": "the delivery was received before; it starts nothing",
            "ignored": "the delivery requests nothing",
        }
        return [f"{self.status_code} {self.status}: {meaning.get(self.status, '')} ({self.id})", f"  {self.reason}"]


def new_secret() -> str:
    """Return a new secret in the format of Standard Webhooks; the other conventions use it as plain text."""
    return f"whsec_{b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


def hook_key(settings: HookSettings, model: str, *, sender: str | None, convention: str | None) -> HookKey:
    """Return the first matching key.

    Raises
    ------
    ConfigError
        There is none; the message says how to set one.
    """
    # A key for the model alone comes first: deliveries of GitHub need one.
    for key in sorted(settings.keys, key=lambda key: key.model != model):
        if key.allows(model) and sender in (None, key.sender) and convention in (None, key.convention):
            return key
    variables = [f"PERENNIAL_HOOKS_{name.upper()}" for name in HOOK_CONVENTIONS if convention in (None, name)]
    whose = f" of {sender!r}" if sender else ""
    raise ConfigError(
        f"no secret{whose} for {model!r} in {' or '.join(variables)}; set one here and for the service: "
        f'{variables[0]}="{sender or "ci"}/{model}=$(perennial hooks secret)"'
    )


def signed_delivery(key: HookKey, model: str, delivery_id: str, reason: str, at: datetime) -> Delivery:
    """Return a delivery that requests a retraining, in the convention of a key.

    Parameters
    ----------
    delivery_id
        Its id. The same id with the same reason is the same delivery. With a key for all models, an id of Standard
        Webhooks gets the model's name as its beginning, as the service requires.
    at
        Time of the signature.
    """
    if key.convention == "github":
        return _of_github(key, delivery_id, reason)
    if key.convention == "mlflow":
        data = {"name": model, "alias": "retrain", "version": "1"}
        content = {"entity": "model_version_alias", "action": "created", "timestamp": at.isoformat(), "data": data}
        names = ("X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature")
        return _of_standard(key, delivery_id, content, at, names)
    if not key.model and not delivery_id.startswith(f"{model}:"):
        delivery_id = f"{model}:{delivery_id}"
    content = {"type": "retrain.requested", "timestamp": at.isoformat(), "data": {"reason": reason}}
    return _of_standard(key, delivery_id, content, at, ("webhook-id", "webhook-timestamp", "webhook-signature"))


def _of_standard(
    key: HookKey, delivery_id: str, content: dict[str, Any], at: datetime, names: tuple[str, str, str]
) -> Delivery:
    from standardwebhooks.webhooks import Webhook

    body = json.dumps(content)
    values = (delivery_id, str(int(at.timestamp())), Webhook(key.secret).sign(delivery_id, at, body))
    return Delivery(dict(zip(names, values, strict=True)), body.encode())


def _of_github(key: HookKey, delivery_id: str, reason: str) -> Delivery:
    commit = {"id": delivery_id, "message": reason, "added": [], "removed": [], "modified": ["data.dvc"]}
    repository = {"full_name": f"{key.sender}/test", "default_branch": "main"}
    content = {
        "ref": "refs/heads/main",
        # A delivery is identified by its body, so the body contains the id.
        "after": delivery_id,
        "repository": repository,
        "pusher": {"name": "perennial hooks send"},
        "commits": [commit],
    }
    body = json.dumps(content).encode()
    signature = hmac.new(key.secret, body, sha256).hexdigest()
    return Delivery(
        {"X-GitHub-Event": "push", "X-GitHub-Delivery": delivery_id, "X-Hub-Signature-256": f"sha256={signature}"}, body
    )


def send_delivery(key: HookKey, model: str, url: str, *, delivery_id: str | None, reason: str) -> Answer:
    """Sign and send a delivery.

    Parameters
    ----------
    key
        Key that signs it.
    url
        Address of the service.
    delivery_id
        Id of the delivery; a new one if None.

    Raises
    ------
    ConfigError
        The service refuses it.
    StorageError
        The service is unreachable, or cannot store the trigger now.
    """
    import httpx

    delivery_id = delivery_id or f"msg_{secrets.token_hex(16)}"
    delivery = signed_delivery(key, model, delivery_id, reason, datetime.now(UTC))
    address = f"{url.rstrip('/')}/v1/hooks/{quote(model, safe='')}/retrain"
    headers = {**delivery.headers, "content-type": "application/json"}
    try:
        found = httpx.post(address, content=delivery.body, headers=headers, timeout=TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:
        raise StorageError(
            f"{address} did not answer: {error or type(error).__name__}. Does 'perennial serve' run there (--url)?"
        ) from error
    return _answer(found, key, address)


def _answer(found: httpx.Response, key: HookKey, address: str) -> Answer:
    try:
        content = found.json()
        if found.status_code in (200, 202):
            return Answer(found.status_code, content["status"], content["id"], content["reason"])
        detail = str(content["detail"])
    except (ValueError, TypeError, LookupError):
        raise ConfigError(
            f"{address} answered {found.status_code}, but not as Perennial's prediction service; check --url"
        ) from None
    kind = StorageError if found.status_code >= 500 else ConfigError
    raise kind(
        f"the service answered {found.status_code}: {detail} (signed as {key.sender!r}, {key.convention}). "
        f"{_ADVICE.get(found.status_code, '')}".rstrip()
    )


_ADVICE = {
    401: "The service uses the secrets of its start: restart it with the same PERENNIAL_HOOKS_… variables.",
    404: "See docs/webhooks.md for the address.",
}

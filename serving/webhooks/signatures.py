"""Signatures and contents of webhook deliveries.

Three conventions, distinguished by the header of their signature: Standard Webhooks, GitHub, and MLflow's registry. The
id of a delivery is always covered by its signature, so a replayed delivery cannot get a new id. So is the model, which
the path names: by the key, if it is for that model alone, or by the signed content; see :func:`signed_by`.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from config.settings import HookKey
from serving.problems import Problem

UNKNOWN = "unknown"
"""Convention of deliveries without a recognised signature, in the metrics."""

TOLERANCE_SECONDS = 300
"""Largest difference between a delivery's timestamp and this machine's clock."""

MAX_SECONDS = 10**11
"""Times from the year 5138 on are taken for none: GitHub's push events count seconds."""

MAX_ID = 200
MAX_TEXT = 500
"""Most characters that are stored of a delivery's text."""

DATA_FILE = "data.dvc"
RETRAIN_ALIAS = "retrain"
LIST_ENDS = (20, 2048)
"""Numbers of commits at which GitHub truncates the list of a push: a list of exactly this length may be incomplete."""

SIGNATURES = {"webhook-signature": "standard", "x-hub-signature-256": "github", "x-mlflow-signature": "mlflow"}
HEADERS = frozenset(
    {
        *SIGNATURES,
        "webhook-id",
        "webhook-timestamp",
        "x-github-event",
        "x-github-delivery",
        "x-mlflow-delivery-id",
        "x-mlflow-timestamp",
    }
)
"""All headers that are read."""

NAME_END = ":"
"""Ends the model's name at the beginning of an id of Standard Webhooks."""

_MAX_HEADER = 1024
# A dot separates the parts of the signed text: an id with a dot could be read as another id and timestamp.
_ID = re.compile(rf"[!-\-/-~]{{1,{MAX_ID}}}")
_MOMENT = re.compile(r"[0-9]{1,12}")
_HEX = re.compile(r"sha256=([0-9a-f]{64})")

Headers = Iterable[tuple[bytes, bytes]]


class UnsignedError(Exception):
    """The signature of a delivery is not accepted; the message may be sent to the client.

    Parameters
    ----------
    message
        What is wrong.
    is_guess
        Whether it counts as a bad credential: there is a signature, and keys of its convention.
    """

    def __init__(self, message: str, *, is_guess: bool = False) -> None:
        super().__init__(message)
        self.is_guess = is_guess


@dataclass(frozen=True)
class Signed:
    """A delivery with a verified signature.

    Parameters
    ----------
    convention, sender
        Convention of the signature, and the name of the key's sender.
    id
        Unique among the sender's deliveries, and covered by the signature.
    headers
        The headers of the convention.
    is_bound
        Whether the signature covers the model; if not, the content must name it.
    """

    convention: str
    sender: str
    id: str
    headers: Mapping[str, str]
    is_bound: bool = True

    @property
    def trigger_id(self) -> str:
        """Id of the delivery's trigger."""
        return f"{self.convention}:{self.sender}:{self.id}"


@dataclass(frozen=True)
class Request:
    """The request of a delivery.

    Parameters
    ----------
    reason
        Why the model should be retrained; of an ignored delivery, why not.
    document
        The part of the delivery that is stored; empty if it is ignored.
    """

    reason: str
    document: Mapping[str, Any]

    @property
    def ignored(self) -> bool:
        """Whether it requests no retraining."""
        return not self.document


def convention_of(headers: Headers) -> str:
    """Return the convention of a delivery; :data:`UNKNOWN` without a signature, or with several kinds of them."""
    found = {SIGNATURES[text] for name, _ in headers if (text := name.decode("latin-1")) in SIGNATURES}
    return found.pop() if len(found) == 1 else UNKNOWN


def signed_by(headers: Headers, body: bytes, keys: Sequence[HookKey], model: str, now: float) -> Signed:
    """Verify a delivery's signature and return its sender.

    A signature covers the model if its key is listed for that model alone. With a key for several models, an id of
    Standard Webhooks must begin with the model's name and a colon, and an event of MLflow must be about the model.
    GitHub signs nothing that could name it. Otherwise a delivery for one model could be sent to another one's path.

    Parameters
    ----------
    headers
        All headers of the request, names in lower case.
    body
        The unchanged bytes of the body.
    keys
        Keys of all senders and conventions.
    model
        Model to retrain.
    now
        Seconds since 1970.

    Raises
    ------
    UnsignedError
        No known key gives this signature, or the timestamp is too old or too new.
    Problem
        The key of the signature is for another model, or is for several and the delivery does not name the model.
    """
    head = read_head(headers, keys, now)
    identity, is_right = _CHECKS[head.convention](head, body)
    right = [key for key in head.keys if is_right(key)]
    if not right:
        raise UnsignedError("no known key gives this signature", is_guess=True)
    key = max((key for key in right if key.allows(model)), key=lambda key: key.model == model, default=None)
    if key is None:
        raise Problem("forbidden", f"the key of {right[0].sender!r} is for another model")
    is_bound = all(one.model == model for one in right) or (
        head.convention == "standard" and identity.startswith(f"{model}{NAME_END}")
    )
    if not is_bound and head.convention != "mlflow":
        raise unbound(head.convention, key.sender, model)
    return Signed(head.convention, key.sender, identity, head.headers, is_bound)


def unbound(convention: str, sender: str, model: str) -> Problem:
    """Return the refusal of a delivery whose signature does not cover the model."""
    how = {
        "standard": f"begin its id with '{model}{NAME_END}', or list the key as",
        "github": "GitHub signs no name of a model; list the key as",
        "mlflow": "the event is about another registered model; list a key as",
    }
    return Problem(
        "forbidden",
        f"the key of {sender!r} is for several models, and the delivery is not bound to {model!r}: "
        f"{how[convention]} {sender}/{model}=…, with a secret that is used for no other model",
    )


@dataclass(frozen=True)
class Head:
    """The headers of a delivery, well-formed and in time; the signature is not verified yet.

    Parameters
    ----------
    convention
        Convention of the signature.
    id, timestamp, signature
        Values of the headers; id and timestamp are empty in the convention of GitHub, which does not sign them.
    keys
        Keys of the convention.
    headers
        The headers of the convention.
    """

    convention: str
    id: str
    timestamp: str
    signature: str
    keys: Sequence[HookKey]
    headers: Mapping[str, str]


def read_head(headers: Headers, keys: Sequence[HookKey], now: float) -> Head:
    """Check a delivery's headers, which needs no body: a delivery that fails here cannot be accepted.

    Parameters
    ----------
    headers
        All headers of the request, names in lower case.
    keys
        Keys of all senders and conventions.
    now
        Seconds since 1970.

    Raises
    ------
    UnsignedError
        There is no well-formed signature of a convention with keys, or the timestamp is too old or too new.
    """
    headers = list(headers)
    convention = convention_of(headers)
    if convention == UNKNOWN:
        raise UnsignedError(f"expected one signature, in the header {', '.join(sorted(SIGNATURES))}")
    own = [key for key in keys if key.convention == convention]
    if not own:
        raise UnsignedError(f"this service has no key of the convention {convention!r}")
    given = _relevant(headers)
    signature = next(given[name] for name, kind in SIGNATURES.items() if kind == convention)
    if convention == "github":
        if not _HEX.fullmatch(signature):
            raise _bad_header("the header X-Hub-Signature-256 must hold sha256= and 64 hexadecimal digits")
        return Head(convention, "", "", signature, own, given)
    return Head(convention, *_dated_id(given, *_DATED[convention], now), signature, own, given)


_DATED = {"standard": ("webhook-id", "webhook-timestamp"), "mlflow": ("x-mlflow-delivery-id", "x-mlflow-timestamp")}
_Check = tuple[str, Callable[[HookKey], bool]]


def _bad_header(message: str) -> UnsignedError:
    return UnsignedError(message, is_guess=True)


def _relevant(headers: Headers) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        text = name.decode("latin-1")
        if text not in HEADERS:
            continue
        if text in found or len(value) > _MAX_HEADER or not value.isascii():
            raise _bad_header(f"the header {text} must be sent once, as ASCII text of at most {_MAX_HEADER} bytes")
        found[text] = value.decode("ascii").strip()
    return found


def _dated_id(headers: Mapping[str, str], id_name: str, moment_name: str, now: float) -> tuple[str, str]:
    identity, moment = headers.get(id_name, ""), headers.get(moment_name, "")
    if not _ID.fullmatch(identity):
        raise _bad_header(f"the header {id_name} must hold 1 to {MAX_ID} visible ASCII characters and no dot")
    if not _MOMENT.fullmatch(moment):
        raise _bad_header(f"the header {moment_name} must hold the seconds since 1970")
    if abs(now - int(moment)) > TOLERANCE_SECONDS:
        raise _bad_header(f"the header {moment_name} differs from the service's clock by more than five minutes")
    return identity, moment


def _by_reference(head: Head, body: bytes) -> _Check:
    # MLflow signs as Standard Webhooks does, with other header names and the secret's bytes themselves as the key.
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise _bad_header("the body is not UTF-8") from None
    given = {"webhook-id": head.id, "webhook-timestamp": head.timestamp, "webhook-signature": head.signature}
    return head.id, lambda key: _verifies(Webhook(key.secret), text, given)


def _verifies(webhook: Webhook, body: str, headers: dict[str, str]) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: the library's, for a malformed header
        return False
    return True


def _github(head: Head, body: bytes) -> _Check:
    given = head.signature.removeprefix("sha256=")
    # The id is the body's hash: X-GitHub-Delivery is not signed, so a replay with another value would count as new.
    return sha256(body).hexdigest(), lambda key: hmac.compare_digest(
        hmac.new(key.secret, body, sha256).hexdigest(), given
    )


_CHECKS: dict[str, Callable[[Head, bytes], _Check]] = {
    "standard": _by_reference,
    "github": _github,
    "mlflow": _by_reference,
}


def requested(signed: Signed, body: bytes, model: str, oldest: float = 0.0) -> Request:
    """Read the request of a signed delivery.

    Parameters
    ----------
    signed, body
        The verified delivery, and the bytes of its body.
    model
        Model to retrain.
    oldest
        Seconds since 1970; a delivery that is not dated by its signature is refused if the content dates it earlier.

    Raises
    ------
    Problem
        The delivery is too old.
        The body is not JSON, or not an object; or neither key nor content bind the delivery to the model.
    """
    if not body.strip() and signed.convention == "standard":
        content: Any = {}
    else:
        content = _json(body)
    if not isinstance(content, dict):
        raise Problem("invalid-request", "expected the body to be a JSON object")
    found = _READERS[signed.convention](signed, content, model)
    if found.ignored:
        return found
    if signed.convention == "github":
        _check_age(content, oldest)
    return Request(found.reason, {"convention": signed.convention, **found.document, "reason": found.reason})


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem("invalid-json", "expected a JSON document") from None


def _of_standard(signed: Signed, content: dict[str, Any], _model: str) -> Request:
    data = content.get("data")
    inner = data if isinstance(data, dict) else {}
    kind = _text(content.get("type"))
    reason = _text(content.get("reason")) or _text(inner.get("reason")) or kind or f"requested by {signed.sender}"
    return Request(reason, {"id": signed.id, "timestamp": signed.headers["webhook-timestamp"], "type": kind})


def _of_github(signed: Signed, content: dict[str, Any], _model: str) -> Request:
    event = _text(signed.headers.get("x-github-event"), 64) or "unnamed"
    if event != "push":
        return Request(f"the event {event} is ignored; only push requests a retraining", {})
    if elsewhere := _elsewhere(content):
        return Request(elsewhere, {})
    commits = content.get("commits")
    listed = [commit for commit in commits if isinstance(commit, dict)] if isinstance(commits, list) else []
    changed = _changes_data(listed, content)
    if changed is False:
        return Request(f"no commit of the push changes {DATA_FILE}", {})
    what = (
        f"changed {DATA_FILE}" if changed else f"pushed more commits than are listed, so {DATA_FILE} may have changed"
    )
    push = _push(signed, content)
    reason = f"{push['by']} {what} in {push['repository']} ({push['after'][:7]})"
    return Request(reason[:MAX_TEXT], {"event": event, **push})


def _elsewhere(push: Mapping[str, Any]) -> str:
    """Return why a push is not one to the default branch; empty if it is."""
    ref, branch = _text(push.get("ref")), _text(_mapping(push, "repository").get("default_branch"))
    if push.get("deleted") is True:
        return f"{ref or 'the branch'} was deleted"
    if branch and ref != f"refs/heads/{branch}":
        return f"the push went to {ref or 'no branch'}; only pushes to the default branch {branch} count"
    return ""


def _check_age(push: Mapping[str, Any], oldest: float) -> None:
    """Refuse a push that is too old: triggers that are as old may be deleted, so a replay would count as new."""
    pushed_at = _seconds(_mapping(push, "repository").get("pushed_at"))
    if pushed_at is not None and pushed_at < oldest:
        then = datetime.fromtimestamp(pushed_at, UTC)
        raise Problem("unauthenticated", f"the push of {then:%Y-%m-%d %H:%M} UTC is too old; push again")


def _seconds(value: object) -> float | None:
    """Return a time of GitHub's as seconds since 1970: it sends a number, or ISO 8601; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_SECONDS:
        return float(value)
    if isinstance(value, str):
        with suppress(ValueError):
            moment = datetime.fromisoformat(value)
            return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    return None


def _push(signed: Signed, content: Mapping[str, Any]) -> dict[str, str]:
    return {
        "delivery": _text(signed.headers.get("x-github-delivery"), 64),
        "repository": _text(_mapping(content, "repository").get("full_name")) or signed.sender,
        "ref": _text(content.get("ref")),
        "before": _text(content.get("before"), 64),
        "after": _text(content.get("after"), 64),
        "by": _text(_mapping(content, "pusher").get("name"), 100) or "an unknown user",
    }


def _changes_data(commits: Sequence[Mapping[str, Any]], push: Mapping[str, Any]) -> bool | None:
    """Whether a push changed the data; None: the list of commits is truncated and the listed ones did not."""
    head = push.get("head_commit")
    for commit in [*commits, *([head] if isinstance(head, dict) else [])]:
        for kind in ("added", "modified", "removed"):
            paths = commit.get(kind)
            if isinstance(paths, list) and any(_is_data(path) for path in paths):
                return True
    # Gitea and Forgejo, which sign as GitHub does, list five commits and give their total number.
    totals = (push.get("total_commits"), push.get("size"))
    more = any(isinstance(total, int) and total > len(commits) for total in totals)
    return None if more or len(commits) in LIST_ENDS else False


def _is_data(path: object) -> bool:
    return isinstance(path, str) and path.rpartition("/")[2] == DATA_FILE


_REGISTRY = ("registered_model", "model_version", "model_version_tag", "model_version_alias")
_EXAMPLE = "example_model"
"""The model that MLflow's own test deliveries are about."""


def _of_mlflow(signed: Signed, content: dict[str, Any], model: str) -> Request:
    entity, action = _text(content.get("entity"), 64), _text(content.get("action"), 64)
    data = _mapping(content, "data")
    name, alias = _text(data.get("name"), 255), _text(data.get("alias"), 255)
    if entity not in _REGISTRY or not name:
        return Request(f"{entity or 'the delivery'} is about no registered model", {})
    if name == _EXAMPLE:
        return Request("this is a test delivery", {})
    asks = (entity, action, alias) == ("model_version_alias", "created", RETRAIN_ALIAS)
    if name == model and not asks:
        # Perennial's own registration and promotion send these events: acting on them would retrain endlessly.
        return Request(
            f"of events of {model} itself, only setting the alias {RETRAIN_ALIAS!r} requests a retraining", {}
        )
    if name != model and not signed.is_bound:
        raise unbound("mlflow", signed.sender, model)
    version = _text(str(data.get("version") or ""), 20)
    document = {
        "id": signed.id,
        "entity": entity,
        "action": action,
        "name": name,
        "version": version,
        "alias": alias,
        "key": _text(data.get("key"), 255),
    }
    which = f"version {version} of {name}" if version else name
    said = f"the alias {alias!r} was {action} for {which}" if alias else f"{which}: {entity} {action}"
    return Request(said[:MAX_TEXT], document)


_READERS: dict[str, Callable[[Signed, dict[str, Any], str], Request]] = {
    "standard": _of_standard,
    "github": _of_github,
    "mlflow": _of_mlflow,
}


def _mapping(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: object, limit: int = MAX_TEXT) -> str:
    """Return the printable characters of a text, as one line; empty for any other value."""
    if not isinstance(value, str):
        return ""
    return "".join(character for character in value[:limit] if character.isprintable()).strip()

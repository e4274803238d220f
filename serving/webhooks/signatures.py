"""Deliveries of webhooks: who signed them, and what they ask for.

Three conventions, told apart by the header of their signature: Standard Webhooks, GitHub, and MLflow's registry. What
names a delivery here is always covered by its signature, so that a copy under another name is still a copy.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from config.settings import HookKey
from serving.problems import Problem

UNKNOWN = "unknown"
"""Stands in the metrics for the convention of deliveries that have none."""

TOLERANCE_SECONDS = 300
"""Between a delivery's timestamp and this machine's clock."""

MAX_ID = 200
MAX_TEXT = 500
"""Characters of a text that is kept of a delivery."""

DATA_FILE = "data.dvc"
RETRAIN_ALIAS = "retrain"
LIST_ENDS = (20, 2048)
"""Commits at which GitHub cuts the list of a push: a list of exactly so many may lack some."""

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

_MAX_HEADER = 1024
# A dot parts what is signed: an id that holds one could be read as another id with another timestamp.
_ID = re.compile(rf"[!-\-/-~]{{1,{MAX_ID}}}")
_MOMENT = re.compile(r"[0-9]{1,12}")
_HEX = re.compile(r"sha256=([0-9a-f]{64})")

Headers = Iterable[tuple[bytes, bytes]]


class UnsignedError(Exception):
    """A delivery does not prove who sent it; the message may be told.

    Parameters
    ----------
    message
        What is wrong.
    is_guess
        Whether it counts as a bad credential: there is a signature, and keys it could have been made with.
    """

    def __init__(self, message: str, *, is_guess: bool = False) -> None:
        super().__init__(message)
        self.is_guess = is_guess


@dataclass(frozen=True)
class Signed:
    """A delivery whose sender is known.

    Parameters
    ----------
    convention, sender
        How it was signed, and by whom.
    id
        Unique among the sender's deliveries, and covered by the signature.
    headers
        Those of the convention.
    """

    convention: str
    sender: str
    id: str
    headers: Mapping[str, str]

    @property
    def trigger_id(self) -> str:
        """Id of the trigger that the delivery becomes."""
        return f"{self.convention}:{self.sender}:{self.id}"


@dataclass(frozen=True)
class Request:
    """What a delivery asks for.

    Parameters
    ----------
    reason
        Why a model should be retrained; or, of one that is ignored, why it should not.
    document
        What of it is kept; empty for one that is ignored.
    """

    reason: str
    document: Mapping[str, Any]

    @property
    def ignored(self) -> bool:
        """Whether it asks for nothing."""
        return not self.document


def convention_of(headers: Headers) -> str:
    """Return the convention of a delivery; :data:`UNKNOWN` where it carries no signature, or several kinds of them."""
    found = {SIGNATURES[text] for name, _ in headers if (text := name.decode("latin-1")) in SIGNATURES}
    return found.pop() if len(found) == 1 else UNKNOWN


def signed_by(headers: Headers, body: bytes, keys: Sequence[HookKey], model: str, now: float) -> Signed:
    """Find out who signed a delivery.

    Parameters
    ----------
    headers
        All of the request, names in lower case.
    body
        As it came.
    keys
        Of all senders and conventions.
    model
        Whose retraining is asked for.
    now
        Seconds since 1970.

    Raises
    ------
    UnsignedError
        Nobody whom we know did, or too long ago.
    Problem
        Somebody did whose key is for another model.
    """
    headers = list(headers)
    convention = convention_of(headers)
    if convention == UNKNOWN:
        raise UnsignedError(f"expected one signature, in the header {', '.join(sorted(SIGNATURES))}")
    own = [key for key in keys if key.convention == convention]
    if not own:
        raise UnsignedError(f"deliveries in the convention {convention!r} are not accepted here")
    try:
        given = _relevant(headers)
        identity, is_right = _CHECKS[convention](given, body, now)
        right = [key for key in own if is_right(key)]
    except _BadHeaderError as error:
        raise UnsignedError(str(error), is_guess=True) from error
    if not right:
        raise UnsignedError("no key of a sender gives this signature", is_guess=True)
    key = next((key for key in right if key.allows(model)), None)
    if key is None:
        raise Problem("forbidden", f"the key of {right[0].sender!r} is for another model")
    return Signed(convention, key.sender, identity, given)


class _BadHeaderError(Exception):
    pass


_Check = tuple[str, Callable[[HookKey], bool]]


def _relevant(headers: Headers) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        text = name.decode("latin-1")
        if text not in HEADERS:
            continue
        if text in found or len(value) > _MAX_HEADER or not value.isascii():
            raise _BadHeaderError(f"the header {text} is there twice, too long, or not ASCII")
        found[text] = value.decode("ascii").strip()
    return found


def _standard(headers: Mapping[str, str], body: bytes, now: float) -> _Check:
    return _by_reference(headers, "webhook-id", "webhook-timestamp", "webhook-signature", body, now)


def _mlflow(headers: Mapping[str, str], body: bytes, now: float) -> _Check:
    # Standard Webhooks under other names, with the secret's own bytes as the key.
    return _by_reference(headers, "x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature", body, now)


def _by_reference(
    headers: Mapping[str, str], id_name: str, moment_name: str, signature_name: str, body: bytes, now: float
) -> _Check:
    identity, moment = headers.get(id_name, ""), headers.get(moment_name, "")
    if not _ID.fullmatch(identity):
        raise _BadHeaderError(f"the header {id_name} holds 1 to {MAX_ID} visible characters of ASCII and no dot")
    if not _MOMENT.fullmatch(moment):
        raise _BadHeaderError(f"the header {moment_name} holds the seconds since 1970")
    if abs(now - int(moment)) > TOLERANCE_SECONDS:
        raise _BadHeaderError(f"the header {moment_name} is more than five minutes from the present")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise _BadHeaderError("the body is not UTF-8") from None
    given = {
        "webhook-id": identity,
        "webhook-timestamp": moment,
        "webhook-signature": headers[signature_name],
    }
    return identity, lambda key: _verifies(Webhook(key.secret), text, given)


def _verifies(webhook: Webhook, body: str, headers: dict[str, str]) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # the library's own, and whatever a malformed header makes of it
        return False
    return True


def _github(headers: Mapping[str, str], body: bytes, now: float) -> _Check:  # noqa: ARG001 - GitHub signs no moment
    found = _HEX.fullmatch(headers["x-hub-signature-256"])
    if found is None:
        raise _BadHeaderError("the header X-Hub-Signature-256 holds sha256= and 64 digits of base 16")
    given = found.group(1)
    # The header X-GitHub-Delivery is not signed: under another one, the same push would be a new delivery.
    return sha256(body).hexdigest(), lambda key: hmac.compare_digest(
        hmac.new(key.secret, body, sha256).hexdigest(), given
    )


_CHECKS: dict[str, Callable[[Mapping[str, str], bytes, float], _Check]] = {
    "standard": _standard,
    "github": _github,
    "mlflow": _mlflow,
}


def requested(signed: Signed, body: bytes, model: str) -> Request:
    """Read what a signed delivery asks for.

    Raises
    ------
    Problem
        The body is not JSON, or no object.
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
    reason = _text(content.get("reason")) or _text(inner.get("reason")) or kind or f"asked for by {signed.sender}"
    return Request(reason, {"id": signed.id, "timestamp": signed.headers["webhook-timestamp"], "type": kind})


def _of_github(signed: Signed, content: dict[str, Any], _model: str) -> Request:
    event = _text(signed.headers.get("x-github-event"), 64) or "unnamed"
    if event != "push":
        return Request(f"the event {event} asks for nothing; only push does", {})
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
    """Say where a push went that did not go to the branch that counts; nothing of one that did."""
    ref, branch = _text(push.get("ref")), _text(_mapping(push, "repository").get("default_branch"))
    if push.get("deleted") is True:
        return f"{ref or 'the branch'} was deleted"
    if branch and ref != f"refs/heads/{branch}":
        return f"the push went to {ref or 'no branch'}; {branch} is the branch that counts"
    return ""


def _push(signed: Signed, content: Mapping[str, Any]) -> dict[str, str]:
    return {
        "delivery": _text(signed.headers.get("x-github-delivery"), 64),
        "repository": _text(_mapping(content, "repository").get("full_name")) or signed.sender,
        "ref": _text(content.get("ref")),
        "before": _text(content.get("before"), 64),
        "after": _text(content.get("after"), 64),
        "by": _text(_mapping(content, "pusher").get("name"), 100) or "somebody",
    }


def _changes_data(commits: Sequence[Mapping[str, Any]], push: Mapping[str, Any]) -> bool | None:
    """Say whether a push changed the data; None where the list of its commits is cut and the others show nothing."""
    head = push.get("head_commit")
    for commit in [*commits, *([head] if isinstance(head, dict) else [])]:
        for kind in ("added", "modified", "removed"):
            paths = commit.get(kind)
            if isinstance(paths, list) and any(_is_data(path) for path in paths):
                return True
    # Gitea and Forgejo, which sign as GitHub does, list five commits and tell how many there are.
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
        # Our own registration and promotion make these: answering them would retrain for ever.
        return Request(f"what happens to {model} itself asks for nothing, but for the alias {RETRAIN_ALIAS!r}", {})
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
    """Return what may be kept of a text: one line that can be printed; nothing of anything else."""
    if not isinstance(value, str):
        return ""
    return "".join(character for character in value[:limit] if character.isprintable()).strip()

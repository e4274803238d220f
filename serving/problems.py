"""Error answers of the service: problem documents of RFC 9457."""

from __future__ import annotations

import math
from http import HTTPStatus

import msgspec

MEDIA_TYPE = "application/problem+json"

MOST_REASON = 200
"""Characters of a problem's reason in a log."""

KINDS = {
    "invalid-http": (400, "The request is not valid HTTP"),
    "invalid-json": (400, "The body is not JSON"),
    "invalid-arrow": (400, "The body is not an Arrow stream"),
    "invalid-host": (400, "The host name is not allowed"),
    "unauthenticated": (401, "No valid key or token"),
    "forbidden": (403, "Not allowed"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Method not allowed"),
    "headers-too-slow": (408, "The headers did not arrive in time"),
    "body-too-slow": (408, "The body did not arrive in time"),
    "body-too-large": (413, "The body is too large"),
    "target-too-long": (414, "The request target is too long"),
    "unsupported-media-type": (415, "The content type is not supported"),
    "invalid-request": (422, "The request is not valid"),
    "too-many-requests": (429, "Too many requests"),
    "headers-too-large": (431, "The headers are too large"),
    "model-failed": (500, "The model failed"),
    "internal-error": (500, "Internal error"),
    "access-unavailable": (503, "Credentials cannot be verified yet"),
    "overloaded": (503, "Too many requests in progress"),
    "inbox-unavailable": (503, "The delivery cannot be stored"),
    "log-unavailable": (503, "The prediction log cannot be written"),
    "no-model": (503, "The model is not loaded"),
    "timeout": (504, "The request took too long"),
}
"""Kinds of problems with status and title. The error metric has a label per kind, so the list is closed."""


class FieldError(msgspec.Struct, frozen=True, omit_defaults=True):
    """The error of one field.

    Parameters
    ----------
    field
        Its name.
    detail
        What was expected and what was found.
    pointer
        Its position in the body, a JSON pointer (RFC 6901).
    """

    field: str
    detail: str
    pointer: str = ""


class Document(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem document as it is sent."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str = ""
    errors: tuple[FieldError, ...] = ()
    error: str = ""


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """An error that the service answers with a problem document.

    Parameters
    ----------
    kind
        One of :data:`KINDS`.
    detail
        What is wrong and what the caller can do about it.
    errors
        The invalid fields.
    retry_after
        Seconds after which a retry makes sense.
    headers
        Further headers, in lower case.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        errors: tuple[FieldError, ...] = (),
        retry_after: int | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status = KINDS[kind][0]
        self.detail = detail
        self.errors = errors
        self.headers = headers
        if retry_after is not None:
            self.headers = (*headers, (b"retry-after", str(retry_after).encode()))

    @property
    def reason(self) -> str:
        """Kind and detail on one short line, for logs."""
        return f"{self.kind}: {self.detail}"[:MOST_REASON]

    def document(self, request_id: str = "", *, names_error: bool = False) -> bytes:
        """JSON text of the problem document; ``names_error``: with ``error``, as the Open Inference Protocol has it."""
        title = KINDS[self.kind][1]
        kind = f"urn:perennial:problem:{self.kind}"
        error = self.detail if names_error else ""
        return msgspec.json.encode(Document(kind, title, self.status, self.detail, request_id, self.errors, error))


def too_many(detail: str, wait: float) -> Problem:
    """Return the problem of a rate that is exceeded; ``wait``: seconds until it is not."""
    seconds = math.ceil(wait)
    return Problem("too-many-requests", f"{detail}; try again in {seconds} s", retry_after=seconds)


def of_status(status: int, detail: str = "") -> Problem:
    """Return the problem for an HTTP status of the framework; a status without a kind becomes an internal error.

    The framework answers 400 to bodies that are not UTF-8, nest too deeply or hold numbers of thousands of digits.
    """
    kinds = {404: "not-found", 405: "method-not-allowed"}
    if status in kinds:
        return Problem(kinds[status], detail or HTTPStatus(status).phrase)
    if status == 400:
        return Problem("invalid-json", "expected a JSON document")
    return Problem("internal-error", "the request could not be answered")

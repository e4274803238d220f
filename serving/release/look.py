"""What a service shows of a look at a release: the flow records it as JSON, of which only known fields are read."""

from __future__ import annotations

import logging

import msgspec

_logger = logging.getLogger("perennial.release")


class LookCheck(msgspec.Struct, frozen=True):
    """A guardrail, see :class:`core.release.checks.Check`."""

    name: str
    state: str
    champion: float | None = None
    challenger: float | None = None
    lower: float | None = None
    upper: float | None = None
    limit: float | None = None
    sentence: str = ""


class ReleaseLook(msgspec.Struct, frozen=True):
    """A look, see :class:`core.release.decision.Look`.

    Parameters
    ----------
    checks, reasons
        The guardrails, and sentences: what was found and what the release waits for.
    deadline
        When the stage ends without enough evidence, ISO 8601; None if it was not recorded.
    """

    checks: tuple[LookCheck, ...] = ()
    reasons: tuple[str, ...] = ()
    deadline: str | None = None


def release_look(document: str) -> ReleaseLook:
    """Return the shown part of a recorded look; an empty look if there is none, or if it is not readable.

    Examples
    --------
    >>> release_look('{"outcome": "hold", "reasons": ["waits for 10 more requests"]}').reasons
    ('waits for 10 more requests',)
    """
    if not document:
        return ReleaseLook()
    try:
        return msgspec.json.decode(document, type=ReleaseLook)
    except msgspec.DecodeError as error:
        # The page must not fail because a newer version of the flow writes another document.
        _logger.warning("the newest look at a release is not shown: %s", error)
        return ReleaseLook()

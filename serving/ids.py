"""Ids of requests: a UUID version 7 each, see :mod:`core.prediction_ids`."""

from __future__ import annotations

import uuid_utils


def new_request_id() -> str:
    """Return the id of a request's first prediction; ids of the same millisecond differ in 58 random bits."""
    return f"{uuid_utils.uuid7()!s:.32}0000"

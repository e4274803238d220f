"""Which version answers a request while a release runs."""

from __future__ import annotations

from typing import Any

import pytest

from serving.http.loaded import subject_of
from serving.model.rows import Rows


@pytest.mark.parametrize(
    ("keys", "request_id", "subject"),
    [
        (["a"], "client", "a"),
        (["a", "a"], "client", "a"),
        (["a", "b"], "client", "client"),
        (["a", None], "", "prediction"),
        ([None, "a"], "client", "client"),
        (None, "client", "client"),
        (None, "", "prediction"),
    ],
)
def test_the_subject_of_a_request(keys: Any, request_id: str, subject: str) -> None:
    """The entity's key, if all rows have the same one; else the client's id of the request; else the prediction's."""
    rows = Rows(len(keys or "x"), [()], keys, b"[]")
    assert subject_of(rows, request_id, "prediction") == subject

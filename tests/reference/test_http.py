"""The reference of the HTTP interface."""

import pytest

from reference.http import Operation, operations, page
from serving.http.entry import ACCESS
from serving.problems import KINDS

OPERATIONS = list(operations())
PAGE = page()


def test_every_route_is_on_the_page() -> None:
    """Whatever has an access rule is described, but for the paths that do not exist."""
    assert {one.route for one in OPERATIONS} == set(ACCESS) - {"other"}
    assert all(f"`{one.method} {one.path}`" in PAGE for one in OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=[f"{one.method} {one.path}" for one in OPERATIONS])
def test_every_operation_is_described(operation: Operation) -> None:
    """An operation has a sentence and the statuses of its answers."""
    assert operation.description
    assert operation.statuses
    assert all(200 <= status < 300 or status == 503 for status in operation.statuses)


def test_every_kind_of_problem_is_on_the_page() -> None:
    """A client finds each kind by its status."""
    assert all(f"`{kind}`" in PAGE for kind in KINDS)
    assert "| 503 | `overloaded`, `inbox-unavailable`, `log-unavailable`, `no-model` |" in PAGE

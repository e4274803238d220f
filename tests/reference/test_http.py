"""The reference of the HTTP interface."""

import pytest

from reference.http import Operation, operations, page
from serving.problems import KINDS
from serving.routes import ROUTES

OPERATIONS = list(operations())
PAGE = page()


def test_every_route_is_on_the_page() -> None:
    """Each route of the table of routes has its line."""
    assert [one.route for one in OPERATIONS] == list(ROUTES)
    assert all(f"| `{route.method} {route.path}` |" in PAGE for route in ROUTES)


@pytest.mark.parametrize("operation", OPERATIONS, ids=[one.name for one in OPERATIONS])
def test_every_operation_is_described(operation: Operation) -> None:
    """An operation has a sentence and the statuses of its answers."""
    assert operation.description
    assert operation.statuses
    assert all(200 <= status < 300 or status == 503 for status in operation.statuses)


def test_every_kind_of_problem_is_on_the_page() -> None:
    """A client finds each kind by its status."""
    assert all(f"`{kind}`" in PAGE for kind in KINDS)
    assert "| 503 | `access-unavailable`, `overloaded`, `inbox-unavailable`, `log-unavailable`, `no-model` |" in PAGE

"""The page of the prediction service's HTTP interface."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from fastapi.routing import APIRoute

from reference.markdown import code, document, summary, table
from serving.http.app import build_app
from serving.http.entry import ACCESS, SIGNATURE, route_of
from serving.http.service import Service
from serving.problems import KINDS

LEAD = """
What the prediction service answers. `GET /openapi.json` is the same as an OpenAPI document, with the columns, bounds
and labels of each model that is served; [Serving](../serving.md) explains the interface, [Webhooks](../webhooks.md)
the deliveries.
"""

SCOPES = {
    None: "everybody",
    "predict": "scope `predict`",
    "label": "scope `label`",
    "operate": "scope `operate`",
    SIGNATURE: "the signature of the delivery",
}


@dataclass(frozen=True)
class Operation:
    """A method of a path.

    Parameters
    ----------
    statuses
        Of the answers that are no problems.
    """

    method: str
    path: str
    statuses: tuple[int, ...]
    description: str

    @property
    def route(self) -> str:
        """Name of the route in the access table and in the metrics."""
        return route_of(self.path.replace("{model}", "credit"))[0]


PREDICT = Operation(
    "POST", "/v1/models/{model}/predict", (200,), "Return a prediction for each row of the body, in their order."
)
"""Answered before the framework's routing, so no route of the application describes it."""


def operations() -> Iterator[Operation]:
    """Yield every operation, by path."""
    found = [PREDICT]
    # To declare its routes, the application asks nothing of the service.
    for route in build_app(cast(Service, None), "").routes:
        if isinstance(route, APIRoute):
            statuses = {route.status_code or 200, *(int(status) for status in route.responses)}
            text = summary(route.description)
            found += [
                Operation(method, route.path, tuple(sorted(statuses)), text) for method in sorted(route.methods or ())
            ]
    yield from sorted(found, key=lambda one: (one.path, one.method))


def page() -> str:
    """Return the page."""
    rows = [
        (f"`{one.method} {one.path}`", SCOPES[ACCESS[one.route]], ", ".join(map(str, one.statuses)), one.description)
        for one in operations()
    ]
    paths = table(("operation", "who may ask", "answers", "what it does"), rows)
    return document("HTTP interface", LEAD, [("Operations", paths), ("Problems", _problems())])


def _problems() -> str:
    statuses = sorted({status for status, _ in KINDS.values()})
    kinds = {status: [code(kind) for kind, (of, _) in KINDS.items() if of == status] for status in statuses}
    rows = [(str(status), ", ".join(names)) for status, names in kinds.items()]
    lead = (
        "Every other answer is a problem document; "
        "[Problems over HTTP](errors.md#problems-over-http) has the titles and the fields."
    )
    return (
        f"{lead} 429 and 503 carry `Retry-After` where another try makes sense.\n\n{table(('status', 'kinds'), rows)}"
    )

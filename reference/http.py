"""The page of the prediction service's HTTP interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from fastapi.routing import APIRoute

from reference.markdown import code, document, summary, table
from serving.http.app import build_app
from serving.http.service import Service
from serving.problems import KINDS
from serving.routes import INFER, INFER_VERSION, PREDICT, ROUTES, Route, RouteScope

LEAD = """
The requests to the prediction service. `GET /openapi.json` returns the same as an OpenAPI document, with the columns,
bounds and labels of each served model; [Serving](../serving.md) explains the interface, [Webhooks](../webhooks.md)
the deliveries.
"""

SCOPES: dict[RouteScope | None, str] = {
    None: "no credentials",
    "predict": "scope `predict`",
    "label": "scope `label`",
    "operate": "scope `operate`",
    "signature": "the signature of the delivery",
}


@dataclass(frozen=True)
class Operation:
    """A route with what the application declares about it.

    Parameters
    ----------
    statuses
        Of the answers that are no problems.
    """

    route: Route
    statuses: tuple[int, ...]
    description: str

    @property
    def name(self) -> str:
        """Method and path."""
        return f"{self.route.method} {self.route.path}"


PREDICTIONS = {
    PREDICT: "Return a prediction for each row of the body, in their order.",
    INFER: "Return the predictions of the rows whose columns are the tensors of the body (Open Inference Protocol).",
    INFER_VERSION: "Return them if this version is served.",
}
"""Answered before the framework's routing, so nothing of the application describes it."""


def operations() -> tuple[Operation, ...]:
    """Return every operation, in the order of the table of routes."""
    # To declare its routes, the application asks nothing of the service.
    declared = {route.path: route for route in build_app(cast(Service, None), "").routes if isinstance(route, APIRoute)}
    return tuple(
        Operation(route, (200,), PREDICTIONS[route])
        if route in PREDICTIONS
        else _operation(route, declared[route.path])
        for route in ROUTES
    )


def _operation(route: Route, declared: APIRoute) -> Operation:
    statuses = {declared.status_code or 200, *(int(status) for status in declared.responses)}
    return Operation(route, tuple(sorted(statuses)), summary(declared.description))


def page() -> str:
    """Return the page."""
    rows = [
        (code(one.name), SCOPES[one.route.scope], ", ".join(map(str, one.statuses)), one.description)
        for one in operations()
    ]
    paths = table(("operation", "access", "answers", "what it does"), rows)
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
        f"{lead} 429 and 503 have the header `Retry-After` if a retry makes sense.\n\n"
        f"{table(('status', 'kinds'), rows)}"
    )

"""The routes of the service, declared once: path, method, required scope, and load shedding.

The entry (fast path), the application, access control, the metrics' labels and the OpenAPI document use this table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

RouteScope = Literal["predict", "label", "operate", "signature"]
"""Scope that the caller's key needs. ``signature``: the delivery is signed, and its sender has no API key."""


@dataclass(frozen=True)
class Route:
    """One route.

    Parameters
    ----------
    name
        Label of the route in metrics and logs.
    path
        Template; ``{model}`` stands for a model's name.
    scope
        Scope that it needs; None: it is public.
    method
        The only method that it accepts.
    is_exempt
        Whether it is answered at any load, and logged only when it fails.
    """

    name: str
    path: str
    scope: RouteScope | None
    method: Literal["GET", "POST"] = "GET"
    is_exempt: bool = False

    @property
    def has_body(self) -> bool:
        """Whether the request has a body; its size and duration are limited."""
        return self.method == "POST"


LIVE = Route("health_live", "/health/live", scope=None, is_exempt=True)
READY = Route("health_ready", "/health/ready", scope=None, is_exempt=True)
METRICS = Route("metrics", "/metrics", scope="operate", is_exempt=True)
PAGE = Route("page", "/", scope="operate")
STATUS = Route("status", "/v1/status", scope="operate")
SCHEMA = Route("schema", "/openapi.json", scope="predict")
MODELS = Route("models", "/v1/models", scope="predict")
MODEL = Route("model", "/v1/models/{model}", scope="predict")
EXAMPLE = Route("example", "/v1/models/{model}/example", scope="predict")
CARD = Route("card", "/v1/models/{model}/card", scope="predict")
PREDICT = Route("predict", "/v1/models/{model}/predict", scope="predict", method="POST")
INFER = Route("infer", "/v2/models/{model}/infer", scope="predict", method="POST")
INFER_VERSION = Route("infer", "/v2/models/{model}/versions/{version}/infer", scope="predict", method="POST")
V2_LIVE = Route("v2_live", "/v2/health/live", scope=None, is_exempt=True)
V2_READY = Route("v2_ready", "/v2/health/ready", scope=None, is_exempt=True)
V2_SERVER = Route("v2_server", "/v2", scope="predict")
V2_SERVER_SLASH = Route("v2_server", "/v2/", scope="predict")
V2_MODEL = Route("v2_model", "/v2/models/{model}", scope="predict")
V2_MODEL_VERSION = Route("v2_model", "/v2/models/{model}/versions/{version}", scope="predict")
V2_MODEL_READY = Route("v2_model_ready", "/v2/models/{model}/ready", scope="predict")
V2_MODEL_VERSION_READY = Route("v2_model_ready", "/v2/models/{model}/versions/{version}/ready", scope="predict")
LABELS = Route("labels", "/v1/models/{model}/labels", scope="label", method="POST")
HOOK = Route("hook", "/v1/hooks/{model}/retrain", scope="signature", method="POST")
OTHER = Route("other", "", scope="predict")
"""Every other path. It needs the key of a prediction, so that unknown callers cannot find out which paths exist."""

PROTOCOL = (
    *(INFER, INFER_VERSION, V2_LIVE, V2_READY, V2_SERVER, V2_SERVER_SLASH),
    *(V2_MODEL, V2_MODEL_VERSION, V2_MODEL_READY, V2_MODEL_VERSION_READY),
)
"""Routes of the Open Inference Protocol; a path with a version has the name of the path without."""

PROTOCOL_PREFIX = "/v2"
ROUTES = (LIVE, READY, METRICS, PAGE, STATUS, SCHEMA, MODELS, MODEL, EXAMPLE, CARD, PREDICT, LABELS, HOOK, *PROTOCOL)
PREDICTIONS = frozenset({PREDICT.name, INFER.name})
"""Names of the routes that the entry answers itself, see :mod:`serving.http.entry`."""

ACCESS: dict[str, RouteScope | None] = {route.name: route.scope for route in (*ROUTES, OTHER)}
EXEMPT = frozenset(route.name for route in ROUTES if route.is_exempt)
WITH_BODY = frozenset(route.name for route in ROUTES if route.has_body)
BUDGETS = {
    route.name: {LABELS.name: "labels", HOOK.name: "hooks"}.get(route.name, "pages")
    for route in ROUTES
    if not route.is_exempt and route.name not in PREDICTIONS
}
"""Budget of each route that is neither a prediction nor exempt."""
WITHOUT_KEY = frozenset(route.path for route in ROUTES if route.scope in {None, "signature"})
"""Paths that need no API key: health is public, and a delivery is signed."""

_NAMES = {route.path: route.name for route in ROUTES}
_OF_MODEL = re.compile(r"(/v1/(?:models|hooks)/|/v2/models/)([^/]+)(?:/([^/]+))?")
_OF_VERSION = re.compile(r"(/v2/models/)([^/]+)(/versions/)([^/]+)(/[^/]+)?")


def route_of(path: str) -> tuple[str, str]:
    """Return the name of a path's route, and the model in the path; empty if it contains no model.

    Examples
    --------
    >>> route_of("/v1/models/credit/predict"), route_of("/metrics"), route_of("/v1/models/credit/nothing")
    (('predict', 'credit'), ('metrics', ''), ('other', 'credit'))
    """
    found = _OF_MODEL.fullmatch(path)
    if found is None:
        versioned = _OF_VERSION.fullmatch(path)
        if versioned is None:
            return _NAMES.get(path, OTHER.name), ""
        template = f"/v2/models/{{model}}/versions/{{version}}{versioned[5] or ''}"
        return _NAMES.get(template, OTHER.name), versioned[2]
    before, model, last = found.groups()
    name = _NAMES.get(f"{before}{{model}}/{last}" if last else f"{before}{{model}}", OTHER.name)
    return name, model if name != OTHER.name or "models" in before else ""


def version_of(path: str) -> str:
    """Return the version in a path of the Open Inference Protocol; empty if it contains none.

    Examples
    --------
    >>> version_of("/v2/models/credit/versions/3/infer"), version_of("/v2/models/credit/infer")
    ('3', '')
    """
    found = _OF_VERSION.fullmatch(path)
    return found[4] if found is not None else ""

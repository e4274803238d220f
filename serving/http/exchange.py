"""A request in progress: what its headers say, who sent it, and what the log and the metrics record of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, MutableMapping
from typing import Any

from serving.access.budget import Place
from serving.access.callers import ANYONE, Caller
from serving.http.loaded import Loaded
from serving.ids import new_request_id
from serving.model.arrow import MEDIA_TYPE as ARROW
from serving.problems import Problem
from serving.routes import PREDICT, PREDICTIONS, PROTOCOL_PREFIX, route_of, version_of
from serving.telemetry.logs import ECS_VERSION, AccessLine, now_text

Scope = MutableMapping[str, Any]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")


class Exchange:
    """A request in progress: the data for the log and the metrics.

    Parameters
    ----------
    scope
        The request as ASGI describes it.
    """

    __slots__ = (
        "after",
        "authorization",
        "began",
        "caller",
        "client",
        "content_length",
        "content_type",
        "detail",
        "form",
        "host",
        "loaded",
        "method",
        "model_name",
        "n_rows",
        "path",
        "place",
        "prediction",
        "problem",
        "request_id",
        "route",
        "status",
    )

    def __init__(self, scope: Scope) -> None:
        self.began = time.perf_counter()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.route, self.model_name = route_of(self.path)
        client = scope.get("client")
        self.client: str = client[0] if client else ""
        self.authorization: bytes | None = None
        self.content_length: bytes | None = None
        self.content_type = b""
        self.host: bytes | None = None
        self.prediction = ""
        self.request_id = ""
        self.caller: Caller | None = None
        self.place: Place | None = None
        self.status = 500
        self.problem = ""
        self.detail = ""
        self.loaded: Loaded | None = None
        self.n_rows = 0
        self.after: Callable[[], None] | None = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                # Two headers are joined, as RFC 9110 does, and then are not a valid credential.
                self.authorization = value if self.authorization is None else self.authorization + b", " + value
            elif name == b"content-length":
                self.content_length = value
            elif name == b"content-type":
                self.content_type = value
            elif name == b"host":
                # Two hosts are joined like two credentials, and are not a valid host.
                self.host = value if self.host is None else self.host + b", " + value
            elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                self.request_id = value.decode()
        if self.host is None and scope.get("http_version") == "1.0":
            self.host = b""  # HTTP/1.0 has no such header
        self.form = self._form()

    def _form(self) -> str:
        """Return the form of a prediction's body, see :func:`serving.model.forms.forms_of`; empty: there is none."""
        if self.route not in PREDICTIONS:
            return ""
        if self.is_json:
            return "json" if self.route == PREDICT.name else "tensors"
        return "arrow" if self.route == PREDICT.name and self.content_type.lower() == ARROW else ""

    def name(self) -> None:
        """Give the request an id, if it has none: the client's, the prediction's or a new one."""
        self.request_id = self.request_id or self.prediction or new_request_id()

    def name_prediction(self) -> None:
        """Give the request the id of its first prediction; a repeat changes nothing."""
        self.prediction = self.prediction or new_request_id()

    def fail(self, problem: Problem) -> None:
        """Note why the request is refused."""
        self.problem, self.detail = problem.kind, _log_detail(problem)
        self.name()

    def end_work(self) -> None:
        """Give back the request's place in a budget; a repeat changes nothing."""
        if self.place is not None:
            self.place.release()

    @property
    def speaks_protocol(self) -> bool:
        """Whether the path is one of the Open Inference Protocol, whose errors have a name of their own."""
        return self.path.startswith(PROTOCOL_PREFIX)

    @property
    def version(self) -> str:
        """Version in the path; empty if it contains none."""
        return version_of(self.path) if self.speaks_protocol else ""

    @property
    def is_json(self) -> bool:
        """Whether the body is said to be JSON."""
        return self.content_type.partition(b";")[0].strip().lower() == b"application/json"

    @property
    def labels(self) -> tuple[str, str, str]:
        """Model, version and variant that answered, for the metrics; empty if no model answered."""
        if self.loaded is None:
            return ("", "", "")
        model = self.loaded.model
        return (model.name, str(model.version), model.variant)


def access_line(exchange: Exchange, seconds: float) -> AccessLine:
    """Return the line of an answered request in the access log."""
    model, version, variant = ("", 0, "")
    if exchange.loaded is not None:
        found = exchange.loaded.model
        model, version, variant = found.name, found.version, found.variant
    return AccessLine(
        timestamp=now_text(),
        level="info" if exchange.status < 500 else "error",
        message=f"{exchange.method} {exchange.route} {exchange.status}",
        ecs=ECS_VERSION,
        service="perennial-serving",
        dataset="perennial.access",
        duration=int(seconds * 1e9),
        method=exchange.method,
        request_id=exchange.request_id,
        status=exchange.status,
        path=exchange.path[:256],
        client=exchange.client,
        user=exchange.caller.name if exchange.caller is not None and exchange.caller is not ANYONE else "",
        problem=exchange.problem,
        detail=exchange.detail,
        model=model,
        version=version,
        variant=variant,
        prediction_id=exchange.prediction if exchange.status == 200 else "",
        n_rows=exchange.n_rows,
    )


def _log_detail(problem: Problem) -> str:
    """Return the detail for the log: the names of invalid fields, without their values."""
    fields = ", ".join(error.field[:64] for error in problem.errors[:5])
    return f"fields: {fields}" if fields else problem.detail

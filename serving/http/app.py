"""The FastAPI application behind the entry: models, labels, health, metrics, and the status page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from sqlalchemy import Engine
from starlette.exceptions import HTTPException

from core.data.cells import category, class_label, missing_texts, moment
from core.errors import StorageError
from core.feature_contract import FeatureContract
from core.prediction_ids import ID_PATTERN, is_prediction_id, request_of
from core.references import Variant
from core.row_limits import MAX_KEY, MAX_NUMBER, TEXT_PATTERN
from serving import routes
from serving.access.callers import ANYONE, Caller
from serving.bundle.reader import Runtime, read_document
from serving.http.health import health
from serving.http.hooks import add_hooks
from serving.http.loaded import Loaded
from serving.http.openapi import DATE_PATTERN, document
from serving.http.page import add_page
from serving.http.protocol_routes import add_protocol
from serving.http.service import Service
from serving.model.invalid import MAX_SHOWN
from serving.model.rows import KEY_NUMBERS
from serving.problems import MEDIA_TYPE, FieldError, Problem, of_status
from serving.telemetry.metrics import CONTENT_TYPE
from serving.webhooks.inbox import Inbox
from store.database import open_database
from store.log.labels import Label, record_labels
from store.predictions import logged_requests
from store.tables import NO_EVENT

_logger = logging.getLogger("perennial.app")

MAX_LABELS = 10_000
CARD = "card.html"
# A card contains text from data, so its page may not run scripts or load anything.
CARD_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


TextKey = Annotated[str, Field(min_length=1, max_length=MAX_KEY, pattern=TEXT_PATTERN)]
NumberKey = Annotated[
    int,
    Field(ge=KEY_NUMBERS[0], le=KEY_NUMBERS[1]),
    # JSON Schema counts 7.0 as an integer, and pandas turns an integer column with missing values into floats.
    BeforeValidator(lambda value: int(value) if isinstance(value, float) and value.is_integer() else value),
]
_EITHER: dict[str, Any] = {
    "oneOf": [
        {
            "required": ["id"],
            "properties": {"id": {"type": "string"}, "key": {"type": "null"}, "at": {"type": "null"}},
        },
        {"required": ["key"], "properties": {"id": {"type": "null"}, "key": {"type": ["string", "integer"]}}},
    ]
}


class LabelItem(BaseModel):
    """The true outcome of a prediction, found by its id, or of an entity, found by its key."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_EITHER)

    id: Annotated[str, Field(json_schema_extra={"pattern": f"^{ID_PATTERN}$"})] | None = Field(
        default=None, description="Id of the prediction"
    )
    key: TextKey | NumberKey | None = Field(default=None, description="Key of the predicted entity")
    label: str | bool | int | float = Field(description="A class of the model, or a finite number")
    at: Annotated[str, Field(max_length=40, json_schema_extra={"pattern": DATE_PATTERN})] | None = Field(
        default=None, description="With key: the time that the outcome is about, ISO 8601; UTC without an offset"
    )

    @model_validator(mode="after")
    def _names_one(self) -> LabelItem:
        if (self.id is None) == (self.key is None):
            raise ValueError("expected either id or key")
        if self.id is not None and self.at is not None:
            raise ValueError("expected no time beside id: the outcome is about the prediction's own time")
        return self


class Labels(BaseModel):
    """One or more labels; sending the same labels again changes nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)

    labels: list[LabelItem] = Field(min_length=1, max_length=MAX_LABELS)


class LabelsAnswer(BaseModel):
    """Numbers of labels by result; of several labels for one prediction or event, the last one counts."""

    added: int
    unchanged: int
    replaced: int
    unmatched: list[str] = Field(description="Ids without a prediction in the log so far; their labels are kept")


class ModelAnswer(BaseModel):
    """A served model."""

    model: str
    version: int
    variant: Variant
    data_version: str
    since: str = Field(description="When the version became champion, ISO 8601")
    by: str = Field(description="How it became champion: gate, approval, release, rollback or adopted")
    reason: str
    task: str
    runtime: Runtime = Field(description="Runtime that computes the answers")
    in_memory: bool = Field(description="Whether this worker has loaded it; if not, its next request does")
    card: str = Field(description="Path of the model card")
    trouble: str | None = Field(description="Why a newer champion is not served yet")


class ModelsAnswer(BaseModel):
    """All models that the caller may use."""

    models: list[ModelAnswer]


class ExampleAnswer(BaseModel):
    """Example rows for a request."""

    rows: list[dict[str, Any]]


class HealthAnswer(BaseModel):
    """Whether the process runs or accepts requests."""

    status: Literal["live", "ready", "not ready"]
    reason: str | None = None


Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(
    service: Service,
    database_url: str,
    lifespan: Lifespan | None = None,
    *,
    mlflow_uri: str = "",
    inbox: Inbox | None = None,
) -> FastAPI:
    """Build the application of a service.

    Parameters
    ----------
    service
        The worker's service.
    database_url
        URL of the operational database, which stores the labels.
    lifespan
        Context that runs the service's background tasks.
    mlflow_uri
        URI of the registry, for the page's links.
    inbox
        Receives webhook deliveries; without one, all are refused.
    """
    app = FastAPI(title="Perennial", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    _add_errors(app)
    _add_health(app, service)
    _add_models(app, service)
    _add_labels(app, service, Database(database_url))
    add_hooks(app, service, inbox)
    add_page(app, service, mlflow_uri)
    add_protocol(app, service)

    @app.get(routes.SCHEMA.path, include_in_schema=False)
    async def schema(request: Request) -> Any:
        """Return the OpenAPI document, with a typed path for each model that the caller may use."""
        caller = _caller(request)
        models = [found.model for found in service.served.values() if caller.may("predict", found.model.name)]
        return document(app.openapi(), models, service.settings)

    return app


class Database:
    """The operational database, opened at the first use and again after it was unavailable.

    Parameters
    ----------
    address
        Its URL.
    """

    def __init__(self, address: str) -> None:
        # Separate threads: waiting for a database lock must not block the threads that compute predictions.
        self.threads = ThreadPoolExecutor(2, thread_name_prefix="labels")
        self._address = address
        self._engine: Engine | None = None

    def engine(self) -> Engine:
        """Return the engine.

        Raises
        ------
        StorageError
            The database is unavailable.
        """
        self._engine = self._engine or open_database(self._address, create=False)
        return self._engine


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return _answered(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _answered(request, _invalid(error))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        found = of_status(error.status_code)
        found.headers = tuple((name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items())
        return _answered(request, found)

    @app.exception_handler(StorageError)
    async def away(request: Request, error: StorageError) -> Response:
        _logger.warning("%s", error)
        return _answered(
            request,
            Problem("log-unavailable", "the operational database cannot be reached; try again later", retry_after=1),
        )

    @app.exception_handler(Exception)
    async def failed(request: Request, _error: Exception) -> Response:
        return _answered(request, of_status(500))


def _answered(request: Request, problem: Problem) -> Response:
    exchange = request.scope["perennial.exchange"]
    exchange.problem, exchange.detail = problem.kind, problem.detail if not problem.errors else "fields"
    headers = {name.decode(): value.decode() for name, value in problem.headers}
    body = problem.document(exchange.request_id, names_error=exchange.speaks_protocol)
    return Response(body, problem.status, headers, media_type=MEDIA_TYPE)


def _invalid(error: RequestValidationError) -> Problem:
    first = error.errors()[0]
    # Further parts name the allowed types of the value, not its position.
    place = [str(part) for part in first["loc"][1:4]]
    if first["type"] == "json_invalid":
        return Problem("invalid-json", "expected a JSON document")
    field = next((part for part in reversed(place) if not part.isdigit() and part in LabelItem.model_fields), "labels")
    pointer = "".join(f"/{part}" for part in place)[:MAX_SHOWN]
    return Problem("invalid-request", first["msg"], errors=(FieldError(field, first["msg"], pointer),))


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get(routes.LIVE.path, response_model=HealthAnswer)
    async def live() -> Any:
        """Whether the process runs."""
        return health(service, routes.LIVE.name)[1]

    @app.get(routes.READY.path, response_model=HealthAnswer, responses={503: {"model": HealthAnswer}})
    async def ready(response: Response) -> Any:
        """Whether the worker accepts requests."""
        response.status_code, content = health(service, routes.READY.name)
        return content

    @app.get(routes.METRICS.path, response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Any:
        """Metrics for Prometheus, of all workers."""
        loaded = [found.model for found in (*service.served.values(), *service.beside)]
        text = await asyncio.to_thread(service.metrics.expose, service.state, loaded, service.stopped)
        return Response(text, media_type=CONTENT_TYPE)


def _add_models(app: FastAPI, service: Service) -> None:
    @app.get(routes.MODELS.path, response_model=ModelsAnswer)
    async def models(request: Request) -> Any:
        """Return the served models with their versions."""
        caller = _caller(request)
        found = [one for _, one in sorted(service.served.items()) if caller.may("predict", one.model.name)]
        return ModelsAnswer(models=[_described(one, service) for one in found])

    @app.get(routes.MODEL.path, response_model=ModelAnswer)
    async def model_(model: str) -> Any:
        """Return the version, data version and tenure of one model."""
        return _described(service.loaded(model), service)

    @app.get(routes.EXAMPLE.path, response_model=ExampleAnswer)
    async def example(model: str) -> Any:
        """Return a request body for the model, with a row of its training data."""
        return ExampleAnswer(rows=list(service.loaded(model).model.examples[:1]))

    @app.get(routes.CARD.path, response_class=Response, responses={200: {"content": {"text/html": {}}}})
    async def card(model: str) -> Any:
        """Model card of the served version."""
        found = service.loaded(model)
        if CARD not in found.model.manifest.by_path:
            raise Problem("not-found", f"the bundle of {model!r} has no card")
        content = await asyncio.to_thread(read_document, Path(found.state.folder), CARD)
        return Response(content, media_type="text/html", headers={"content-security-policy": CARD_POLICY})


def _described(found: Loaded, service: Service) -> ModelAnswer:
    model, state = found.model, found.state
    return ModelAnswer(
        model=model.name,
        version=model.version,
        variant=model.variant,
        data_version=model.manifest.data_version,
        since=state.since,
        by=state.by,
        reason=state.reason,
        task=model.contract.task,
        runtime=model.kind,
        in_memory=model.name in service.models,
        card=routes.CARD.path.format(model=model.name),
        trouble=state.trouble,
    )


def _add_labels(app: FastAPI, service: Service, database: Database) -> None:
    @app.post(routes.LABELS.path, response_model=LabelsAnswer)
    async def labels(model: str, body: Labels, request: Request) -> Any:
        """Store true outcomes (labels) of predictions."""
        contract = service.loaded(model).model.contract
        wanted = [_label(item, place, contract) for place, item in enumerate(body.labels)]
        record = partial(_record, database, model, wanted, _caller(request).name)
        try:
            async with asyncio.timeout(service.settings.timeout_seconds):
                answer = await asyncio.get_running_loop().run_in_executor(database.threads, record)
        except TimeoutError:
            detail = "the operational database did not answer in time; send the labels again"
            raise Problem("log-unavailable", detail, retry_after=1) from None
        for result in ("added", "unchanged", "replaced"):
            service.metrics.labels.labels(model, result).inc(getattr(answer, result))
        return answer


def _label(item: LabelItem, place: int, contract: FeatureContract) -> Label:
    if item.id is not None and not is_prediction_id(item.id):
        raise _wrong_label(place, "id", "expected the id of a prediction, as in the answer to its request")
    label = _label_text(item.label, place, contract)
    if item.id is not None:
        return Label("id", item.id, label)
    key = category(str(item.key), missing_texts(contract.missing or ()))
    if key is None:
        raise _wrong_label(place, "key", "expected the key of an entity, found a text that means no value")
    return Label("key", key, label, _event_time(item.at, place))


def _event_time(text: str | None, place: int) -> datetime | None:
    if text is None:
        return None
    found = moment(text)
    if found is None or found.replace(tzinfo=UTC) <= NO_EVENT:
        raise _wrong_label(place, "at", "expected a time such as 2026-03-01 or 2026-03-01T12:30:00+02:00")
    return found.replace(tzinfo=UTC)


def _label_text(label: str | bool | float, place: int, contract: FeatureContract) -> str:
    if contract.classes:
        found = class_label(str(label))
        if found not in contract.classes:
            raise _wrong_label(place, "label", f"expected one of {', '.join(map(repr, contract.classes[:20]))}")
        return found
    if isinstance(label, bool | str) or not abs(label) <= MAX_NUMBER:
        raise _wrong_label(place, "label", "expected a finite number")
    return repr(float(label))


def _wrong_label(place: int, field: str, detail: str) -> Problem:
    errors = (FieldError(field, detail, f"/labels/{place}/{field}"),)
    return Problem("invalid-request", f"{field!r}: {detail}", errors=errors)


def _record(database: Database, model: str, labels: list[Label], sender: str) -> LabelsAnswer:
    engine = database.engine()
    found = record_labels(engine, model, labels, sender, datetime.now(UTC))
    ids = {label.reference for label in labels if label.kind == "id"}
    requests = {request_of(reference)[0] for reference in ids}
    known = logged_requests(engine, model, sorted(requests)) if requests else {}
    unmatched = [one for one in sorted(ids) if known.get(request_of(one)[0], 0) <= request_of(one)[1]]
    return LabelsAnswer(
        added=found.added, unchanged=found.unchanged, replaced=found.replaced, unmatched=unmatched[:1000]
    )


def _caller(request: Request) -> Caller:
    caller: Caller | None = request.scope["perennial.exchange"].caller
    return caller or ANYONE

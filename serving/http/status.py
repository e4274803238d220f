"""What a service is doing, as one document: for the page, and for programs that watch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import BaseModel, Field

from core.references import Variant
from serving import routes
from serving.bundle.reader import Runtime
from serving.http.service import Loaded, Service
from serving.instance.state import DriftSummary, ModelState
from serving.telemetry.recent import NO_MODEL, Rates, Window

CARD = "card.html"
LOCAL_MLFLOW = "http://127.0.0.1:5000"
"""Where ``perennial ui`` shows a registry that has no pages of its own."""

SHOWN_COLUMNS = 5
"""Columns that are named with their PSI, the largest first; all of them are among the metrics."""


class LiveAnswer(BaseModel):
    """Answered requests of about the last minute, over all workers and versions."""

    seconds: float = Field(description="length of the window; shorter when the worker has just started")
    requests: int = Field(description="with success or without")
    requests_per_second: float
    p50_ms: float | None = Field(description="half of them took at most so long; estimated within a bucket")
    p99_ms: float | None = Field(description="99 % of them took at most so long; 10,000 means that or more")
    client_error_share: float | None = Field(description="answered with 4xx, 0 to 1; null without requests")
    server_error_share: float | None = Field(description="answered with 5xx, 0 to 1; null without requests")


class UnansweredAnswer(BaseModel):
    """Requests for predictions of about the last minute that were refused before a model was asked."""

    requests: int
    requests_per_second: float
    codes: dict[str, int] = Field(description="by status code")


class ColumnAnswer(BaseModel):
    """How far a column of the newest window lies from the reference."""

    column: str
    psi: float


class PerformanceAnswer(BaseModel):
    """A metric of the newest window."""

    kind: Literal["realised", "estimated"] = Field(description="from labels, or without")
    metric: str
    value: float | None
    reference: float | None = Field(description="the same metric on the holdout")


class DriftAnswer(BaseModel):
    """What the newest window that was measured showed."""

    status: Literal["ok", "watch", "drift", "insufficient"]
    version: int = Field(description="that was champion when it was measured")
    n_rows: int
    measured_at: str = Field(description="ISO 8601")
    importance_share: float = Field(description="of what the champion leans on, what drifted, 0 to 1")
    n_columns: int = Field(description="that were measured")
    columns: list[ColumnAnswer] = Field(description="those with the highest PSI")
    performance: list[PerformanceAnswer]


class LinksAnswer(BaseModel):
    """Where there is more to read about a version."""

    card: str | None = Field(description="address at this service, where the version has a card")
    mlflow: str = Field(description="page of the version in MLflow")
    mlflow_after: str | None = Field(description="command that has to run for this page to be there")


class ServedAnswer(BaseModel):
    """A model that is served, why, and how it does."""

    model: str
    version: int
    variant: Variant
    data_version: str
    runtime: Runtime = Field(description="what computes its answers")
    since: str = Field(description="when the version became champion, ISO 8601")
    by: str = Field(description="gate, approval, rollback or adopted")
    reason: str
    trouble: str | None = Field(description="why a newer champion is not served")
    links: LinksAnswer
    live: LiveAnswer | None = Field(description="null in the first seconds of a worker")
    drift: DriftAnswer | None = Field(description="null where no window was measured yet")


class UnservedAnswer(BaseModel):
    """A model that has a champion and is not served."""

    model: str
    reason: str


class LogAnswer(BaseModel):
    """Whether predictions can be logged, by every worker."""

    writable: bool
    mode: Literal["commit", "async"]
    reason: str | None


class StatusAnswer(BaseModel):
    """What the service is doing."""

    at: str = Field(description="ISO 8601")
    status: Literal["ok", "trouble", "not ready"]
    reason: str | None = Field(description="why no requests should come here")
    revision: str = Field(description="changes with anything but the live numbers")
    log: LogAnswer
    models: list[ServedAnswer] = Field(description="in the order of their names")
    unserved: list[UnservedAnswer]
    unanswered: UnansweredAnswer | None = Field(description="null in the first seconds of a worker")


def service_status(service: Service, window: Window | None, mlflow_uri: str) -> StatusAnswer:
    """Return what a service is doing.

    Parameters
    ----------
    service
        As this worker holds it.
    window
        The last minute of all workers.
    mlflow_uri
        Of the registry.
    """
    models = [_served(service, name, window, mlflow_uri) for name in sorted(service.models)]
    log, unserved, reason = _log(service, window), list(_unserved(service)), service.not_ready_because()
    well = log.writable and not unserved and not any(model.trouble for model in models)
    found = StatusAnswer(
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        status="not ready" if reason else "ok" if well else "trouble",
        reason=reason,
        revision="",
        log=log,
        models=models,
        unserved=unserved,
        unanswered=_unanswered(window),
    )
    return found.model_copy(update={"revision": _revision(found)})


def _revision(status: StatusAnswer) -> str:
    content = status.model_dump_json(exclude={"at": True, "unanswered": True, "models": {"__all__": {"live"}}})
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _log(service: Service, window: Window | None) -> LogAnswer:
    reason = service.log.trouble
    if reason is None and window is not None and not window.log_up:
        reason = "another worker cannot write it; see the log"
    return LogAnswer(writable=reason is None, mode=service.settings.log, reason=reason)


def _unserved(service: Service) -> Iterable[UnservedAnswer]:
    if service.state is None:
        return
    unloaded = "this worker could not load its bundle; see the log"
    reasons = {model.name: unloaded for model in service.state.models if model.name not in service.models}
    for name, reason in sorted((reasons | service.state.trouble).items()):
        yield UnservedAnswer(model=name, reason=reason)


def _served(service: Service, name: str, window: Window | None, mlflow_uri: str) -> ServedAnswer:
    found = service.models[name]
    known = service.state.models if service.state else ()
    wanted = next((state for state in known if state.name == name), found.state)
    return ServedAnswer(
        model=name,
        version=found.model.version,
        variant=found.model.variant,
        data_version=found.model.manifest.data_version,
        runtime=found.model.kind,
        since=found.state.since,
        by=found.state.by,
        reason=found.state.reason,
        trouble=_trouble(found, wanted),
        links=_links(found, mlflow_uri),
        live=None if window is None else _live(window.of(name), window.seconds),
        drift=None if wanted.drift is None else _drift(wanted.drift),
    )


def _trouble(found: Loaded, wanted: ModelState) -> str | None:
    if found.model.version != wanted.version:
        return f"this worker could not load the bundle of version {wanted.version}; see the log"
    return wanted.trouble


def _links(found: Loaded, mlflow_uri: str) -> LinksAnswer:
    name = quote(found.model.name, safe="")
    home = registry_pages(mlflow_uri)
    return LinksAnswer(
        card=routes.CARD.path.format(model=name) if CARD in found.model.manifest.by_path else None,
        mlflow=f"{home or LOCAL_MLFLOW}/#/models/{name}/versions/{found.model.version}",
        mlflow_after=None if home else "perennial ui",
    )


def registry_pages(mlflow_uri: str) -> str | None:
    """Return the address of MLflow's pages, without a password in it; None where there are none.

    Examples
    --------
    >>> registry_pages("https://me:secret@mlflow.example.org/"), registry_pages("sqlite:///var/mlflow.db")
    ('https://mlflow.example.org', None)
    """
    try:
        parts = urlsplit(mlflow_uri)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def _live(rates: Rates, seconds: float) -> LiveAnswer:
    return LiveAnswer(
        seconds=seconds,
        requests=rates.requests,
        requests_per_second=rates.per_second,
        p50_ms=None if rates.p50 is None else 1000 * rates.p50,
        p99_ms=None if rates.p99 is None else 1000 * rates.p99,
        client_error_share=rates.client_errors,
        server_error_share=rates.server_errors,
    )


def _unanswered(window: Window | None) -> UnansweredAnswer | None:
    if window is None:
        return None
    rates = window.of(NO_MODEL)
    return UnansweredAnswer(requests=rates.requests, requests_per_second=rates.per_second, codes=dict(rates.codes))


def _drift(summary: DriftSummary) -> DriftAnswer:
    largest = sorted(summary.psi.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_COLUMNS]
    return DriftAnswer(
        status=summary.status,
        version=summary.champion,
        n_rows=summary.n_rows,
        measured_at=summary.measured_at,
        importance_share=summary.importance_share,
        n_columns=len(summary.psi),
        columns=[ColumnAnswer(column=name, psi=psi) for name, psi in largest],
        performance=[
            PerformanceAnswer(kind=one.kind, metric=one.metric, value=one.value, reference=one.reference)
            for one in summary.performance
        ],
    )

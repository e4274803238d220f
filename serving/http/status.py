"""The status of a service as one document, for the status page and for monitoring programs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote, urlsplit, urlunsplit

from msgspec import structs
from pydantic import BaseModel, Field

from core.references import Variant
from serving import routes
from serving.bundle.reader import Runtime
from serving.http.loaded import Loaded
from serving.http.service import Service
from serving.instance.state import DriftSummary, ModelState, ReleasedState
from serving.release.look import release_look
from serving.telemetry.recent import NO_MODEL, Rates, Window

CARD = "card.html"
LOCAL_MLFLOW = "http://127.0.0.1:5000"
"""Address at which ``perennial ui`` shows a registry that has no server."""

SHOWN_COLUMNS = 5
"""Number of columns in the status, by decreasing PSI; the metrics contain all columns."""


class LiveAnswer(BaseModel):
    """Answered requests of about the last minute, over all workers and versions."""

    seconds: float = Field(description="Length of the window; shorter just after the worker's start")
    requests: int = Field(description="Answered requests, successful or not")
    requests_per_second: float
    p50_ms: float | None = Field(description="Median duration, estimated from histogram buckets; null without requests")
    p99_ms: float | None = Field(description="99th percentile of the duration; 10,000 means that or more")
    client_error_share: float | None = Field(description="Share answered with 4xx, 0 to 1; null without requests")
    server_error_share: float | None = Field(description="Share answered with 5xx, 0 to 1; null without requests")


class UnansweredAnswer(BaseModel):
    """Prediction requests of about the last minute that were refused before a model was called."""

    requests: int
    requests_per_second: float
    codes: dict[str, int] = Field(description="Requests by status code")


class ColumnAnswer(BaseModel):
    """PSI of a column of the newest window against the reference."""

    column: str
    psi: float


class PerformanceAnswer(BaseModel):
    """A metric of the newest window."""

    kind: Literal["realised", "estimated"] = Field(description="realised: with labels; estimated: without labels")
    metric: str
    value: float | None
    reference: float | None = Field(description="The same metric on the holdout")


class DriftAnswer(BaseModel):
    """Drift and performance of the newest measured window."""

    status: Literal["ok", "watch", "drift", "insufficient"]
    version: int = Field(description="Champion at the time of the measurement")
    n_rows: int
    measured_at: str = Field(description="ISO 8601")
    importance_share: float = Field(description="Share of the champion's feature importance that drifted, 0 to 1")
    n_columns: int = Field(description="Number of measured columns")
    columns: list[ColumnAnswer] = Field(description="The columns with the highest PSI")
    performance: list[PerformanceAnswer]


class LinksAnswer(BaseModel):
    """Links to more information about a version."""

    card: str | None = Field(description="Path of the model card at this service; null if the version has none")
    mlflow: str = Field(description="Page of the version in MLflow")
    mlflow_after: str | None = Field(description="Command that must run for this page to exist; null if none is needed")


class CheckAnswer(BaseModel):
    """A guardrail at the newest look: what was measured of both versions, and bounds of the harm."""

    name: str
    state: str = Field(description="ok, unknown, doubtful or breached")
    champion: float | None = None
    challenger: float | None = None
    lower: float | None = Field(default=None, description="Lower bound of the harm, over all looks together")
    upper: float | None = Field(default=None, description="Upper bound of the harm, over all looks together")
    limit: float | None = None
    sentence: str = ""


class ReleaseAnswer(BaseModel):
    """A running release as this service follows it."""

    number: int
    stage: Literal["shadow", "step", "bake"]
    share: int = Field(description="Percent of the requests that the released version answers; 0 in the shadow")
    version: int = Field(description="Version that is released")
    other: int = Field(description="Version that it is compared with, and that answers where it fails")
    since: str = Field(description="Start of the stage, ISO 8601")
    paused: bool = Field(description="Whether a person stopped it from moving on")
    is_asked: bool = Field(description="Whether this worker asks the version: it is loaded and its breaker is closed")
    trouble: str | None = Field(description="Why the version is not asked; null if it is")
    checks: list[CheckAnswer] = Field(description="Guardrails at the newest look; empty before the first one")
    reasons: list[str] = Field(description="What the newest look found, and what the release waits for")
    deadline: str | None = Field(description="When the stage ends without enough evidence; null before the first look")


class ServedAnswer(BaseModel):
    """A served model with its tenure, live rates and drift."""

    model: str
    version: int
    variant: Variant
    data_version: str
    runtime: Runtime = Field(description="Runtime that computes the answers")
    in_memory: bool = Field(description="Whether this worker has loaded it; if not, its next request does")
    since: str = Field(description="When the version became champion, ISO 8601")
    by: str = Field(description="How it became champion: gate, approval, release, rollback or adopted")
    reason: str
    trouble: str | None = Field(description="Why a newer champion is not served; null if there is none")
    links: LinksAnswer
    live: LiveAnswer | None = Field(description="null in the first seconds of a worker")
    drift: DriftAnswer | None = Field(description="null if no window has been measured yet")
    release: ReleaseAnswer | None = Field(default=None, description="The running release; null if none runs")


class UnservedAnswer(BaseModel):
    """A model with a champion that is not served."""

    model: str
    reason: str


class LogAnswer(BaseModel):
    """Whether every worker can write the prediction log."""

    writable: bool
    mode: Literal["commit", "async"]
    reason: str | None


class StatusAnswer(BaseModel):
    """Status of the service."""

    at: str = Field(description="ISO 8601")
    status: Literal["ok", "trouble", "not ready"]
    reason: str | None = Field(description="Why the worker does not accept requests; null if it does")
    revision: str = Field(description="Changes with every part of the document except the live numbers")
    log: LogAnswer
    models: list[ServedAnswer] = Field(description="Served models in the order of their names")
    unserved: list[UnservedAnswer]
    unanswered: UnansweredAnswer | None = Field(description="null in the first seconds of a worker")


def service_status(service: Service, window: Window | None, mlflow_uri: str) -> StatusAnswer:
    """Return the status of a service.

    Parameters
    ----------
    service
        This worker's service.
    window
        Rates of the last minute, over all workers.
    mlflow_uri
        URI of the registry.
    """
    models = [_served(service, name, window, mlflow_uri) for name in sorted(service.served)]
    log, unserved, reason = _log(service, window), list(_unserved(service)), service.not_ready_because()
    well = log.writable and not unserved and not any(map(_has_trouble, models))
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


def _has_trouble(model: ServedAnswer) -> bool:
    return model.trouble is not None or (model.release is not None and model.release.trouble is not None)


def _revision(status: StatusAnswer) -> str:
    content = status.model_dump_json(
        exclude={"at": True, "unanswered": True, "models": {"__all__": {"live", "in_memory"}}}
    )
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _log(service: Service, window: Window | None) -> LogAnswer:
    reason = service.log.trouble
    if reason is None and window is not None and not window.log_up:
        reason = "another worker cannot write it; see that worker's lines in the service's log"
    return LogAnswer(writable=reason is None, mode=service.settings.log, reason=reason)


def _unserved(service: Service) -> Iterable[UnservedAnswer]:
    if service.state is None:
        return
    unloaded = "this worker could not load its bundle; see the service's log"
    reasons = {model.name: unloaded for model in service.state.models if model.name not in service.served}
    for name, reason in sorted((reasons | service.state.trouble).items()):
        yield UnservedAnswer(model=name, reason=reason)


def _served(service: Service, name: str, window: Window | None, mlflow_uri: str) -> ServedAnswer:
    found = service.loaded(name)
    known = service.state.models if service.state else ()
    wanted = next((state for state in known if state.name == name), found.state)
    return ServedAnswer(
        model=name,
        version=found.model.version,
        variant=found.model.variant,
        data_version=found.model.manifest.data_version,
        runtime=found.model.kind,
        in_memory=name in service.models,
        since=found.state.since,
        by=found.state.by,
        reason=found.state.reason,
        trouble=_trouble(found, wanted),
        links=_links(found, mlflow_uri),
        live=None if window is None else _live(window.of(name), window.seconds),
        drift=None if wanted.drift is None else _drift(wanted.drift),
        release=None if wanted.release is None else _release(found, wanted.release),
    )


def _release(champion: Loaded, release: ReleasedState) -> ReleaseAnswer:
    routing, is_baking = champion.routing, release.stage == "bake"
    trouble = release.trouble
    if trouble is None and routing is not None:
        trouble = routing.breaker.reason
        if trouble is None and routing.other is None:
            trouble = "this worker has not loaded its bundle; see the service's log"
    elif trouble is None:
        trouble = "this worker has not loaded its champion"
    look = release_look(release.look)
    return ReleaseAnswer(
        number=release.number,
        stage=release.stage,
        share=release.share,
        version=champion.model.version if is_baking else release.version,
        other=release.version if is_baking else champion.model.version,
        since=release.since,
        paused=release.paused,
        is_asked=trouble is None and release.stage != "shadow",
        trouble=trouble,
        checks=[CheckAnswer(**structs.asdict(check)) for check in look.checks],
        reasons=list(look.reasons),
        deadline=look.deadline,
    )


def _trouble(found: Loaded, wanted: ModelState) -> str | None:
    if found.model.version != wanted.version:
        return f"this worker could not load the bundle of version {wanted.version}; see the service's log"
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
    """Return the address of MLflow's pages, without user and password; None if the registry has no server.

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

"""Read from Prometheus what both versions of a release with a mesh did in a stage."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from string import Template
from typing import TYPE_CHECKING

from config.settings import MeshSettings, load_section
from core.errors import ConfigError, StorageError
from core.release.monitored import BEYOND, observed
from core.release.observed import Observed
from core.release.recorded import RecordedPlan
from store.releases.answers import Asked
from tasks.release.api import Api, message

if TYPE_CHECKING:
    from config.schema import Mesh


_logger = logging.getLogger("perennial.release")


def monitored_both(champion: Asked, challenger: Asked, recorded: RecordedPlan, mesh: Mesh) -> tuple[Observed, Observed]:
    """Return what champion and challenger did by Prometheus.

    If it cannot be asked, nothing is known of either: the release holds, and its deadline comes all the same.

    Parameters
    ----------
    champion, challenger
        Versions, variants and times.
    recorded
        The plan with the champion's bins.
    mesh
        Names the metrics.
    """
    try:
        return (
            monitored(champion, recorded, mesh, is_challenger=False),
            monitored(challenger, recorded, mesh, is_challenger=True),
        )
    except (ConfigError, StorageError) as error:
        _logger.warning("%s: nothing is known of its versions at this look: %s", challenger.model, error)
        return Observed(), Observed()


def monitored(asked: Asked, recorded: RecordedPlan, mesh: Mesh, *, is_challenger: bool) -> Observed:
    """Return what a variant did by Prometheus.

    Parameters
    ----------
    asked
        Version, variant and time.
    recorded
        The plan with the champion's bins.
    mesh
        Names the metrics.
    is_challenger
        Whether it is the version that is released.

    Raises
    ------
    ConfigError
        No address of Prometheus, credentials that it does not accept, or a query that it does not understand.
    StorageError
        Prometheus does not answer.
    """
    metrics, api = mesh.prometheus, _api()
    end = asked.until or datetime.now(UTC)
    names = {"version": str(asked.version), "variant": asked.variant, "backend": _backend(mesh, is_challenger)}

    def by(label: str, selector: str | None) -> Mapping[str, float]:
        if selector is None:
            return {}
        return _increases(api, Template(selector).substitute(names), label, asked.since, end)

    return observed(
        by(metrics.code_label, metrics.requests),
        by("le", metrics.latency),
        by("le", metrics.predictions),
        recorded.bins,
        to_ms=1000.0 if metrics.latency_unit == "seconds" else 1.0,
        beyond=BEYOND if is_challenger else 1.0,
    )


def query(selector: str, label: str, seconds: int) -> str:
    """Return the PromQL of a counter's increase by a label.

    A series that began within the time, such as that of the first failure, has no increase before its second sample:
    what it counts counts as well.

    Parameters
    ----------
    selector, label
        Counters, and the label to add them up by.
    seconds
        Length of the time, which ends at the time of the query.
    """
    known, new = f"increase({selector}[{seconds}s])", f"last_over_time({selector}[{seconds}s])"
    before = f"{selector} offset {seconds}s"
    return f"sum by ({label}) (({known} and {before}) or (({known} > {new}) or {new}) unless ({before}))"


def _increases(api: Api, selector: str, label: str, start: datetime, end: datetime) -> Mapping[str, float]:
    seconds = max(1, math.ceil((end - start).total_seconds()))
    params = {"query": query(selector, label, seconds), "time": f"{end.timestamp():.3f}"}
    status, document = api.send("GET", "/api/v1/query", params=params)
    if status >= 300:
        raise ConfigError(f"Prometheus does not understand {params['query']}: {status} {message(document)}")
    try:
        return {one["metric"].get(label, ""): float(one["value"][1]) for one in document["data"]["result"]}
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"Prometheus at {api.url}: expected a vector, found {str(document)[:300]}") from error


def _backend(mesh: Mesh, is_challenger: bool) -> str:
    if mesh.backends is None:
        return ""
    return mesh.backends.challenger if is_challenger else mesh.backends.champion


def _api() -> Api:
    given = load_section(MeshSettings)
    if given.prometheus_url is None:
        raise ConfigError("PERENNIAL_MESH_PROMETHEUS_URL is not set: a release with a mesh is observed there")
    token = given.prometheus_token.get_secret_value() if given.prometheus_token else None
    return Api(
        "Prometheus",
        given.prometheus_url,
        token,
        given.prometheus_ca_file,
        given.timeout_seconds,
        "PERENNIAL_MESH_PROMETHEUS_",
    )

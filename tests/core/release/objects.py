"""Objects of a cluster, and patches applied to them as RFC 6902 and RFC 7396 say."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from config.schema import Mesh

METRICS: dict[str, Any] = {
    "requests": 'perennial_requests_total{version="$version",variant="$variant"}',
    "latency": 'perennial_request_duration_seconds_bucket{version="$version",variant="$variant"}',
    "predictions": 'perennial_predictions_total{version="$version",variant="$variant"}',
}
GATEWAY = Mesh.model_validate(
    {
        "kind": "gateway",
        "namespace": "serving",
        "name": "credit",
        "backends": {"champion": "one", "challenger": "two"},
        "prometheus": METRICS,
    }
)
ROLLOUTS = Mesh.model_validate({"kind": "rollouts", "namespace": "serving", "name": "credit", "prometheus": METRICS})


def route(
    first: str, second: str, annotations: dict[str, str] | None = None, more: Sequence[str] = ()
) -> dict[str, Any]:
    """Return an HTTPRoute that divides requests among backends, without weights."""
    metadata: dict[str, Any] = {"name": "credit", "namespace": "serving", "resourceVersion": "7"}
    if annotations:
        metadata["annotations"] = annotations
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/v1/models/credit"}}],
        "backendRefs": [{"name": name, "port": 8470} for name in (first, second, *more)],
    }
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata,
        "spec": {"parentRefs": [{"name": "public"}], "hostnames": ["models.example.org"], "rules": [rule]},
    }


def rollout(stable: str = "a", current: str = "b") -> dict[str, Any]:
    """Return a Rollout with a canary at 0 %."""
    pod = {
        "metadata": {"labels": {"app": "credit"}},
        "spec": {"containers": [{"name": "service", "image": "example.org/credit:2", "resources": {}}]},
    }
    canary = {
        "stableService": "one",
        "canaryService": "two",
        "trafficRouting": {"plugins": {"gateway": {}}},
        "steps": [{"setWeight": 0}, {"pause": {}}],
    }
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "credit", "namespace": "serving", "resourceVersion": "7"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "credit"}},
            "template": pod,
            "strategy": {"canary": canary},
        },
        "status": {"stableRS": stable, "currentPodHash": current},
    }


def patched(found: dict[str, Any], content_type: str, document: Any) -> dict[str, Any]:
    """Return a copy of an object with a patch.

    Raises
    ------
    ValueError
        An operation ``test`` found another value.
    """
    after = copy.deepcopy(found)
    if content_type == "application/merge-patch+json":
        return dict(_merged(after, document))
    for operation in document:
        *parents, last = operation["path"].split("/")[1:]
        node: Any = after
        for name in parents:
            node = node[int(name)] if isinstance(node, list) else node[name]
        if operation["op"] == "test":
            if node.get(last) != operation["value"]:
                raise ValueError(f"test: expected {operation['value']!r}, found {node.get(last)!r}")
        else:
            assert operation["op"] == "add", operation
            node[last] = operation["value"]
    return after


def _merged(target: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged

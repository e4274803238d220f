"""The share of a release as weights of a mesh: patches of an HTTPRoute or an Argo Rollout.

A patch is a function of the object as it was read, so a repeat finds nothing to do, and a killed one is repaired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from core.errors import ReleaseError

if TYPE_CHECKING:
    from config.schema import Mesh

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
"""Content types of RFC 6902 and RFC 7396."""

MARK = "perennial-release"
"""Annotation of the object: the newest change of a release that it has."""

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What a release wants of a mesh.

    Parameters
    ----------
    share
        Percent of the requests that the challenger answers, 0 to 100.
    mark
        Names the change of the release; no two changes have the same.
    is_over
        The release ended: its last weights are written once, and then belong to others.

    Raises
    ------
    ValueError
        The share is out of its range.
    """

    share: int
    mark: str
    is_over: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 100:
            raise ValueError(f"expected a share of 0 to 100 %, found {self.share}")

    @property
    def weights(self) -> tuple[int, int]:
        """Weights of champion and challenger; their sum is 100."""
        return 100 - self.share, self.share


@dataclass(frozen=True)
class Patch:
    """A patch of an object, and its content type."""

    content_type: Literal["application/json-patch+json", "application/merge-patch+json"]
    document: Any


def path(mesh: Mesh) -> str:
    """Return the path of the object in the Kubernetes API."""
    kinds = {
        "gateway": ("gateway.networking.k8s.io/v1", "httproutes"),
        "rollouts": ("argoproj.io/v1alpha1", "rollouts"),
    }
    version, plural = kinds[mesh.kind]
    return f"/apis/{version}/namespaces/{mesh.namespace}/{plural}/{mesh.name}"


def challenger_weight(mesh: Mesh, found: Object) -> int:
    """Return the weight that the challenger has in an object, or gets as soon as there is a canary.

    Raises
    ------
    ReleaseError
        The object does not have the form that the model file expects.
    """
    if mesh.kind == "gateway":
        return _weight(_backends(mesh, found)[1][1])
    steps = _canary(mesh, found).get("steps") or [{}]
    return int(steps[0].get("setWeight", 100))


def patch(mesh: Mesh, found: Object, wanted: Wanted) -> Patch | None:
    """Return the patch that gives an object the weights of a release; None if nothing is to be done.

    Parameters
    ----------
    mesh
        Section ``release.mesh`` of the model file.
    found
        The object as it was read.
    wanted
        The share.

    Raises
    ------
    ReleaseError
        The object does not have the form that the model file expects.
    """
    is_marked = _mark(found) == wanted.mark
    if is_marked and wanted.is_over:
        return None
    return (_route_patch if mesh.kind == "gateway" else _rollout_patch)(mesh, found, wanted, is_marked)


def _route_patch(mesh: Mesh, found: Object, wanted: Wanted, is_marked: bool) -> Patch | None:
    backends = _backends(mesh, found)
    if is_marked and tuple(_weight(backend) for _, backend in backends) == wanted.weights:
        return None
    operations: list[dict[str, Any]] = []
    for (place, backend), weight in zip(backends, wanted.weights, strict=True):
        at = f"/spec/rules/{mesh.rule}/backendRefs/{place}"
        # The place is a position: the test refuses the patch if somebody moved the backend after it was read.
        operations.append({"op": "test", "path": f"{at}/name", "value": backend["name"]})
        operations.append({"op": "add", "path": f"{at}/weight", "value": weight})
    return Patch(JSON_PATCH, [*operations, *_marking(found, wanted.mark)])


def _marking(found: Object, mark: str) -> list[dict[str, Any]]:
    if not _metadata(found).get("annotations"):
        return [{"op": "add", "path": "/metadata/annotations", "value": {MARK: mark}}]
    return [{"op": "add", "path": f"/metadata/annotations/{MARK}", "value": mark}]


def _rollout_patch(mesh: Mesh, found: Object, wanted: Wanted, is_marked: bool) -> Patch | None:
    present = _canary(mesh, found).get("steps")
    steps, is_last = _steps(found, wanted)
    if present == steps and (is_marked or not is_last):
        return None
    metadata: dict[str, Any] = {"annotations": {MARK: wanted.mark}} if is_last else {}
    if version := _metadata(found).get("resourceVersion"):
        # A merge patch replaces the list of steps: Kubernetes refuses it if the object changed after it was read.
        metadata["resourceVersion"] = version
    document = {"metadata": metadata, "spec": {"strategy": {"canary": {"steps": steps}}}}
    return Patch(MERGE_PATCH, document)


def _steps(found: Object, wanted: Wanted) -> tuple[list[dict[str, Any]], bool]:
    """Return the steps of a Rollout, and whether they are the last of this change of the release.

    A pause keeps the canary at its weight until the next patch; changed steps begin again, with their first weight. A
    completed release leaves the pause out, so that the canary becomes stable. Then the weight is 0 again: the next
    canary must not begin with all requests.
    """
    held: list[dict[str, Any]] = [{"setWeight": wanted.share}, {"pause": {}}]
    if not (wanted.is_over and wanted.share == 100):
        return held, True
    status = found.get("status") or {}
    if status.get("stableRS") and status["stableRS"] == status.get("currentPodHash"):
        return [{"setWeight": 0}, {"pause": {}}], True
    return [{"setWeight": 100}], False


def _backends(mesh: Mesh, found: Object) -> list[tuple[int, Object]]:
    """Return place and entry of the champion's and the challenger's backend."""
    rules: Sequence[Object] = _below(found, "spec", "rules") or ()
    if mesh.rule >= len(rules) or mesh.backends is None:
        raise ReleaseError(f"{_named(mesh)}: expected a rule {mesh.rule} with two backends, found {len(rules)} rules")
    entries: Sequence[Object] = rules[mesh.rule].get("backendRefs") or ()
    places = {entry.get("name"): place for place, entry in enumerate(entries)}
    expected = [mesh.backends.champion, mesh.backends.challenger]
    if len(entries) != 2 or set(places) != set(expected):
        raise ReleaseError(
            f"{_named(mesh)}, rule {mesh.rule}: expected the backends {expected} and no other, found "
            f"{sorted(map(str, places))}; correct the route, or release.mesh of the model file"
        )
    return [(places[name], entries[places[name]]) for name in expected]


def _canary(mesh: Mesh, found: Object) -> Object:
    canary = _below(found, "spec", "strategy", "canary")
    if not isinstance(canary, Mapping):
        raise ReleaseError(f"{_named(mesh)}: expected the strategy canary, found none; only a canary has weights")
    return canary


def _weight(backend: Object) -> int:
    weight = backend.get("weight")
    return 1 if weight is None else int(weight)


def _mark(found: Object) -> str | None:
    mark = (_metadata(found).get("annotations") or {}).get(MARK)
    return None if mark is None else str(mark)


def _metadata(found: Object) -> Object:
    return _below(found, "metadata") or {}


def _below(found: Any, *names: str) -> Any:
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _named(mesh: Mesh) -> str:
    kind = {"gateway": "HTTPRoute", "rollouts": "Rollout"}[mesh.kind]
    return f"{kind} {mesh.namespace}/{mesh.name}"

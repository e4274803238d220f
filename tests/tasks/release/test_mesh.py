"""The weights follow the database: over a real registry, and a double of the Kubernetes API with real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from core.errors import ConfigError, ReleaseError, StorageError
from core.release.mesh import JSON_PATCH, MERGE_PATCH, path
from store.releases.releases import newest_release, running_release
from tasks.release.look import look
from tasks.release.mesh import MeshWatch, project
from tasks.release.people import abort, advance, start
from tests.core.release.objects import GATEWAY, METRICS, ROLLOUTS, rollout, route
from tests.tasks.release.cluster import TOKEN, Cluster, running
from tests.tasks.release.traffic import database, log, two_versions

pytestmark = pytest.mark.usefixtures("warm_steps")

MESH: dict[str, Any] = {
    "kind": "gateway",
    "namespace": "serving",
    "name": "credit",
    "backends": {"champion": "one", "challenger": "two"},
    "prometheus": METRICS,
}
ROUTE, ROLLOUT = path(GATEWAY), path(ROLLOUTS)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cluster]:
    """Serve a cluster with a route and a rollout; the token is that of a service account's file."""
    given = route("one", "two")
    given["spec"]["rules"][0]["backendRefs"][1]["weight"] = 0
    with running(Cluster({ROUTE: given, ROLLOUT: rollout()})) as cluster:
        (tmp_path / "token").write_text(TOKEN + "\n")
        monkeypatch.setenv("PERENNIAL_MESH_API_URL", cluster.url)
        monkeypatch.setenv("PERENNIAL_MESH_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("PERENNIAL_MESH_TIMEOUT_SECONDS", "2")
        # Nothing listens there: what cannot be read holds.
        monkeypatch.setenv("PERENNIAL_MESH_PROMETHEUS_URL", "http://127.0.0.1:1")
        yield cluster


@pytest.fixture
def meshed(registry: Settings, cluster: Cluster) -> Settings:
    """Return a project whose version 2 waits for a release with a mesh."""
    assert cluster.url
    return _project(registry, MESH)


def _project(settings: Settings, mesh: dict[str, Any]) -> Settings:
    two_versions(settings, shadow={"requests": 0}, mesh=mesh)
    log(settings, 1, "champion", 20)
    return settings


def weights(cluster: Cluster) -> dict[str, int]:
    """Return the weights of the route."""
    return {one["name"]: one.get("weight") for one in cluster.objects[ROUTE]["spec"]["rules"][0]["backendRefs"]}


def test_the_weights_follow_the_release(meshed: Settings, cluster: Cluster) -> None:
    """Start, steps, promotion and abort, each at once; a repeat writes nothing."""
    start("credit", "2", "it is better", meshed)
    assert weights(cluster) == {"one": 90, "two": 10}
    assert {one[2] for one in cluster.requests if one[0] == "PATCH"} == {JSON_PATCH}
    written = cluster.count("PATCH")
    assert project(database(meshed), "credit") == 0
    assert cluster.count("PATCH") == written
    for share in (50, 100):
        advance("credit", "go on", meshed)
        assert weights(cluster) == {"one": 100 - share, "two": share}
    abort("credit", "complaints", meshed)
    assert weights(cluster) == {"one": 100, "two": 0}


def test_the_weights_of_a_rollout_are_steps(registry: Settings, cluster: Cluster) -> None:
    """A patch of the other kind; at the end the canary becomes stable."""
    mesh = {name: value for name, value in MESH.items() if name != "backends"} | {"kind": "rollouts"}
    settings = _project(registry, mesh)

    def steps() -> Any:
        return cluster.objects[ROLLOUT]["spec"]["strategy"]["canary"]["steps"]

    start("credit", "2", "it is better", settings)
    assert steps() == [{"setWeight": 10}, {"pause": {}}]
    assert {one[2] for one in cluster.requests if one[0] == "PATCH"} == {MERGE_PATCH}
    for _ in range(3):
        advance("credit", "go on", settings)
    assert steps() == [{"setWeight": 100}]
    cluster.objects[ROLLOUT]["status"] = {"stableRS": "b", "currentPodHash": "b"}
    assert project(database(settings), "credit") == 1
    assert steps() == [{"setWeight": 0}, {"pause": {}}]


@pytest.mark.parametrize(("status", "delay"), [(503, 0.0), (401, 0.0), (0, 3.0)])
def test_an_abort_needs_no_cluster(meshed: Settings, cluster: Cluster, status: int, delay: float) -> None:
    """It is in the database; the relay, or the next look, sets the weight when the cluster is back."""
    start("credit", "2", "it is better", meshed)
    cluster.status, cluster.delay = status, delay
    abort("credit", "complaints", meshed)
    assert running_release(database(meshed), "credit") is None
    assert weights(cluster)["two"] == 10
    missed = look("credit", meshed)
    assert missed.status == "none"
    assert "the next look repairs it" in missed.reasons[-1]
    with pytest.raises((StorageError, ConfigError)):
        MeshWatch(meshed).look()
    cluster.status, cluster.delay = 0, 0.0
    assert MeshWatch(meshed).look() == 1
    assert weights(cluster) == {"one": 100, "two": 0}
    assert look("credit", meshed).reasons == ("no release of 'credit' is running",)


def test_others_may_change_the_object_at_the_same_time(meshed: Settings, cluster: Cluster) -> None:
    """It is read again, and the weight goes to the backend of its name; always is too often."""
    start("credit", "2", "it is better", meshed)
    cluster.conflicts = 3
    advance("credit", "go on", meshed)
    assert (cluster.conflicts, weights(cluster)) == (0, {"one": 50, "two": 50})
    cluster.objects[ROUTE]["spec"]["rules"][0]["backendRefs"][0]["weight"] = 1
    cluster.conflicts = 100
    with pytest.raises(ReleaseError, match="422 test"):
        project(database(meshed), "credit")


def test_a_conflict_of_versions_is_tried_again(registry: Settings, cluster: Cluster) -> None:
    """A rollout that changed after it was read is answered 409."""
    mesh = {name: value for name, value in MESH.items() if name != "backends"} | {"kind": "rollouts"}
    settings = _project(registry, mesh)
    cluster.conflicts = 2
    start("credit", "2", "it is better", settings)
    assert cluster.objects[ROLLOUT]["spec"]["strategy"]["canary"]["steps"][0] == {"setWeight": 10}
    cluster.objects[ROLLOUT]["spec"]["strategy"]["canary"]["steps"] = []
    cluster.conflicts = 100
    with pytest.raises(StorageError, match="others change the object all the time"):
        project(database(settings), "credit")


def test_a_release_does_not_start_with_a_mesh_that_is_not_ready(meshed: Settings, cluster: Cluster) -> None:
    """No object, a challenger that gets requests already, or no cluster: nothing moves."""
    kept = cluster.objects.pop(ROUTE)
    with pytest.raises(ReleaseError, match="404 not found; correct the model file"):
        start("credit", "2", "it is better", meshed)
    cluster.objects[ROUTE] = kept
    kept["spec"]["rules"][0]["backendRefs"][1]["weight"] = 7
    with pytest.raises(ReleaseError, match="has the weight 7 already"):
        start("credit", "2", "it is better", meshed)
    cluster.status = 500
    with pytest.raises(StorageError, match="500"):
        start("credit", "2", "it is better", meshed)
    assert newest_release(database(meshed), "credit") is None
    assert cluster.count("PATCH") == 0

"""Patches of an HTTPRoute and a Rollout: what they make of an object is what the published definitions allow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from config.schema import Mesh
from core.errors import ReleaseError
from core.release.mesh import JSON_PATCH, MARK, MERGE_PATCH, Patch, Wanted, challenger_weight, patch, path
from tests.core.release.objects import GATEWAY, ROLLOUTS, patched, rollout, route

PUBLISHED = Path(os.environ.get("PERENNIAL_TEST_CONTRACTS", "contracts"))
"""Definitions of kubernetes-sigs/gateway-api and argoproj/argo-rollouts; a folder with copies is named there."""


def applied(mesh: Mesh, found: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
    """Return an object after the patch; there must be one."""
    change = patch(mesh, found, wanted)
    assert change is not None
    return patched(found, change.content_type, change.document)


def weights(found: dict[str, Any]) -> dict[str, int]:
    """Return the weights of a route's backends by name."""
    return {entry["name"]: entry["weight"] for entry in found["spec"]["rules"][0]["backendRefs"]}


@pytest.mark.parametrize("share", [0, 5, 25, 50, 100])
@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_weights_of_a_route_sum_to_100(share: int, order: tuple[str, str]) -> None:
    """Backends are found by name, in whichever order they stand; a repeat has nothing to do."""
    wanted = Wanted(share, "credit.1.2")
    found = applied(GATEWAY, route(*order), wanted)
    assert weights(found) == {"one": 100 - share, "two": share}
    assert challenger_weight(GATEWAY, found) == share
    assert found["metadata"]["annotations"][MARK] == "credit.1.2"
    assert patch(GATEWAY, found, wanted) is None


def test_a_route_keeps_what_is_not_ours() -> None:
    """Matches, filters, ports and other annotations are those from before."""
    before = route("one", "two", {"team": "risk"})
    after = applied(GATEWAY, before, Wanted(5, "credit.1.2"))
    assert after["metadata"]["annotations"] == {"team": "risk", MARK: "credit.1.2"}
    for entry in after["spec"]["rules"][0]["backendRefs"]:
        del entry["weight"]
    assert after["spec"] == before["spec"]


def test_a_backend_that_moved_is_not_given_the_weight_of_another() -> None:
    """The patch tests the name at the place that it changes."""
    change = patch(GATEWAY, route("one", "two"), Wanted(5, "credit.1.2"))
    assert change is not None
    assert change.content_type == JSON_PATCH
    with pytest.raises(ValueError, match="test"):
        patched(route("two", "one"), change.content_type, change.document)


def test_weights_that_others_changed_are_written_again_while_it_runs() -> None:
    """After the end they belong to others, once the last ones were written."""
    running = Wanted(25, "credit.1.3")
    found = applied(GATEWAY, route("one", "two"), running)
    found["spec"]["rules"][0]["backendRefs"][0]["weight"] = 1
    assert weights(applied(GATEWAY, found, running)) == {"one": 75, "two": 25}
    over = Wanted(0, "credit.1.4", is_over=True)
    found = applied(GATEWAY, found, over)
    found["spec"]["rules"][0]["backendRefs"][0]["weight"] = 1
    assert patch(GATEWAY, found, over) is None


@pytest.mark.parametrize("share", [0, 5, 25, 50, 100])
def test_a_rollout_pauses_at_its_weight(share: int) -> None:
    """The steps are replaced, with the version of the object that was read; a repeat has nothing to do."""
    wanted = Wanted(share, "credit.1.2")
    before = rollout()
    change = patch(ROLLOUTS, before, wanted)
    assert change is not None
    assert (change.content_type, change.document["metadata"]["resourceVersion"]) == (MERGE_PATCH, "7")
    after = applied(ROLLOUTS, before, wanted)
    assert after["spec"]["strategy"]["canary"]["steps"] == [{"setWeight": share}, {"pause": {}}]
    assert after["spec"]["strategy"]["canary"]["trafficRouting"] == {"plugins": {"gateway": {}}}
    assert challenger_weight(ROLLOUTS, after) == share
    assert patch(ROLLOUTS, after, wanted) is None


def test_a_completed_rollout_becomes_stable_and_then_waits_at_0() -> None:
    """The next canary must not begin with all requests; after that, the steps belong to others."""
    over = Wanted(100, "credit.1.6", is_over=True)
    found = applied(ROLLOUTS, rollout(stable="a", current="b"), over)
    assert found["spec"]["strategy"]["canary"]["steps"] == [{"setWeight": 100}]
    assert MARK not in found["metadata"].get("annotations", {})
    assert patch(ROLLOUTS, found, over) is None
    found["status"]["stableRS"] = "b"
    found = applied(ROLLOUTS, found, over)
    assert challenger_weight(ROLLOUTS, found) == 0
    found["spec"]["strategy"]["canary"]["steps"] = []
    assert patch(ROLLOUTS, found, over) is None


def test_a_rollout_without_steps_gives_all_to_a_canary() -> None:
    """So its weight is 100: such a release must not begin."""
    found = rollout()
    del found["spec"]["strategy"]["canary"]["steps"]
    assert challenger_weight(ROLLOUTS, found) == 100


@pytest.mark.parametrize(
    ("mesh", "found", "said"),
    [
        (GATEWAY, {"spec": {"rules": []}}, "expected a rule 0 with two backends, found 0 rules"),
        (GATEWAY, {}, "found 0 rules"),
        (GATEWAY, route("one", "three"), r"found \['one', 'three'\]"),
        (GATEWAY, route("one", "two", more=["three"]), "and no other"),
        (GATEWAY, route("one", "one", more=["two"]), "and no other"),
        (ROLLOUTS, {"spec": {"strategy": {"blueGreen": {}}}}, "expected the strategy canary"),
    ],
)
def test_an_object_of_another_form_is_refused(mesh: Mesh, found: dict[str, Any], said: str) -> None:
    """The error names the object, what was expected and what was found."""
    with pytest.raises(ReleaseError, match=said):
        patch(mesh, found, Wanted(5, "credit.1.2"))
    with pytest.raises(ReleaseError, match=f"{mesh.namespace}/{mesh.name}"):
        challenger_weight(mesh, found)


@pytest.mark.parametrize("share", [-1, 101])
def test_a_share_has_bounds(share: int) -> None:
    """Percent."""
    with pytest.raises(ValueError, match="0 to 100"):
        Wanted(share, "credit.1.2")


def test_the_path_is_that_of_the_definition() -> None:
    """Group, version and plural."""
    for mesh, file in ((GATEWAY, "httproutes"), (ROLLOUTS, "rollouts")):
        definition = _definition(file)
        names = {version["name"] for version in definition["versions"] if version["served"]}
        _, apis, group, version, spaces, space, plural, name = path(mesh).split("/")
        assert (apis, spaces, space, name) == ("apis", "namespaces", mesh.namespace, mesh.name)
        assert (group, plural) == (definition["group"], definition["names"]["plural"])
        assert version in names


@pytest.mark.parametrize("share", [0, 5, 50, 100])
@pytest.mark.parametrize("is_over", [False, True])
@pytest.mark.parametrize(
    ("mesh", "found", "file"), [(GATEWAY, route("one", "two"), "httproutes"), (ROLLOUTS, rollout(), "rollouts")]
)
def test_a_patched_object_is_valid(mesh: Mesh, found: dict[str, Any], file: str, share: int, is_over: bool) -> None:
    """By the published definition, in the version that is asked for."""
    definition = _definition(file)
    version = path(mesh).split("/")[3]
    schema = next(one for one in definition["versions"] if one["name"] == version)["schema"]["openAPIV3Schema"]
    check = Draft202012Validator(schema)
    assert not list(check.iter_errors(found))
    assert not list(check.iter_errors(applied(mesh, found, Wanted(share, "credit.1.2", is_over=is_over))))
    wrong = applied(mesh, found, Wanted(share, "credit.1.2"))
    text = patched(wrong, MERGE_PATCH, {"spec": _with_text(wrong["spec"])})
    assert list(check.iter_errors(text)), "the definition must find a weight that is no number"


def _with_text(spec: Any) -> Any:
    """Return a copy in which each weight is text."""
    if isinstance(spec, dict):
        return {
            name: str(value) if name in {"weight", "setWeight"} else _with_text(value) for name, value in spec.items()
        }
    return [_with_text(one) for one in spec] if isinstance(spec, list) else spec


def _definition(file: str) -> dict[str, Any]:
    place = PUBLISHED / f"{file}.crd.yaml"
    if not place.is_file():
        pytest.skip(f"{place} is not there; PERENNIAL_TEST_CONTRACTS names the folder of published definitions")
    loader = YAML(typ="safe", pure=False)
    definition: dict[str, Any] = loader.load(place)["spec"]
    return definition


def test_a_patch_has_its_type() -> None:
    """Kubernetes knows a patch by its content type."""
    change = patch(GATEWAY, route("one", "two"), Wanted(5, "credit.1.2"))
    assert isinstance(change, Patch)
    assert isinstance(change.document, list)

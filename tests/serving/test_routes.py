from __future__ import annotations

import doctest

import pytest

import serving.routes
from serving.routes import ACCESS, EXEMPT, PREDICTIONS, ROUTES, WITH_BODY, WITHOUT_KEY, Route, route_of, version_of


def test_the_examples_hold() -> None:
    """The documented examples run."""
    assert doctest.testmod(serving.routes).failed == 0


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_a_path_leads_to_its_route(route: Route) -> None:
    """Each template, filled in, is found with its model; a longer path is another one."""
    path = route.path.format(model="credit", version=3)
    assert route_of(path) == (route.name, "credit" if "{model}" in route.path else "")
    assert version_of(path) == ("3" if "{version}" in route.path else "")
    assert route_of(f"{path}/more/still")[0] == "other"


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("", ""),
        ("/v1/models/", ""),
        ("/v1/models//predict", ""),
        ("/v1/models/credit/", ""),
        ("/v1/models/credit/nothing", "credit"),
        ("/v1/hooks/credit", ""),
        ("/v1/hooks/credit/predict", ""),
        ("/v1/models/credit/retrain", "credit"),
        ("/v1/models/{model}/predict/", ""),
        ("/v2/hooks/credit/retrain", ""),
        ("/v2/models/credit/predict", "credit"),
        ("/v2/models/credit/versions", "credit"),
        ("/v2/models/credit/versions/3/retrain", "credit"),
        ("/v2/models/credit/versions/3/", ""),
        ("/v2/models/credit/versions//infer", ""),
    ],
)
def test_every_other_path_is_no_route(path: str, model: str) -> None:
    """A path that is not in the table needs a key like any other."""
    assert route_of(path) == ("other", model)
    assert ACCESS["other"] == "predict"


def test_access_is_decided_for_every_route() -> None:
    """Health is public, a delivery is signed, everything else needs a scope; what is posted is read within bounds."""
    assert set(ACCESS) == {route.name for route in ROUTES} | {"other"}
    public = {"health_live", "health_ready", "v2_live", "v2_ready"}
    assert {name for name, scope in ACCESS.items() if scope is None} == public
    assert {name for name, scope in ACCESS.items() if scope == "signature"} == {"hook"}
    health = {"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"}
    assert {*health, "/v1/hooks/{model}/retrain"} == WITHOUT_KEY
    assert {"predict", "infer", "labels", "hook"} == WITH_BODY
    assert {"predict", "infer"} == PREDICTIONS
    assert {*public, "metrics"} == EXEMPT
    assert len({route.path for route in ROUTES}) == len(ROUTES)

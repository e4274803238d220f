"""Which failures of a flow Prefect retries, on a real server."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

import pytest
from ruamel.yaml import YAML

from core.errors import BundleError, SchemaError, SourceError, StorageError
from tasks.runs.retries import unless_definite
from tests.prefect_server import ROOT


def _definite() -> None:
    raise BundleError("not what was registered")


@pytest.mark.e2e
@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize(
    ("error", "starts"),
    [
        (BundleError("not what was registered"), 1),
        (SchemaError("other columns"), 1),
        (SourceError("the network is away"), 2),
        (StorageError("the disk is full"), 2),
        (KeyError("unexpected"), 2),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, Exception) else str(given),
)
def test_only_what_may_pass_is_retried(error: Exception, starts: int) -> None:
    """A definite error ends run and subflow at once, and is what the run ends with."""
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.context import FlowRunContext

    ran: list[str] = []
    runs = []

    @flow(retries=1, retry_delay_seconds=0)
    @unless_definite
    def inner() -> None:
        ran.append("inner")
        raise error

    @flow(retries=1, retry_delay_seconds=0)
    @unless_definite
    def outer() -> None:
        ran.append("outer")
        context = FlowRunContext.get()
        assert context is not None
        assert context.flow_run is not None
        runs.append(context.flow_run.id)
        inner()

    with pytest.raises(type(error), match=str(error.args[0])):
        outer()
    assert ran.count("outer") == starts
    assert ran.count("inner") == starts**2
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(runs[-1]).state
    assert state is not None
    assert (state.name, type(error).__name__ in str(state.message)) == ("Failed", True)


def test_outside_a_run_the_error_is_raised_as_it_is() -> None:
    """Neither a server nor Prefect's context is needed."""
    wrapped: Callable[[], None] = unless_definite(_definite)
    with pytest.raises(BundleError, match="not what was registered"):
        wrapped()
    assert wrapped.__name__ == "_definite"


def test_the_parameters_keep_their_types() -> None:
    """Prefect validates them by the names of the flow's own module, not of the one that wraps it."""
    from prefect import flow
    from prefect.exceptions import ParameterTypeError

    @flow
    @unless_definite
    def chosen(source: Literal["log", "files"] = "files") -> None:
        assert source

    assert chosen.validate_parameters({"source": "log"}) == {"source": "log"}
    with pytest.raises(ParameterTypeError, match="'log' or 'files'"):
        chosen.validate_parameters({"source": "elsewhere"})


def test_every_flow_that_prefect_retries_gives_up_after_a_definite_error() -> None:
    """A flow whose deployment has retries is wrapped; the others are not."""
    deployments = YAML(typ="safe").load((ROOT / "prefect.yaml").read_text())["deployments"]
    variables = {one["entrypoint"]: one["work_pool"]["job_variables"]["env"] for one in deployments}
    wrapped = {place: hasattr(_flow(place).fn, "__wrapped__") for place in variables}
    assert wrapped == {place: "PREFECT_FLOWS_DEFAULT_RETRIES" in env for place, env in variables.items()}
    assert sum(wrapped.values()) >= 4


def _flow(entrypoint: str) -> Any:
    path, _, name = entrypoint.partition(":")
    return getattr(import_module(path.removesuffix(".py").replace("/", ".")), name)

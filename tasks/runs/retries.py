"""Keep Prefect from retrying a flow run that would fail in the same way again."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from core.operate.relay import is_definite

_log = logging.getLogger("perennial.retries")

P = ParamSpec("P")
R = TypeVar("R")


def unless_definite(function: Callable[P, R]) -> Callable[P, R]:
    """Let a flow's retries apply to failures that may pass; a definite error ends the run at once.

    Prefect has retries per run and no condition for them (3.8.8), so the run gives its own up before it fails.

    Parameters
    ----------
    function
        Of the flow, beneath ``@flow``.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if is_definite(error):
                _give_up_retries()
            raise

    # Prefect reads the types of the parameters where the outermost function was written, which is here.
    run.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    return run


def _give_up_retries() -> None:
    from httpx import HTTPError
    from prefect.client.orchestration import get_client
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or not run.empirical_policy.retries:
        return
    policy = run.empirical_policy.model_copy(update={"retries": 0})
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run.id, empirical_policy=policy)
    except HTTPError as error:
        # The run's own error is what is to be told; a retry is harmless.
        _log.warning("Prefect retries this run once more, because it could not be told otherwise: %s", error)
        return
    run.empirical_policy = policy

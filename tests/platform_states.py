"""States of platforms for tests that start none."""

from __future__ import annotations

from typing import Any

from config.platform import PlatformState


def platform_state(**changes: Any) -> PlatformState:
    """Return the state of a platform that does not run."""
    given = {
        "id": "0" * 32,
        "socket": "/tmp/s",  # noqa: S108 - never made
        "pool": "perennial",
        "runs_at_once": 2,
        "serving_port": 3,
        "prefect_port": 1,
        "mlflow_port": 2,
        "prefect_api_url": "http://127.0.0.1:1/api",
        "mlflow_uri": "http://127.0.0.1:2",
        "mlflow_store": "postgresql://ada:secret@db/x",
        "database_url": "postgresql://ada:secret@db/x",
    }
    return PlatformState.model_validate({**given, **changes})

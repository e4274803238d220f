"""MLflow's server in one process, with the database that commands use when no server runs."""

from __future__ import annotations

import os

from config.platform import PlatformState, last_platform
from config.settings import Settings, load_settings
from core.errors import ConfigError
from tasks.registry.client import artifact_root, import_mlflow, mlflow_client


def serve(settings: Settings, state: PlatformState) -> None:
    """Serve until SIGTERM.

    ``mlflow server`` would start the same application in a second process, which keeps the port if the first one is
    killed; and both processes would import MLflow.
    """
    assert state.mlflow_port is not None  # noqa: S101 - it is only started where it has one
    import uvicorn

    # MLflow's jobs execute code for any client; Perennial does not use them.
    os.environ |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    behind = settings.model_copy(update={"mlflow_uri": state.mlflow_store})
    import_mlflow()
    mlflow_client(behind)  # creates the database if there is none
    os.environ |= _worker_environment(behind)
    uvicorn.run("mlflow.server.fastapi_app:app", host="127.0.0.1", port=state.mlflow_port, log_level="warning")


def _worker_environment(behind: Settings) -> dict[str, str]:
    """Return the environment variables that ``mlflow server`` sets for its workers."""
    from mlflow.server import constants

    return {
        constants.BACKEND_STORE_URI_ENV_VAR: behind.mlflow_uri,
        constants.REGISTRY_STORE_URI_ENV_VAR: behind.mlflow_uri,
        # Clients on this machine read and write artifacts directly, in the folder used without a server.
        constants.ARTIFACT_ROOT_ENV_VAR: str(artifact_root(behind)),
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
    }


if __name__ == "__main__":
    found = load_settings()
    platform = last_platform(found.var)
    if platform is None:
        raise ConfigError(f"no platform was started in {found.var}; start it with: perennial up")
    serve(found, platform)

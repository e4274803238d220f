"""The state file of a platform that runs on this machine: ``var/platform.json``."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.home import owner_name, user_name
from core.errors import StorageError


class PlatformState(BaseModel):
    """A platform that ``perennial up`` started.

    Only its owner can read the file: the address of a PostgreSQL database may hold a password, which commands in other
    terminals need as well as the platform's own processes.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(description="identifies the platform; in the environment of each of its processes")
    pid: int = Field(default=0, description="supervising process; 0 before it exists")
    created: float = Field(default=0.0, description="start time of that process, seconds since the epoch")
    ready: bool = Field(default=False, description="all processes have been healthy, and none is being stopped")
    socket: str = Field(description="Unix socket for commands to that process")
    pool: str = Field(description="work pool of the worker")
    runs_at_once: int = Field(description="most flow runs of the worker at a time")
    serving_port: int
    prefect_port: int | None = Field(default=None, description="None where Prefect runs elsewhere")
    mlflow_port: int | None = Field(default=None, description="None where MLflow runs elsewhere")
    prefect_api_url: str
    mlflow_uri: str
    mlflow_store: str = Field(description="database behind the MLflow server")
    database_url: str = Field(description="operational database")
    prefect_search_path: str = Field(default="", description="PostgreSQL: search path of Prefect's server")


def platform_file(var: Path) -> Path:
    """Return the path of the state file."""
    return var / "platform.json"


def service_beat(var: Path, port: int) -> Path:
    """Return the file that the service's supervisor touches every second: its workers answer also when it hangs."""
    return var / "serving" / str(port) / "beat"


def read_platform(var: Path) -> PlatformState | None:
    """Return the platform that runs on this machine for a project; None where there is none, or it was killed."""
    state = last_platform(var)
    return state if state is not None and _lives(state) else None


def last_platform(var: Path) -> PlatformState | None:
    """Return the content of the state file, whether or not that platform still runs.

    Raises
    ------
    StorageError
        The file may exist, but only another user can read it.
    """
    path = platform_file(var)
    try:
        return PlatformState.model_validate_json(path.read_bytes())
    except PermissionError as error:
        raise StorageError(_reserved(var, path)) from error
    except (OSError, ValidationError):
        return None


def _reserved(var: Path, path: Path) -> str:
    if not os.access(var, os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return (
            f"expected that {user_name()} can read {var}, found that it is reserved for {owner_name(var)}. Run as that "
            "user, set PERENNIAL_VAR to another folder, or share it: its owner sets PERENNIAL_GROUP"
        )
    return (
        f"expected that {user_name()} can read {path}, found that it is reserved for {owner_name(path)}. Run as "
        "that user, or end that user's platform (perennial down) and share the folder with the group"
    )


def write_platform(var: Path, state: PlatformState) -> None:
    """Write the state file atomically."""
    path = platform_file(var)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(state.model_dump_json(indent=1))
    temporary.replace(path)


def forget_platform(var: Path, state: PlatformState) -> None:
    """Remove the state file, unless another platform has written its own meanwhile."""
    found = last_platform(var)
    if found is not None and found.id == state.id:
        with contextlib.suppress(FileNotFoundError):
            platform_file(var).unlink()


def _lives(state: PlatformState) -> bool:
    import psutil

    try:
        # The process id alone may have been reused by another process.
        process = psutil.Process(state.pid)
        return abs(process.create_time() - state.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False

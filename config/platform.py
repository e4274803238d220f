"""The file that says that the platform runs on this machine, and where: ``var/platform.json``."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class PlatformState(BaseModel):
    """A platform that ``perennial up`` started.

    The file is readable for its owner alone: the address of a PostgreSQL database may hold a password, and commands in
    other terminals need it as much as the platform's own processes do.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(description="stands in the environment of every process of the platform")
    pid: int = Field(default=0, description="process that looks after the others; 0 before there is one")
    created: float = Field(default=0.0, description="when that process was made, seconds of the epoch")
    ready: bool = Field(default=False, description="everything was healthy once, and nothing is being stopped")
    socket: str = Field(description="where that process takes orders")
    pool: str = Field(description="work pool of the worker")
    runs_at_once: int = Field(description="flow runs the worker has in work at most")
    serving_port: int
    prefect_port: int | None = Field(default=None, description="None where Prefect runs elsewhere")
    mlflow_port: int | None = Field(default=None, description="None where MLflow runs elsewhere")
    prefect_api_url: str
    mlflow_uri: str
    mlflow_store: str = Field(description="database behind the MLflow server")
    database_url: str = Field(description="operational database")
    prefect_search_path: str = Field(default="", description="PostgreSQL: schemas that Prefect's server looks into")


def platform_file(var: Path) -> Path:
    """Return the path of the state file."""
    return var / "platform.json"


def read_platform(var: Path) -> PlatformState | None:
    """Return the platform that runs on this machine for a project; None where there is none, or it was killed."""
    state = last_platform(var)
    return state if state is not None and _lives(state) else None


def last_platform(var: Path) -> PlatformState | None:
    """Return what the file says, whether or not that platform still runs."""
    try:
        return PlatformState.model_validate_json(platform_file(var).read_bytes())
    except (OSError, ValidationError):
        return None


def write_platform(var: Path, state: PlatformState) -> None:
    """Write the state file, in one step."""
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
        # A number alone may have gone to another process since.
        process = psutil.Process(state.pid)
        return abs(process.create_time() - state.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False

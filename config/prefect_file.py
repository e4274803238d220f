"""The shape of ``prefect.yaml``, stricter than Prefect's own.

Prefect passes over keys it does not know. ``expects`` in place of ``expect`` then leaves a trigger that waits for
nothing, which fires on every event there is. Here an unknown key is an error that names its line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from config.schema import Cron, Section
from core.errors import ConfigError

MAX_BYTES = 1_000_000


def _one_step(step: dict[str, Any]) -> dict[str, Any]:
    if len(step) != 1:
        raise ValueError(f"expected one step, found the keys {', '.join(map(str, step)) or '(none)'}")
    return step


Step = Annotated[dict[str, dict[str, Any]], AfterValidator(_one_step)]
Steps = tuple[Step, ...]
Entrypoint = Annotated[str, Field(pattern=r"^[\w./-]+\.py:[A-Za-z_]\w*$")]
EventName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*(\.\*)?$")]


class ConcurrencyLimit(Section):
    """How many runs of a deployment there are at a time, and what becomes of one more."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]
    grace_period_seconds: int | None = Field(default=None, ge=60, le=86_400, description="for a run to begin")


class WorkPool(Section):
    """Where runs of a deployment go, and what their processes are given."""

    name: str = Field(min_length=1)
    work_queue_name: str | None = None
    job_variables: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _environment_is_text(self) -> Self:
        strange = {name: value for name, value in self.job_variables.get("env", {}).items() if type(value) is not str}
        if strange:
            raise ValueError(f"job_variables.env: values of an environment are text, put quotes around {strange}")
        return self


class CronSchedule(Section):
    """When a deployment runs by itself."""

    slug: str = Field(min_length=1, description="names the schedule, so that a changed one stays the same one")
    cron: Cron
    timezone: str = "UTC"
    parameters: dict[str, Any] = Field(default_factory=dict)


class EventTrigger(Section):
    """Events on which a deployment runs."""

    name: str = Field(min_length=1, description="of the automation")
    description: str = ""
    expect: tuple[EventName, ...] = Field(min_length=1)
    match: dict[str, Any] = Field(min_length=1, description="labels of the event's resource")
    match_related: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)


class Deployment(Section):
    """One flow with parameters, a place to run and reasons to run."""

    name: str = Field(min_length=1)
    version: str | None = None
    description: str = ""
    entrypoint: Entrypoint
    parameters: dict[str, Any] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    concurrency_limit: ConcurrencyLimit
    work_pool: WorkPool
    schedules: tuple[CronSchedule, ...] = ()
    triggers: tuple[EventTrigger, ...] = ()
    pull: Steps | None = None

    @property
    def flow(self) -> str:
        """Name of the flow, which is that of its function."""
        return self.entrypoint.partition(":")[2]

    @property
    def full_name(self) -> str:
        """Name of the deployment on the server: ``flow/name``."""
        return f"{self.flow}/{self.name}"


class PrefectFile(Section):
    """The whole content of ``prefect.yaml``."""

    model_config = ConfigDict(populate_by_name=True)

    prefect_version: str = Field(alias="prefect-version")
    name: str
    definitions: dict[str, Any] = Field(default_factory=dict, description="anchors; nothing reads them here")
    pull: Steps = ()
    deployments: tuple[Deployment, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [deployment.full_name for deployment in self.deployments]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"deployments described twice: {', '.join(twice)}")
        return self

    def to_document(self) -> dict[str, Any]:
        """Content for YAML, as Prefect reads it."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"definitions"})


def load_prefect_file(path: Path) -> PrefectFile:
    """Read and check a ``prefect.yaml``.

    Raises
    ------
    ConfigError
        There is none, it is not YAML, or it holds an unknown key or a value out of bounds; the message names the lines.
    """
    try:
        text = path.read_bytes()[: MAX_BYTES + 1].decode("utf-8")
        content = YAML(typ="safe", pure=True).load(text)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no {path}; take the one of Perennial's repository") from error
    except (MarkedYAMLError, YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES:,} bytes")
    try:
        return PrefectFile.model_validate(content)
    except ValidationError as error:
        raise ConfigError(_described(error, path, text)) from error


def _described(error: ValidationError, path: Path, text: str) -> str:
    lines = YAML(typ="rt", pure=True).load(text)
    problems = [f"{path} is not valid:"]
    for item in error.errors(include_url=False):
        message = "unknown key" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
        problems.append(f"  line {_line(lines, item['loc'])}, {_place(item['loc'])}: {message}")
    return "\n".join(problems)


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc) or "the file"


def _line(node: Any, loc: tuple[int | str, ...]) -> int:
    """Line of the deepest part of a place that the file has: a missing key has none of its own."""
    line = 1
    for part in loc:
        known = part in node if isinstance(node, dict) else isinstance(node, list) and isinstance(part, int)
        if not known:
            break
        # Keys that a merge (<<) brought stand elsewhere: then the line of what they were merged into is told.
        line = node.lc.data[part][0] + 1 if part in node.lc.data else line
        node = node[part]
    return line

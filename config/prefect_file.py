"""The shape of ``prefect.yaml``, stricter than Prefect's own.

Prefect ignores unknown keys. With ``expects`` instead of ``expect``, a trigger has no condition and fires on every
event. Here an unknown key is an error that names its line.
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
    """How many runs of a deployment may be active at a time, and what happens to further ones."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]
    grace_period_seconds: int | None = Field(default=None, ge=60, le=86_400, description="time for a run to begin")


class WorkPool(Section):
    """The work pool that takes a deployment's runs, and the variables of their processes."""

    name: str = Field(min_length=1)
    work_queue_name: str | None = None
    job_variables: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _environment_is_text(self) -> Self:
        strange = {name: value for name, value in self.job_variables.get("env", {}).items() if type(value) is not str}
        if strange:
            raise ValueError(
                f"job_variables.env: values of environment variables are text; put quotes around {strange}"
            )
        return self


class CronSchedule(Section):
    """A schedule of a deployment."""

    slug: str = Field(min_length=1, description="identifies the schedule when its times change")
    cron: Cron
    timezone: str = "UTC"
    parameters: dict[str, Any] = Field(default_factory=dict)


class EventTrigger(Section):
    """Events that start a run of a deployment."""

    name: str = Field(min_length=1, description="of the automation")
    description: str = ""
    expect: tuple[EventName, ...] = Field(min_length=1)
    match: dict[str, Any] = Field(min_length=1, description="labels of the event's resource")
    match_related: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)


class Deployment(Section):
    """A flow with its parameters, work pool, schedules and triggers."""

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
        """Name of the flow, equal to the name of its function."""
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
    definitions: dict[str, Any] = Field(default_factory=dict, description="YAML anchors; not read otherwise")
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
        """Content in Prefect's format, for YAML."""
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
        raise ConfigError(f"there is no {path}; copy the one from Perennial's repository") from error
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
    """Line of the deepest existing part of a location: a missing key has no line of its own."""
    line = 1
    for part in loc:
        known = part in node if isinstance(node, dict) else isinstance(node, list) and isinstance(part, int)
        if not known:
            break
        # Keys from a merge (<<) stand elsewhere in the file: use the line of the mapping they were merged into.
        line = node.lc.data[part][0] + 1 if part in node.lc.data else line
        node = node[part]
    return line

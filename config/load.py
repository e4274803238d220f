"""Read model files: safe YAML with a size cap, dotted overrides, errors that name the line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from config.schema import PATTERNS, ModelConfig, Section
from config.similar_names import closest_text
from core.errors import ConfigError

MAX_BYTES = 1_000_000


def model_path(root: Path, model: str) -> Path:
    """Path of a model's file."""
    return root / "config" / "models" / f"{model}.yaml"


def schema_path(root: Path) -> Path:
    """Path of the JSON schema by which editors complete and check model files."""
    return root / "config" / "model.schema.json"


def model_names(root: Path) -> list[str]:
    """Names of the models described in the project, sorted."""
    return sorted(path.stem for path in (root / "config" / "models").glob("*.yaml"))


def existing_model_path(root: Path, model: str) -> Path:
    """Path of a model's file that exists.

    Raises
    ------
    ConfigError
        There is none; the message lists the models there are.
    """
    path = model_path(root, model)
    if not path.is_file():
        names = model_names(root)
        close = closest_text(model, names)
        raise ConfigError(
            f"no model file {path}; models here: {', '.join(names) or 'none yet'}{f' ({close})' if close else ''}. "
            "Create one with 'perennial init --data FILE --target COLUMN'"
        )
    return path


def load_model_config(root: Path, model: str, overrides: Mapping[str, str] | None = None) -> ModelConfig:
    """Load ``config/models/<model>.yaml`` and apply overrides.

    Parameters
    ----------
    root
        Folder of the project.
    model
        Name of the model.
    overrides
        ``{"training.params.max_iter": "300"}``: dotted paths and values written as YAML.

    Raises
    ------
    ConfigError
        No such file, not YAML, an unknown key or a value out of bounds.
    """
    path = existing_model_path(root, model)
    content = _parse(_read(path), str(path))
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping, found {type(content).__name__}")
    for dotted, text in (overrides or {}).items():
        _set(content, dotted, _parse(text, f"--set {dotted}"))
    try:
        config = ModelConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(_describe(error, path, overridden=bool(overrides))) from error
    if config.model != model:
        raise ConfigError(f"{path}: 'model' is {config.model!r}, expected the name of the file, {model!r}")
    return config


def config_hash(config: ModelConfig) -> str:
    """Hash of everything in a model file that a model or a file of its bundle depends on (64 hex digits).

    Left out are the source and its validation (the data version stands for the rows that landed), and what follows a
    training: release, drift, monitoring, retraining, schedule, and the rules of the gate. Of the gate only the metric
    counts: models are searched, cross-validated and evaluated by it.
    """
    content = _dump(config)
    content["gate"] = {"metric": config.gate.metric}
    return _hash(content)


def rules_hash(config: ModelConfig) -> str:
    """Hash of everything in a model file that a verdict of the gate depends on (64 hex digits).

    That is what :func:`config_hash` covers (the holdout is cut and the slices are chosen by it) and the whole section
    ``gate``: a verdict by another hash was made by other rules.
    """
    return _hash(_dump(config))


def _dump(config: ModelConfig) -> dict[str, Any]:
    later = {"release", "drift", "monitor", "labels", "retrain", "schedule"}
    return config.model_dump(mode="json", exclude={"source", "validation", *later})


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES:,} bytes, the limit for a model file")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error


def _parse(text: str, where: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{where}{line}: not valid YAML: {error.problem}") from error
    except (YAMLError, ValueError) as error:
        raise ConfigError(f"{where}: not valid YAML: {error}") from error


def _set(content: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    node = content
    for name in parents:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise ConfigError(f"--set {dotted}: {name!r} is a value, not a section")
    node[last] = value


def _describe(error: ValidationError, path: Path, *, overridden: bool) -> str:
    problems = []
    for item in error.errors(include_url=False):
        # Checks of the file as a whole begin with the field that they are about.
        place = "".join(f"{part}." for part in item["loc"] if part != "[key]").removesuffix(".")
        message = _message(item)
        known = isinstance(item["input"], dict | Section) or "found" in message
        found = "" if known else f" (found {item['input']!r})"
        problems.append(f"  {place}{': ' if place else ''}{message}{found}")
    what = f"{path} is not valid with the values of --set:" if overridden else f"{path} is not a valid model file:"
    return "\n".join([what, *problems])


def _message(item: ErrorDetails) -> str:
    if item["type"] == "extra_forbidden":
        close = closest_text(str(item["loc"][-1]), _known_keys(Section))
        return f"unknown key ({close})" if close else "unknown key"
    if item["type"] == "string_pattern_mismatch":
        return f"expected {PATTERNS[item['ctx']['pattern']]}"
    return item["msg"].removeprefix("Value error, ")


def _known_keys(section: type[Section]) -> set[str]:
    """Return the keys of all sections of a model file."""
    own = section.model_fields.keys()
    return set(own).union(*(_known_keys(below) for below in section.__subclasses__()))

"""Which environment variables Perennial reads, and which of those that are set it does not know."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from config import settings
from config.similar_names import closest

PREFIX = "PERENNIAL_"

SET_BY_PERENNIAL = {
    "PERENNIAL_PLATFORM": "id of the platform, in each process that `perennial up` starts",
    "PERENNIAL_SERVER_STARTER": "process id and start time of the command that starts the local Prefect server",
    "PERENNIAL_MODEL": "model that `prefect.yaml` is filled in for, by `perennial deploy` and `prefect deploy`",
    "PROMETHEUS_MULTIPROC_DIR": "folder in which the workers of the prediction service share their metrics",
}
"""Variables that Perennial sets for its own processes only."""

_OF_KUBERNETES = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_\d+_(TCP|UDP|SCTP)(_.*)?)")
"""Variables that Kubernetes sets in each pod for a service that is named *perennial*."""


def settings_classes() -> list[type[BaseSettings]]:
    """Return every class of settings, in the order of definition."""
    return [one for one in vars(settings).values() if _is_ours(one)]


def _is_ours(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseSettings) and value.__module__ == settings.__name__


def variable_names(of: type[BaseSettings], field: str) -> list[str]:
    """Return the variables that a field of a class of settings is read from."""
    alias = of.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [f"{of.model_config.get('env_prefix', '')}{field}".upper()]


def known_variables() -> set[str]:
    """Return the names of all variables with Perennial's prefix that it reads or sets."""
    read = (name for of in settings_classes() for field in of.model_fields for name in variable_names(of, field))
    return {name for name in (*read, *SET_BY_PERENNIAL) if name.startswith(PREFIX)}


def unknown_variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield set variables that look like Perennial's and are not, each with the closest known name, or an empty text.

    Parameters
    ----------
    environment
        Variables that are set; no value is repeated.

    Examples
    --------
    >>> list(unknown_variables({"PERENIAL_SERVE_PORT": "8470", "PERENNIAL_VAR": "/srv"}))
    [('PERENIAL_SERVE_PORT', 'PERENNIAL_SERVE_PORT')]
    """
    known = known_variables()
    for name, value in sorted(environment.items()):
        if not looks_like_ours(name) or name.upper() in known or _is_of_kubernetes(name, value):
            continue
        yield name, _closest(name, known)


def looks_like_ours(name: str) -> bool:
    """Return whether a variable has Perennial's prefix, or one like it: ``PERENIAL_``, ``PERRENIAL_``."""
    prefix = name.upper().partition("_")[0] + "_"
    return prefix == PREFIX or (prefix.startswith("PER") and bool(closest(prefix, [PREFIX], cutoff=0.85)))


def _closest(name: str, known: Collection[str]) -> str:
    """Return the closest known name; the prefix, which all have, would make any two of them similar."""
    rests = {one.removeprefix(PREFIX): one for one in sorted(known)}
    found = closest(name.upper().partition("_")[2], rests, cutoff=0.8)
    return rests[found[0]] if found else ""


def _is_of_kubernetes(name: str, value: str) -> bool:
    return _OF_KUBERNETES.fullmatch(name) is not None or (name.endswith("_PORT") and value.startswith("tcp://"))

"""Findings of ``perennial doctor``, and which versions of libraries are compatible."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

Level = Literal["ok", "warning", "problem"]

MAX_SKEW_SECONDS = 300.0
"""Webhooks with a timestamp further from the clock than this, in either direction, are refused."""

WARN_SKEW_SECONDS = 30.0


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Parameters
    ----------
    check
        What was checked.
    level
        ``ok``, ``warning`` (it works now, but not permanently or not completely) or ``problem``.
    says
        One sentence.
    advice
        What to do; empty where there is nothing to do.
    """

    check: str
    level: Level
    says: str
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return asdict(self)


BOUNDS = {
    "prefect": ("==3.8.8", "flows, deployments and automations are tested with this one"),
    "fastapi": (">=0.139,<0.151", "Prefect's server does not answer with 0.155 and later"),
    "sqlalchemy": (">=2.0.40,<2.1", "Prefect's scheduler makes no runs with 2.1"),
    "mlflow": ("==3.17.2", "the registry is tested with this one"),
    "pandas": (">=3.0,<3.1", "Evidently does not import with 3.1"),
    "scikit-learn": ("==1.9.1", "stored models are read by the version that wrote them"),
    "dvc": ("==3.67.1", "data versions are tested with this one"),
}
"""Version bounds, and what breaks outside them."""


def pinned_versions(lock: str) -> dict[str, str]:
    r"""Return the versions that a lock file pins for this interpreter, by name.

    Examples
    --------
    >>> text = "alembic==1.16.2 \\\n    --hash=sha256:00\n# via\nUvicorn[standard]==0.35.0 ; python_version < '3'\n"
    >>> pinned_versions(text)
    {'alembic': '1.16.2'}
    """
    found: dict[str, str] = {}
    for line in lock.splitlines():
        if not line or line[0] in " #-":
            continue
        requirement = Requirement(line.rstrip("\\ "))
        if requirement.marker is None or requirement.marker.evaluate():
            found |= {plain_name(requirement.name): pin.version for pin in requirement.specifier}
    return found


def plain_name(name: str) -> str:
    """Return the normalised name of a distribution, for comparison.

    >>> plain_name("Great_Expectations")
    'great-expectations'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def broken_bounds(installed: Mapping[str, str]) -> list[str]:
    """Return which installed versions are known not to work, and why.

    >>> broken_bounds({"fastapi": "0.155.0", "prefect": "3.8.8"})
    ["fastapi 0.155.0 (Prefect's server does not answer with 0.155 and later)"]
    """
    return [
        f"{name} {installed[name]} ({why})"
        for name, (bound, why) in BOUNDS.items()
        if name in installed and not SpecifierSet(bound).contains(installed[name], prereleases=True)
    ]


def differing_pins(installed: Mapping[str, str], pinned: Mapping[str, str]) -> list[str]:
    """Return which installed versions differ from the pinned ones. Packages that are not installed are ignored.

    >>> differing_pins({"click": "8.4.0"}, {"click": "8.3.1", "colorama": "0.4.6"})
    ['click 8.4.0 instead of 8.3.1']
    """
    return [
        f"{name} {installed[name]} instead of {version}"
        for name, version in pinned.items()
        if name in installed and installed[name] != version
    ]


def clock_finding(here: datetime, there: datetime, whose: str) -> Finding:
    """Judge the difference of two clocks.

    Parameters
    ----------
    here, there
        Aware moments read from this machine's clock and from the other clock at the same time.
    whose
        Name of the other clock, for the sentence.
    """
    skew = (here - there).total_seconds()
    if abs(skew) < WARN_SKEW_SECONDS:
        return Finding("clock", "ok", f"it agrees with {whose} within {max(1.0, abs(skew)):.0f} s")
    says = f"it is {abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} {whose}"
    level: Level = "problem" if abs(skew) >= MAX_SKEW_SECONDS else "warning"
    return Finding(
        "clock", level, says, "let NTP set it (timedatectl set-ntp true); webhooks are refused from 300 s on"
    )

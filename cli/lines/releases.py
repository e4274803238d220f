"""Releases, formatted for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cli.output import section, table, utc_text

if TYPE_CHECKING:
    from core.release.outcome import ReleaseOutcome


def release_lines(found: Mapping[str, Any]) -> list[str]:
    """Report a release: its state, both variants side by side, what it waits for, and its steps."""
    model = found["model"]
    if found["release"] is None:
        return [f"{model} had no release yet; a version that passes the gate starts one: perennial train {model}"]
    look = found["look"]
    return [
        _headline(found),
        *([f"  {reason}" for reason in look["reasons"]] if look else ["  no look yet"] if found["running"] else []),
        *[f"  {trip['kind']} in {trip['instance']}: {trip['reason']}" for trip in found["trips"]],
        *section(_variants(found, look)),
        *section(_checks(look["checks"]) if look else []),
        *section(
            table(
                ("when (UTC)", "stage", "share", "what", "actor", "reason"), [step_row(step) for step in found["steps"]]
            )
        ),
    ]


def look_lines(outcome: ReleaseOutcome) -> list[str]:
    """Report what one look did."""
    where = f": version {outcome.version}, {outcome.stage}, {outcome.share} %" if outcome.number else ""
    following = [f"  the release of version {outcome.next_version} begins"] if outcome.next_version else []
    return [
        f"{outcome.status.replace('_', ' ')}{where}",
        *[f"  {reason}" for reason in outcome.reasons],
        *following,
        *section(_checks(outcome.checks)),
    ]


def _headline(found: Mapping[str, Any]) -> str:
    name = f"release {found['release']} of {found['model']}: version {found['version']}"
    if not found["running"]:
        return f"{name} is over: {found['steps'][-1]['action'].replace('_', ' ')}"
    paused = ", paused" if found["paused"] else ""
    against = f"the previous champion, version {found['champion']}, stays loaded" if found["stage"] == "bake" else ""
    beside = against or f"the champion is version {found['champion']}"
    return f"{name}, {found['stage']}, {found['share']} % since {_utc(found['since'])} UTC{paused}; {beside}"


def _variants(found: Mapping[str, Any], look: Mapping[str, Any] | None) -> list[str]:
    if look is None:
        return []
    sides = (("champion", found["champion"], look["champion"]), ("challenger", found["version"], look["challenger"]))
    rows = [(who, str(version), *_figures(side)) for who, version, side in sides]
    return table(("", "version", "requests", "failed", "p50", "p99", "labelled"), rows)


def _figures(side: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (f"{side['requests']:,}", f"{side['failures']:,}")
    return (*counts, _ms(side["p50"]), _ms(side["p99"]), f"{side['labels']:,}")


def _checks(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [(one["name"].replace("_", " "), one["state"], one["sentence"]) for one in checks]
    return table(("guardrail", "state", ""), rows)


def step_row(step: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a change of a release's state: time, stage, share, what was done, actor, reason."""
    what = step["action"].replace("_", " ")
    return (_utc(step["at"]), step["stage"], f"{step['share']} %", what, step["actor"], step["reason"])


def _utc(text: str) -> str:
    return utc_text(datetime.fromisoformat(text))


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms"

"""Merge a newly inferred suite with the suite in the project: what was inferred is replaced, what a person wrote stays.

An inferred expectation carries ``meta.inferred``: the rule that inferred it, and a digest of what it does. An
expectation without that key, or with another digest, is a person's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.init.suite import RANGE_SLACK, TARGET_SLACK, Expectation, content_digest, plain_arguments, range_bounds

_NUMBER = r"(-?[\d.,]+(?:e[+-]?\d+)?|-?inf|nan)"
UNMARKED = (
    ("rows", "schema", re.compile("an empty batch indicates a broken export")),
    ("columns", "schema", re.compile("exactly the columns that the model file declares")),
    ("key", "row", re.compile("a row without its key cannot be joined to a label")),
    ("unique", "row", re.compile("each key occurred in one row of the first data")),
    ("time", "row", re.compile("a row without its time cannot be ordered")),
    (
        "labelled",
        "warning",
        re.compile(r".* of the first rows had a label; a share below half of that may be an error"),
    ),
    ("labels", "row", re.compile("an unknown label is an error, or a new class that must be added to the suite")),
    ("range", "row", re.compile(rf"observed {_NUMBER} to {_NUMBER}, with ([\d.]+) % of that range as tolerance.*")),
    ("range", "warning", re.compile(rf"observed {_NUMBER} to {_NUMBER}, with ([\d.]+) % of that range as tolerance.*")),
    ("coding", "schema", re.compile(r"over .* of values not among the \d+ known levels means the coding changed")),
    ("levels", "warning", re.compile("the model treats a new level as unknown")),
    ("present", "schema", re.compile(r".* of the first rows had a value; with far fewer, the column was lost")),
    ("dates", "row", re.compile(r"observed [-\d]+ to [-\d]+; far outside is a default value or an error")),
)
"""Rules, levels and reasons of suites that were inferred before expectations carried ``meta.inferred``."""

SAME_SPAN, SAME_VALUE = 0.02, 1e-5
"""Differences, relative to the range and to the value, below which a bound counts as computed from its reason, which
has six digits."""

Origin = Literal["inferred", "changed", "written"]
"""Whether an expectation is as it was inferred, was changed by a person, or was written by a person."""


@dataclass(frozen=True)
class SuiteUpdate:
    """The merged suite, and what has changed.

    Parameters
    ----------
    content
        Content of the suite's file.
    added, removed, kept
        Expectations that are new (also with other arguments), that are gone, and that a person wrote or changed.
    """

    content: dict[str, Any]
    added: tuple[Expectation, ...]
    removed: tuple[Expectation, ...]
    kept: tuple[Expectation, ...]


def updated_suite(old: Mapping[str, Any], inferred: Mapping[str, Any]) -> SuiteUpdate:
    """Replace what was inferred in a suite, and keep what a person wrote or changed, with the suite's other keys.

    An inferred expectation that a person has changed stands in the place of the one that the same rule infers for the
    same column. What a person wrote follows, in its order; an inferred expectation with the same arguments is left out.
    A repeat changes nothing.

    Parameters
    ----------
    old
        Content of the suite's file.
    inferred
        Content that was inferred from the present rows by the present model file.
    """
    fresh = {(_mark(item)[0], _column(item)): item for item in inferred["expectations"]}
    origins = [(item, *_origin(item, fresh)) for item in old["expectations"]]
    changed: dict[tuple[str, str], list[Expectation]] = {}
    for item, origin, rule in origins:
        if origin == "changed":
            changed.setdefault((rule, _column(item)), []).append(item)
    written = [item for item, origin, _ in origins if origin == "written"]
    # A person's change stays also where the rule infers nothing any more.
    others = [item for place, items in changed.items() if place not in fresh for item in items]
    said = [(item["type"], plain_arguments(item)) for item in written]
    needed = {place: [new] for place, new in fresh.items() if (new["type"], plain_arguments(new)) not in said}
    in_place = [item for place in fresh for item in changed.get(place, needed.get(place, []))]
    merged = [*in_place, *others, *written]
    return SuiteUpdate(
        content={**inferred, **old, "expectations": merged},
        added=tuple(_without(merged, old["expectations"])),
        removed=tuple(_without(old["expectations"], merged)),
        kept=tuple(item for item, origin, _ in origins if origin != "inferred"),
    )


def _without(items: Iterable[Expectation], others: Iterable[Expectation]) -> list[Expectation]:
    """Return the items whose effect (not: whose reason or mark) is not among the others."""
    known = {content_digest(other) for other in others}
    return [item for item in items if content_digest(item) not in known]


def _column(item: Expectation) -> str:
    return str((item.get("kwargs") or {}).get("column", ""))


def _mark(item: Expectation) -> tuple[str, str]:
    """Return rule and digest of ``meta.inferred``; empty texts if there is none."""
    rule, _, digest = str((item.get("meta") or {}).get("inferred", "")).partition(" ")
    return rule, digest


def _origin(item: Expectation, fresh: Mapping[tuple[str, str], Expectation]) -> tuple[Origin, str]:
    """Return where an expectation comes from, and the rule that inferred it."""
    rule, digest = _mark(item)
    if rule == "columns" and _is_whole_set(item):
        return "inferred", rule
    if rule:
        return "inferred" if digest == content_digest(item) else "changed", rule
    rule, facts = _rule_of_reason(item)
    if not rule:
        return "written", ""
    return "inferred" if _is_as_inferred(rule, facts, item, fresh.get((rule, _column(item)))) else "changed", rule


def _is_whole_set(item: Expectation) -> bool:
    """Return whether it expects exactly some columns: then only the declared ones can be meant."""
    return item["meta"].get("level") == "schema" and (item.get("kwargs") or {}).get("exact_match", True) is True


def _rule_of_reason(item: Expectation) -> tuple[str, Sequence[str]]:
    """Return the rule that an unmarked expectation's reason belongs to, and the numbers in it; empty if to none."""
    meta = item.get("meta") or {}
    for rule, level, reason in UNMARKED:
        found = reason.fullmatch(str(meta.get("why") or ""))
        if found and meta.get("level") == level:
            return rule, found.groups()
    return "", ()


def _is_as_inferred(rule: str, facts: Sequence[str], item: Expectation, fresh: Expectation | None) -> bool:
    """Return whether an expectation without ``meta.inferred`` still does what its reason says.

    The reason of a range contains what its bounds were computed from. Sets and shares are compared with what is
    inferred now: a level that is not in the rows was added by a person.
    """
    given = item.get("kwargs") or {}
    if rule == "range":
        low, high, slack = (float(fact.replace(",", "")) for fact in facts)
        computed = range_bounds(low, high, RANGE_SLACK if slack == 100 * RANGE_SLACK else TARGET_SLACK)
        return all(_is_near(given.get(name), bound, high - low) for name, bound in computed.items())
    if fresh is None:
        return True
    now = fresh["kwargs"]
    if "value_set" in now:
        return set(map(str, given.get("value_set") or ())) <= set(now["value_set"])
    return rule not in {"present", "labelled"} or _is_near(given.get("min_value"), now["min_value"], 1.0)


def _is_near(given: object, bound: float, span: float) -> bool:
    return isinstance(given, int | float) and abs(given - bound) <= max(SAME_SPAN * span, SAME_VALUE * abs(bound))

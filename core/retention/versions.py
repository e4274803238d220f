"""Which registered versions still need their files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

CHAMPION = "it is the champion"
PREVIOUS = "one of the next rollbacks returns to it"
CHALLENGER = "it waits for approval"
ALIASED = "an alias in MLflow names it"
IN_PROGRESS = "a trigger in progress made it"
UNKNOWN = "Perennial did not register it"


@dataclass(frozen=True)
class VersionsInUse:
    """Versions of a model that are in use.

    Parameters
    ----------
    champion, challenger
        The champion, and the version that waits for approval; each may be None.
    previous
        Versions that the next rollbacks return to, as many as retention keeps possible.
    open_triggers
        Ids of the model's triggers without an answer.
    aliased
        Versions that any alias in MLflow names, also one that a person gave.
    """

    champion: int | None
    challenger: int | None
    previous: Collection[int] = ()
    open_triggers: Collection[str] = ()
    aliased: Collection[int] = ()


def needed(version: int, trigger: str, in_use: VersionsInUse, *, is_ours: bool = True) -> str:
    """Return why the files of a version have to stay; empty if nothing needs them.

    Parameters
    ----------
    version, trigger
        The version, and the id of the trigger that it was registered for.
    in_use
        The model's versions in use.
    is_ours
        Whether Perennial registered it.

    Examples
    --------
    >>> needed(3, "manual", VersionsInUse(champion=3, challenger=None, previous=(2,)))
    'it is the champion'
    >>> needed(1, "manual", VersionsInUse(champion=3, challenger=None, previous=(2,)))
    ''
    """
    if not is_ours:
        return UNKNOWN
    reasons = (
        ((in_use.champion,), CHAMPION),
        (in_use.previous, PREVIOUS),
        ((in_use.challenger,), CHALLENGER),
        (in_use.aliased, ALIASED),
    )
    for numbers, reason in reasons:
        if version in numbers:
            return reason
    return IN_PROGRESS if trigger in in_use.open_triggers else ""

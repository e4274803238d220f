"""Results of a scoring: of one part, and of the whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class PartResult:
    """What was written for a part: complete, because it is recorded after its files have their names.

    Parameters
    ----------
    number
        Number of the part.
    n_scored, n_set_aside
        Its rows in the output, and those that were set aside.
    files
        SHA-256 of its files, by name.
    """

    number: int
    n_scored: int
    n_set_aside: int
    files: dict[str, str]


@dataclass(frozen=True)
class ScoreOutcome:
    """Result of the flow ``score``.

    Parameters
    ----------
    model, version
        The version that scored.
    status
        ``scored``; ``unchanged`` if the output held these predictions already.
    id, run
        Identities of the output and of its predictions, 64 hexadecimal digits.
    input, output
        Addresses, without credentials.
    set_aside
        File with the rows that the contract refuses; None if there are none.
    n_rows, n_scored, n_set_aside
        Rows of the input, of the output, and set aside: the first is the sum of the others.
    sha256
        Digest of the output.
    predicted_at
        The predictions' time, ISO 8601 in UTC.
    reasons
        Sentences for people.
    """

    model: str
    status: Literal["scored", "unchanged"]
    version: int | None = None
    id: str = ""
    run: str = ""
    input: str = ""
    output: str = ""
    set_aside: str | None = None
    n_rows: int = 0
    n_scored: int = 0
    n_set_aside: int = 0
    sha256: str = ""
    predicted_at: str = ""
    reasons: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return asdict(self)

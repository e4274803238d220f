"""Pieces of Markdown that the pages share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Return a table; a vertical bar in a cell does not end it.

    Examples
    --------
    >>> print(table(["name", "type"], [["a", "x | y"]]))
    | name | type |
    |---|---|
    | a | x \| y |
    <BLANKLINE>
    """
    lines = [header, ["---"] * len(header), *rows]
    return "".join(_line(line) for line in lines).replace("| --- ", "|---").replace("|--- |", "|---|")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |\n"


def _cell(text: str) -> str:
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    # Outside code a browser would take <name> for a tag.
    return "`".join(part if place % 2 else part.replace("<", "&lt;") for place, part in enumerate(parts))


def code(text: str) -> str:
    """Return a text as code; nothing where there is none.

    Examples
    --------
    >>> code("a"), code("")
    ('`a`', '')
    """
    return f"`{text}`" if text else ""


def prose(docstring: str) -> str:
    """Return a docstring's text as Markdown: roles and double backticks become code.

    Examples
    --------
    >>> prose("See :func:`core.gate.decide` and ``x``.")
    'See `core.gate.decide` and `x`.'
    """
    text = re.sub(r":[a-z]+:`~?([^`]+)`", r"`\1`", docstring)
    return text.replace("``", "`")


def summary(docstring: str | None) -> str:
    r"""Return the first paragraph of a docstring as one line of Markdown.

    Examples
    --------
    >>> summary("One sentence\n    in two lines.\n\n    More.")
    'One sentence in two lines.'
    """
    first = (docstring or "").strip().partition("\n\n")[0]
    return prose(" ".join(first.split()))


def document(title: str, lead: str, sections: Iterable[tuple[str, str]]) -> str:
    """Return a page: title, lead, and sections of heading and body."""
    parts = [f"# {title}\n\n{lead.strip()}\n"]
    parts += [f"## {heading}\n\n{body.strip()}\n" for heading, body in sections]
    return "\n".join(parts)

"""Fields of models as rows of a table."""

from __future__ import annotations

import doctest
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr

from reference import fields
from reference.fields import FieldRow, sections


class Cat(BaseModel):
    """A cat."""

    kind: Literal["cat"]
    lives: int = Field(default=9, ge=1, le=9, description="left of it")


class Dog(BaseModel):
    """A dog. It barks."""

    kind: Literal["dog"]
    names: tuple[Annotated[str, Field(min_length=1, max_length=20)], ...] = Field(default=(), max_length=3)


class House(BaseModel):
    """A house."""

    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    rooms: list[Cat] = []
    cat: Cat | None = None
    wait_seconds: float = Field(default=1.5, gt=0, lt=1e6, description="time at the door")
    pair: tuple[int, int] = (1, 2)
    since: date | None = None
    code: SecretStr = SecretStr("")
    key: str = Field(default="x", min_length=1, max_length=1, pattern="^x$")
    place: Path = Path("a")


def _rows(path: str, variant: str = "") -> dict[str, FieldRow]:
    schema: dict[str, Any] = House.model_json_schema()
    (found,) = [one for one in sections(schema) if (one.path, one.variant) == (path, variant)]
    return {row.name: row for row in found.rows}


def test_the_examples_hold() -> None:
    """The documented examples run."""
    assert doctest.testmod(fields).failed == 0


def test_every_section_is_found_where_it_stands() -> None:
    """The shapes of a choice by their kind, the items of a list, and a section that may be left out."""
    found = [(one.path, one.variant, one.description) for one in sections(House.model_json_schema())]
    assert found == [
        ("", "", "A house."),
        ("pet", "cat", "A cat."),
        ("pet", "dog", "A dog. It barks."),
        ("rooms[]", "", "A cat."),
        ("cat", "", "A cat."),
    ]


@pytest.mark.parametrize(
    ("name", "type_", "default", "bounds", "unit"),
    [
        ("pet", "section", "required", "", ""),
        ("rooms", "list of section", "`[]`", "", ""),
        ("cat", "section", "none", "", ""),
        ("wait_seconds", "number", "`1.5`", "> 0; < 1,000,000", "seconds"),
        ("pair", "[integer, integer]", "`[1, 2]`", "", ""),
        ("since", "date", "none", "", ""),
        ("code", "secret text", "none", "", ""),
        ("key", "text", '`"x"`', "1 character; matches `^x$`", ""),
        ("place", "path", "computed", "", ""),
    ],
)
def test_a_field_is_told_in_words(name: str, type_: str, default: str, bounds: str, unit: str) -> None:
    """Type, default, bounds and unit, each empty where there is none."""
    row = _rows("")[name]
    assert (row.type, row.default, row.bounds, row.unit) == (type_, default, bounds, unit)


def test_bounds_of_items_follow_those_of_the_list() -> None:
    """So that a reader knows which is which; only numbers need a unit."""
    names, lives = _rows("pet", "dog")["names"], _rows("rooms[]")["lives"]
    assert names.bounds == "at most 3 items; each 1 to 20 characters"
    assert (names.is_number, lives.is_number, lives.bounds) == (False, True, "≥ 1; ≤ 9")

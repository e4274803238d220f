"""The reference of events."""

import re
from pathlib import Path

from core.operate import events
from core.operate.events import NAMES
from reference.events import documented, page

ROOT = Path(__file__).resolve().parents[2]


def test_every_event_is_documented_once() -> None:
    """A new event gets its section, with an example made by its own builder."""
    assert [one.event.name for one in documented()] == list(NAMES)
    assert all(one.when for one in documented())
    assert [line for line in page().splitlines() if line.startswith("## ")] == [f"## `{name}`" for name in NAMES]


def test_every_name_of_an_event_in_the_code_is_an_event() -> None:
    """The list of names is complete: the constants of the module are what it holds."""
    constants = {value for value in vars(events).values() if isinstance(value, str) and value.startswith("perennial.")}
    assert constants == set(NAMES)


def test_the_page_of_automations_names_every_event() -> None:
    """A reader who writes an automation meets the same events there."""
    table = set(re.findall(r"^\| `(perennial\.[a-z_.]+)` \|", (ROOT / "docs" / "events.md").read_text(), re.MULTILINE))
    assert table == set(NAMES)

"""The figure of a look: one row for each guardrail, against its limit."""

from __future__ import annotations

import base64
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from core.release.outcome import ReleaseOutcome
from tasks.reports.release_figure import LEFT, RIGHT, look_image, look_svg

SVG = "{http://www.w3.org/2000/svg}"


def _check(name: str, state: str, estimate: float | None, lower: float | None, upper: float | None) -> dict[str, Any]:
    numbers = {"estimate": estimate, "lower": lower, "upper": upper, "limit": 0.02}
    return {"name": name, "state": state, "champion": 0.0, "challenger": 0.0, **numbers}


def _look(*checks: dict[str, Any], model: str = "credit") -> ReleaseOutcome:
    return ReleaseOutcome(model, "held", ("it waits",), 3, 4, "step", 25, checks)


def _drawn(outcome: ReleaseOutcome) -> ET.Element:
    return ET.fromstring(look_svg(outcome))  # noqa: S314 - what we wrote ourselves


def test_the_interval_lies_between_its_bounds() -> None:
    """In units of the limit, whose line has its own place; a dot is the estimate."""
    drawn = _drawn(_look(_check("error_rate", "ok", 0.0, -0.01, 0.02)))
    limit, zero, interval = drawn.findall(f"{SVG}line")
    assert interval.get("x2") == limit.get("x1")
    dot = drawn.find(f"{SVG}circle")
    assert dot is not None
    assert dot.get("cx") == zero.get("x1")
    assert int(interval.get("x1", "")) == LEFT
    assert [text.text for text in drawn.findall(f"{SVG}text")] == [
        "credit: release 3 of version 4, step at 25 %, held",
        "limit",
        "0",
        "failed requests",
        "ok, 0, limit 0.02",
    ]


@pytest.mark.parametrize(("lower", "upper", "ends"), [(None, 0.02, LEFT), (0.02, None, RIGHT), (0.02, 900.0, RIGHT)])
def test_what_is_unbounded_or_far_away_is_drawn_to_the_end(lower: float | None, upper: float | None, ends: int) -> None:
    """A bound that does not exist is beyond every number."""
    interval = _drawn(_look(_check("latency", "doubtful", 0.02, lower, upper))).findall(f"{SVG}line")[2]
    assert str(ends) in {interval.get("x1"), interval.get("x2")}


def test_without_data_there_is_no_interval() -> None:
    """The row says so."""
    drawn = _drawn(_look(_check("performance", "unknown", None, None, None)))
    assert len(drawn.findall(f"{SVG}line")) == 2
    assert drawn.find(f"{SVG}circle") is None
    assert drawn.findall(f"{SVG}text")[-1].text == "unknown, no data"


def test_is_an_image_that_holds_everything() -> None:
    """Prefect's page shows an address; names are escaped; without a check there is nothing to draw."""
    image = look_image(_look(_check("predictions", "breached", 0.03, 0.025, 0.05), model="a<b&c"))
    assert base64.b64decode(image.partition(",")[2]).decode() == look_svg(
        _look(_check("predictions", "breached", 0.03, 0.025, 0.05), model="a<b&c")
    )
    assert image.startswith("data:image/svg+xml;base64,")
    assert look_image(_look()) == ""

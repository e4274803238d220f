"""The verdict on a card: every number that led to it, in the place the card leaves, nothing from data unescaped."""

import html
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from core.gate.checks import Check
from core.gate.decision import GateVerdict
from tasks.reports.gate import BEGIN, END, gate_html, gate_markdown, with_verdict, with_verdict_md
from tests.tasks.verdicts import (
    SERVING,
    comparison,
    difference,
    first,
    promoted,
    refused,
    self_test,
    slice_gain,
    undecided,
    verdict,
)

HOSTILE = "</script><img src=x onerror=alert(1)> `$x$` | <!-- /gate --> \x1b[31m"
CARD = f"<h1>credit</h1>\n{BEGIN}\na promise\n{END}\n<svg><text>a</text></svg>"


def _text(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)))


@pytest.mark.parametrize("complete", [with_verdict, with_verdict_md])
def test_the_verdict_takes_its_place_and_a_later_one_takes_that(complete: Callable[..., str]) -> None:
    """What stands around the marks stays; judging again leaves one verdict, the last."""
    page = complete(complete(CARD, undecided()), promoted())
    assert page.startswith(f"<h1>credit</h1>\n{BEGIN}\n")
    assert page.endswith(f"{END}\n<svg><text>a</text></svg>")
    assert (page.count(BEGIN), page.count(END)) == (1, 1)
    assert "a promise" not in page
    assert "undecided" not in page
    assert page == complete(CARD, promoted())


def test_a_card_that_leaves_no_place_still_gets_the_verdict() -> None:
    """A card from before the gate carries it at its end."""
    assert with_verdict("<p>old</p>", promoted()).startswith("<p>old</p>\n<h2>Gate</h2>")


@pytest.mark.parametrize(
    ("judged", "badge", "tone"),
    [
        (promoted(), "✓ promote", "good"),
        (promoted("manual"), "✓ promote, once approved", "good"),
        (promoted("dry_run"), "✓ would be promoted (dry run)", "good"),
        (refused(), "✗ refused", "bad"),
        (undecided(), "? undecided", "warn"),
        (first(), "✓ promote", "good"),
    ],
)
def test_the_decision_is_said_first(judged: GateVerdict, badge: str, tone: str) -> None:
    """Badge and headline stand before the checks."""
    top = gate_html(judged).split("<table>")[0]
    assert f'<span class="badge {tone}">{badge}</span> {html.escape(judged.reasons[0])}' in top
    assert f"**{badge}** {judged.reasons[0]}" in gate_markdown(judged).split("| check |")[0]


@pytest.mark.parametrize("render", [gate_html, gate_markdown])
def test_every_number_is_on_it(render: Callable[..., str]) -> None:
    """Rows, looks, values, gains, intervals, trials and latencies can be read off."""
    text = _text(render(refused()))
    expected = ["4,312", "4,800", "488", "2.31", "99.06 %", "0.8000", "0.8123", "+0.0123", "+0.0041 to +0.0205"]
    expected += ["-0.0652 to -0.0232", "worse beyond noise (p = 0.0004)", "fewer than 30 rows: not judged"]
    expected += ["-0.3040", "a model fitted on permuted labels is rejected", "ONNX", "1,005", "2.4e-07", "3.3 ms"]
    expected += ["the newest 20% of the rows by application", *[check.name for check in refused().checks]]
    assert [fact for fact in expected if fact not in text.replace("\\_", "_")] == []


def test_an_unanswered_check_is_told_from_a_failed_one() -> None:
    """Too few rows are no fault of the challenger, and their sentence is not repeated for each check."""
    page = gate_html(undecided())
    assert "? not enough" in page
    assert "✗ failed" not in page
    assert page.count("42 of 4,800 holdout rows are new") == 1
    assert "see holdout" in page


def test_what_failed_is_marked() -> None:
    """A failed self-test and a failed rehearsal say why, each once."""
    slow = replace(SERVING, passed=False, p95_ms=412.0, reasons=("one row takes 412 ms",))
    page = gate_html(verdict(self_test=self_test(passed=False), serving=slow))
    assert page.count("✗ failed") == 3
    assert page.count("one row takes 412 ms") == 1
    assert "412 ms</dd>" in page


def test_nothing_from_data_becomes_markup() -> None:
    """A hostile level or sentence stays text and cannot end the section early."""
    level = slice_gain("<b>", HOSTILE, 0.01, 0.02, 40, worse=True)
    judged = verdict(comparison=comparison(slices=(level,)))
    judged = replace(judged, reasons=(HOSTILE, HOSTILE), checks=(*judged.checks, Check("gain", None, HOSTILE)))
    page = with_verdict(CARD, judged)
    assert "<img" not in page
    assert "<b>" not in page
    assert page.count(END) == 1
    assert "\x1b" not in page
    markdown = with_verdict_md(CARD, judged)
    assert "<img" not in markdown
    assert markdown.count(END) == 1
    row = next(line for line in markdown.splitlines() if line.startswith("| &lt;b&gt;"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 8


def test_an_undefined_gain_has_no_figure() -> None:
    """A holdout of one class leaves nothing to draw, and the verdict is shown nonetheless."""
    undefined = replace(difference(0.0, 0.0), gain=None, low=None, high=None, champion=None, challenger=None)
    judged = verdict(comparison=replace(comparison(), difference=undefined))
    page = gate_html(judged)
    assert "<svg" not in page
    assert "? undecided" in page

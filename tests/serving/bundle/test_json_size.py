"""Estimates of a JSON document's memory are never below what it takes."""

from __future__ import annotations

import doctest
import json
import tracemalloc
from typing import Any

import pytest

import serving.bundle.json_size
from serving.bundle.json_size import text_bytes, values_bytes


def test_the_examples_hold() -> None:
    """The documented examples run."""
    assert doctest.testmod(serving.bundle.json_size).failed == 0


@pytest.mark.parametrize(
    "document",
    [
        [[]] * 20_000,
        [{}] * 20_000,
        [{"a": 0}] * 20_000,
        [{f"k{place}": place} for place in range(20_000)],
        [1.5] * 50_000,
        list(range(10**9, 10**9 + 50_000)),
        {f"k{place}": [place, None] for place in range(20_000)},
        ["ab"] * 50_000,
        ["x" * 1000] * 300,
        ["é" * 1000] * 300,
        ["x" * 1000 + "\U0001f600"] * 300,
        [[[[[1]]]]] * 5_000,
    ],
    ids=lambda document: json.dumps(document)[:20],
)
@pytest.mark.parametrize("escaped", [True, False])
def test_an_estimate_is_not_below_what_a_document_takes(document: Any, escaped: bool) -> None:
    """Lists, dictionaries, numbers and texts, wide characters written out or escaped, up to 40 times as much."""
    content = json.dumps(document, ensure_ascii=escaped, separators=(",", ":")).encode()
    estimate = values_bytes(content) + text_bytes(content)
    tracemalloc.start()
    kept = json.loads(content)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept == document
    assert taken <= estimate < 40 * taken


def test_one_escaped_letter_does_not_widen_the_whole_document() -> None:
    """A name with an accent among ten thousand without costs its own length; quotes inside and no end are counted."""
    names = [f"column {place}" for place in range(10_000)]
    plain, accented = (json.dumps([*names, last]).encode() for last in ("cafe", "caf\u00e9"))
    assert text_bytes(accented) - text_bytes(plain) < 50
    assert text_bytes(rb'"a\"\u00e9') == 5 * len(rb'"a\"\u00e9')

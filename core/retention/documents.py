"""The short form of an old drift decision: its outcome and reasons, without the numbers of each column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

START = '{"shortened": true'
"""Beginning of a shortened document, by which the database finds those that are not."""

NOTE = "the numbers of this decision were removed by retention"


def shortened(document: str) -> str:
    """Return the document of a drift decision without its columns and performance; its verdict can still be read.

    A document that is shortened already is returned unchanged.
    """
    if document.startswith(START):
        return document
    content: Mapping[str, Any] = json.loads(document)
    reasons = [*content.get("reasons", ()), NOTE]
    kept = {**content, "columns": [], "performance": [], "bias": None, "reasons": reasons}
    return json.dumps({"shortened": True, **kept}, ensure_ascii=False)

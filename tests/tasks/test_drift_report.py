"""Evidently's page of training against holdout rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.contract import FeatureContract
from core.errors import PerennialError
from tasks.drift_report import DriftReport

HOSTILE = "</script><img src=x onerror=alert(1)> $x$ {{7*7}}"
CONTRACT = FeatureContract("regression", "y", (), (HOSTILE, "empty"), ("region",), ("owner",), ())


def _frame(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            HOSTILE: rng.normal(size=n),
            "empty": np.nan,
            "region": pd.Series(rng.choice([HOSTILE, "south"], n)).where(rng.random(n) < 0.9),
            "owner": pd.array(rng.random(n) < 0.5, dtype="boolean"),
        }
    )


def test_hostile_names_and_levels_do_not_reach_the_page_as_they_are(tmp_path: Path) -> None:
    """A name that closes a script block is escaped; a column without values is left out; nothing else is left."""
    path = DriftReport(_frame(), _frame()[::-1], CONTRACT, tmp_path / "drift.html", seed=0).finish()
    text = path.read_text()
    assert "onerror=alert(1)" in text
    assert HOSTILE not in text
    assert "<img src=x" not in text
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_of_evidently_is_told_with_its_words(tmp_path: Path) -> None:
    """The end of what the process printed is in the error, and no half page is left."""
    report = DriftReport(_frame(), _frame(), CONTRACT, tmp_path / "missing" / "drift.html", seed=0)
    next((tmp_path / "missing").glob(".drift-*/columns.json")).write_text("{")
    with pytest.raises(PerennialError, match=r"(?s)drift report \(exit 1\).*JSONDecodeError"):
        report.finish()
    assert list((tmp_path / "missing").iterdir()) == []

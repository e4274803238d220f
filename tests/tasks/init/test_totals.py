from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.settings import Settings
from core.errors import SourceError
from tasks.init.model_file import init_model
from tests.factories import make_project

N = 200


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def sales() -> pd.DataFrame:
    """Make rows of sales."""
    rng = np.random.default_rng(6)
    return pd.DataFrame(
        {
            "region": rng.choice(["north", "south"], N),
            "amount": rng.gamma(2, 50, N).round(2),
            "pieces": rng.integers(1, 9, N),
            "flag": rng.random(N) < 0.02,
            "y": rng.integers(0, 2, N),
        }
    )


def refused(text: str, settings: Settings, name: str = "rows.csv") -> str:
    """Return the message with which a file is refused."""
    path = settings.root / name
    path.write_text(text)
    with pytest.raises(SourceError) as raised:
        init_model(str(path), "y", settings)
    return str(raised.value)


def test_a_row_of_totals_is_named_with_its_line(project: Settings) -> None:
    """Words, sums and trailing empty lines as sheets have them; the line is that of the file."""
    text = sales().to_csv(index=False)
    amount, pieces, y = (sales()[name].sum() for name in ("amount", "pieces", "y"))
    message = refused(f"{text}Total,{amount:.2f},{pieces},,{y}\n,,,,\n,,,,\n", project)
    assert message.endswith(
        "rows.csv, line 202: looks like a row of totals ('Total' in 'region'; 'amount', 'pieces', 'y' have the sum or "
        "the mean of the rows above); remove the line"
    )
    assert "line 202: looks like a row of totals ('amount', 'pieces'" in refused(
        f"{text}north,{amount:.2f},{pieces},False,1\n", project
    )
    mean = sales()["amount"].mean()
    assert "'Average' in 'region'; 'amount' has" in refused(f"{text}Average,{mean},4,False,1\n", project)


def test_the_word_may_stand_in_a_column_of_numbers(project: Settings) -> None:
    """There it would mean no value, and the row would stay."""
    frame = sales()[["y", "amount", "pieces"]]
    text = f"{frame.to_csv(index=False)}Total,{frame['amount'].sum():.2f},{frame['pieces'].sum()}\n"
    assert "looks like a row of totals ('Total' in 'y'" in refused(text, project)


def test_totals_of_parquet_have_a_row_number(project: Settings) -> None:
    """There are no lines."""
    frame = sales().drop(columns="flag")
    total = {"region": "Total", "amount": frame["amount"].sum(), "pieces": frame["pieces"].sum(), "y": 1}
    pd.concat([frame, pd.DataFrame([total])]).to_parquet(project.root / "rows.parquet")
    with pytest.raises(SourceError, match=r"rows.parquet, row 201: looks like a row of totals"):
        init_model(str(project.root / "rows.parquet"), "y", project)


def test_a_last_row_like_the_others_has_no_remark(project: Settings) -> None:
    """A brand that is named Total and occurs twice is a level; one that occurs last only has a remark."""
    frame = sales().assign(brand=["Total", "Shell"] * (N // 2 - 1) + ["Shell", "Total"])
    frame.to_csv(project.root / "rows.csv", index=False)
    result = init_model(str(project.root / "rows.csv"), "y", project)
    assert not any("totals" in note for note in result.notes)
    frame.assign(brand=["Shell"] * (N - 1) + ["Total"]).to_csv(project.root / "rows.csv", index=False)
    result = init_model(str(project.root / "rows.csv"), "y", project, force=True)
    assert "look: the last row has 'Total' in 'brand'; if it is a row of totals, remove it" in result.notes


def test_a_repeated_header_is_named_with_its_line(project: Settings) -> None:
    """Files that were joined have a second line of names."""
    text = sales().to_csv(index=False)
    message = refused(text + text, project)
    assert message.endswith(
        "rows.csv, line 202: repeats the line of column names, as files do that were joined; remove the line"
    )

"""A table as an output: whole or not at all, once."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from core.errors import SchemaError
from tests.postgres import call_with_driver, postgres_address  # noqa: F401 - a fixture
from tests.tasks.score.scoring import Scored, rows_to_score

pytestmark = [
    # skl2onnx 1.20 and MLflow 3.17 use names that NumPy 2 and pandas 3 deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of a database of each kind, in the environment."""
    found = f"sqlite:///{tmp_path / 'scores.db'}"
    if request.param == "postgresql":
        found = str(request.getfixturevalue("postgres_address"))
    monkeypatch.setenv("SCORES_DB", found)
    return found


def test_rows_are_added_once(champion: Scored, tmp_path: Path, address: str) -> None:
    """A repeat adds nothing, another input adds its rows, other columns are refused and change nothing."""
    frame = rows_to_score(300)
    frame.loc[5, "income"] = float("inf")
    frame.to_parquet(tmp_path / "a.parquet")
    rows_to_score(200, seed=8).to_parquet(tmp_path / "b.parquet")
    call_with_driver(lambda: _story(champion, tmp_path, address))


def _story(champion: Scored, folder: Path, address: str) -> None:
    output = "sql:SCORES_DB/scores"
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE labels (id text, label text)"))
    first = champion.score(folder / "a.parquet", output, features=True)
    assert (first.status, first.n_scored, first.n_set_aside) == ("scored", 299, 1)
    assert first.set_aside is not None
    assert Path(first.set_aside).is_file()
    assert champion.score(folder / "a.parquet", output, features=True).status == "unchanged"
    assert champion.score(folder / "b.parquet", output, features=True).n_scored == 200
    with pytest.raises(SchemaError, match="lacks columns"):
        champion.score(folder / "b.parquet", "sql:SCORES_DB/labels")
    with engine.begin() as connection:
        found = connection.execute(sa.text("SELECT count(*), count(DISTINCT prediction_id), sum(row) FROM scores"))
        assert list(found.one()) == [499, 499, sum(range(300)) - 5 + sum(range(200))]
        answers = connection.execute(sa.text("SELECT probability_1 FROM scores WHERE id LIKE 'c8-%' ORDER BY row"))
        served = champion.served(rows_to_score(200, seed=8))
        assert [value for (value,) in answers] == [answer[1] for answer in served]
        connection.execute(sa.text("DROP TABLE scores"))
        connection.execute(sa.text("DROP TABLE labels"))
    engine.dispose()
